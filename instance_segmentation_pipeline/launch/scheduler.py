"""Schedulers run many jobs: in turn, in a pool of processes, or on a cluster. Which one is decided here alone."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from .deadline import Deadline
from .executors import Executor, executor_for
from .jobs import Job, Outcome
from .multi_bar import Display
from .process_pool import ProcessPool


class Scheduler(Protocol):
    """Runs jobs.

    ``InTurn`` raises what a job raised, at once; ``process_pool.ProcessPool`` and ``ray_cluster.RayCluster`` let the
    others finish, and tell errors as outcomes: ``jobs.raise_failures`` makes one error of them.
    """

    def run(self, jobs: Sequence[Job], stop: "Deadline | None" = None) -> list[Outcome]:
        """Run jobs; return what came of each, in order. None is begun after ``stop()`` became true."""
        ...


class InTurn:
    """Runs jobs one after the other, in the calling process, with the same devices.

    Args:
        executor: What has the devices.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def run(
        self,
        jobs: Iterable[Job],
        stop: "Deadline | None" = None,
        ended: Callable[[int, Outcome], None] = lambda number, outcome: None,
    ) -> list[Outcome]:
        """Run jobs; the first error of any is raised.

        Args:
            jobs: They may be made while others run: the next is asked for when it can begin.
            stop: When no further job begins.
            ended: Told of each job that has ended, with its place among them.
        """
        stop, outcomes = stop or Deadline(), []
        for number, job in enumerate(jobs):
            outcomes.append(self._outcome(job, stop))
            if outcomes[-1].began:
                ended(number, outcomes[-1])
        return outcomes

    def _outcome(self, job: Job, stop: Deadline) -> Outcome:
        if self.executor.agree(stop):
            return Outcome(job.label, began=False)
        return Outcome(job.label, job.local(self.executor, stop))


def scheduler_for(
    slots: Sequence[Sequence[str]], jobs: int, apart: bool = False, once: bool = False
) -> "InTurn | ProcessPool":
    """Return what runs so many jobs on this machine.

    Args:
        slots: Devices of those that run at the same time (``devices.leases``).
        jobs: How many there are.
        apart: Give each a process, also where they run in turn.
        once: Of lines that several jobs say alike, show one.
    """
    if not apart and (len(slots) == 1 or jobs <= 1):
        return InTurn(executor_for(slots[0]))
    return ProcessPool(slots, Display(once))
