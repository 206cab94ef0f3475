"""Schedulers run many jobs: in turn, in a pool of processes, or on a cluster. Which one is decided here alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import TrainingError
from .deadline import Deadline
from .executors import Executor, executor_for


@dataclass(frozen=True)
class RemoteCall:
    """What a node of a cluster runs of a job.

    Attributes:
        function: Found by its module and name on the node; gets the experiment's YAML there, an ``Executor`` with its
            devices, the folder for downloads or ``None``, a ``Deadline``, and ``arguments``.
        config: The experiment's YAML, here.
        arguments: What can be pickled.
    """

    function: Callable[..., Any]
    config: Path
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Job:
    """One piece of work among several that do not depend on each other.

    Attributes:
        label: What messages call it, such as ``fold 1``.
        local: Does it on this machine: gets an ``Executor`` with the devices that it may use, and the ``Deadline``.
            Where processes run it, it returns what can be pickled.
        remote: Does it on another machine; without it, no cluster can.
    """

    label: str
    local: Callable[[Executor, Deadline], Any]
    remote: "RemoteCall | None" = None


@dataclass(frozen=True)
class Outcome:
    """What came of a job: its result, or its error as a sentence and a traceback.

    Attributes:
        began: False where the run ended before the job was begun.
    """

    label: str
    result: Any = None
    error: str = ""
    trace: str = ""
    began: bool = True


class Scheduler(Protocol):
    """Runs jobs.

    ``InTurn`` raises what a job raised, at once; ``process_pool.ProcessPool`` and ``ray_cluster.RayCluster`` let the
    others finish, and tell errors as outcomes: ``raise_failures`` makes one error of them.
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

    def run(self, jobs: Sequence[Job], stop: "Deadline | None" = None) -> list[Outcome]:
        """Run jobs; the first error of any is raised."""
        stop = stop or Deadline()
        return [self._outcome(job, stop) for job in jobs]

    def _outcome(self, job: Job, stop: Deadline) -> Outcome:
        if self.executor.agree(stop):
            return Outcome(job.label, began=False)
        return Outcome(job.label, job.local(self.executor, stop))


def scheduler_for(slots: Sequence[Sequence[str]], jobs: int, apart: bool = False, once: bool = False) -> Scheduler:
    """Return what runs so many jobs on this machine.

    Args:
        slots: Devices of those that run at the same time (``devices.leases``).
        jobs: How many there are.
        apart: Give each a process, also where they run in turn.
        once: Of lines that several jobs say alike, show one.
    """
    if not apart and (len(slots) == 1 or jobs <= 1):
        return InTurn(executor_for(slots[0]))
    from .multi_bar import Display
    from .process_pool import ProcessPool

    return ProcessPool(slots, Display(once))


def raise_failures(outcomes: Sequence[Outcome]) -> None:
    """Raise one error for the jobs that failed.

    Raises:
        TrainingError: The first one's words, and which others failed.
    """
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        others = f" (and {', '.join(one.label for one in failed[1:])} failed too)" if failed[1:] else ""
        error = TrainingError(f"{failed[0].label}: {failed[0].error}{others}")
        raise error from RuntimeError(f"\n{failed[0].trace}")
