"""Bytes by position in memory that a process shares with those that are forked from it, up to a size.

What comes first stays: in an epoch every item is asked for once, so that throwing out the oldest would throw out each
just before it is needed. Without ``fork`` each process has memory of its own.
"""

import mmap
import os
import tempfile
import threading
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...errors import ConfigError

try:
    import fcntl
except ImportError:  # no such locks, and no fork either
    fcntl = None  # type: ignore[assignment]

_SLOT = np.dtype([("place", "<u8"), ("length", "<u8"), ("check", "<u4"), ("unused", "<u4")])
_HEAD = 8


class SharedMemory:
    """A store of a fixed number of entries.

    Args:
        entries: How many positions there are.
        size: Bytes that they may take together.

    Raises:
        ConfigError: The system has not so much memory.
    """

    def __init__(self, entries: int, size: int) -> None:
        self.entries, self.size = entries, size
        self._make()

    def _make(self) -> None:
        head = _HEAD + self.entries * _SLOT.itemsize
        try:
            self._memory = mmap.mmap(-1, head + self.size)  # pages are taken when they are written to
        except (OSError, ValueError, OverflowError) as error:
            raise ConfigError(f"a cache of {self.size >> 20} megabytes cannot be had ({error}): give less.") from None
        self._slots = np.frombuffer(self._memory, _SLOT, self.entries, _HEAD)
        self._used = np.frombuffer(self._memory, "<u8", 1, 0)
        self._start = head
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - locks on it are given back when a process dies
        weakref.finalize(self, self._file.close)
        self._thread = (os.getpid(), threading.Lock())

    def __getstate__(self) -> dict[str, Any]:
        return {"entries": self.entries, "size": self.size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make()

    def get(self, position: int) -> "bytes | None":
        """Return what is kept at a position."""
        slot = self._slots[position]
        place, length = int(slot["place"]), int(slot["length"])
        if not length or place + length > self.size:
            return None
        data = self._memory[self._start + place : self._start + place + length]
        return data if zlib.crc32(data) == int(slot["check"]) else None  # it is being written

    def put(self, position: int, data: bytes) -> None:
        """Keep something at a position, unless there is something, or no room."""
        with self._locked():
            if self._slots[position]["length"] or int(self._used[0]) + len(data) > self.size:
                return
            place = int(self._used[0])
            self._used[0] = place + len(data)
            self._memory[self._start + place : self._start + place + len(data)] = data
            self._slots[position] = (place, len(data), zlib.crc32(data), 0)

    def drop(self, position: int) -> None:
        """Forget what is kept at a position."""
        with self._locked():
            self._slots[position] = (0, 0, 0, 0)

    def __len__(self) -> int:
        return int((self._slots["length"] > 0).sum())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only thread of the only process that writes; a process that dies leaves no lock."""
        if self._thread[0] != os.getpid():
            self._thread = (os.getpid(), threading.Lock())
        with self._thread[1]:
            if fcntl is not None:
                fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                if fcntl is not None:
                    fcntl.lockf(self._file, fcntl.LOCK_UN)
