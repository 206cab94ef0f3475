"""``Deadline``: when a run ends before its work is done, known alike to all processes that work for it."""

import mmap
import time
from collections.abc import Callable


class SharedFlag:
    """A flag that a process and those that are forked from it afterwards share; once set, it stays so."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)  # no name and no file: nothing is needed of /dev/shm

    def set(self) -> None:
        """Set it, for all."""
        self._byte[0] = 1

    def is_set(self) -> bool:
        """Say whether any process has set it."""
        return self._byte[0] == 1


class Deadline:
    """Says whether a run is to end: nothing further begins then, and what trains ends after its epoch.

    A run does some work however late it is, so that one which is resumed again and again comes to its end: before
    ``begin`` was called, by any process, it is not over. Once over, it is so for all.

    Args:
        expires: When, in seconds of ``time.monotonic``; ``None`` for never.
        cancelled: Whether somebody has cancelled the run.
    """

    def __init__(self, expires: "float | None" = None, cancelled: Callable[[], bool] = lambda: False) -> None:
        self.expires = expires
        self._cancelled = cancelled
        self._begun, self._ended = SharedFlag(), SharedFlag()

    @property
    def has_begun(self) -> bool:
        """Whether any process has begun to train."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Say that work begins."""
        self._begun.set()

    def end(self) -> None:
        """End the run, whatever the clock says."""
        self._ended.set()

    def left(self) -> "float | None":
        """Return how many seconds are left, ``None`` where there is no end."""
        return None if self.expires is None else max(0.0, self.expires - time.monotonic())

    def __call__(self) -> bool:
        """Say whether the run is to end."""
        if not self._ended.is_set() and self._begun.is_set() and (self.left() == 0 or self._cancelled()):
            self._ended.set()
        return self._ended.is_set()
