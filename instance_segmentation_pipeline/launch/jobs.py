"""Jobs that do not depend on each other, and what came of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TrainingError
from .deadline import Deadline
from .executors import Executor


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
