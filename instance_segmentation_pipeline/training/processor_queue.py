"""How long this process waited for processors that others used: what it measured then is not what it takes alone."""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

TASKS = Path("/proc/self/task")
"""Linux tells of each thread, in ``schedstat``, nanoseconds that it ran and that it waited to run."""


class ProcessorQueue:
    """Measures from when it is made on; elsewhere than on Linux, by the times of this thread alone.

    Source of the format: "Scheduler Statistics" of the Linux kernel, ``/proc/<pid>/schedstat``.
    """

    def __init__(self) -> None:
        self._threads, self._computed, self._began = _threads(), time.thread_time(), time.perf_counter()

    def share(self) -> float:
        """Return the share of time, 0..1, in which threads that could go on waited; of those that there still are."""
        now = _threads()
        if now and self._threads:
            return waited(self._threads, now)
        passed = time.perf_counter() - self._began
        return max(0.0, 1 - (time.thread_time() - self._computed) / passed) if passed > 0 else 0.0


def waited(before: Mapping[str, tuple[int, int]], now: Mapping[str, tuple[int, int]]) -> float:
    """Return the waiting share of two readings, each with the nanoseconds that a thread ran and waited."""
    ran = sum(one[0] - before.get(name, (0, 0))[0] for name, one in now.items())
    waiting = sum(one[1] - before.get(name, (0, 0))[1] for name, one in now.items())
    return waiting / (ran + waiting) if ran + waiting > 0 else 0.0


def _threads() -> dict[str, tuple[int, int]]:
    found = {}
    for task in TASKS.iterdir() if TASKS.is_dir() else ():
        with contextlib.suppress(OSError, ValueError):  # a kernel without it, or a thread that has just ended
            ran, waiting = (task / "schedstat").read_text().split()[:2]
            found[task.name] = (int(ran), int(waiting))
    return found
