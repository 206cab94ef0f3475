"""Executors run jobs on devices. A job is a function of a device's name; what it trains is its own affair."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Executor(Protocol):
    """Runs jobs, and returns their results, or raises what they raised.

    Attributes:
        devices: Those of one net in this process: ``cpu`` or ``cuda:<n>`` each.
    """

    devices: list[str]

    def run(self, job: Callable[[str], Result]) -> Result:
        """Run ``job`` on one device."""
        ...

    def train(self, job: Callable[[str], Result], meanwhile: Callable[[], object] = lambda: None) -> Result:
        """Run ``job`` on all devices of the net, in a process each, together; return what the first returned.

        Where other processes do the work, this one calls ``meanwhile`` now and then.
        """
        ...

    def agree(self, question: Callable[[], bool]) -> bool:
        """Return the answer of the process that leads to a question that all processes of a run ask."""
        ...


class InProcessExecutor:
    """Runs each job in the calling process, on one device."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.devices = [device]

    def run(self, job: Callable[[str], Result]) -> Result:
        """Run ``job`` at once."""
        return job(self.device)

    def train(self, job: Callable[[str], Result], meanwhile: Callable[[], object] = lambda: None) -> Result:
        """Run ``job`` at once."""
        return job(self.device)

    def agree(self, question: Callable[[], bool]) -> bool:
        """Answer the question here."""
        return question()


class GroupExecutor(InProcessExecutor):
    """Trains with a process for each device; everything else runs in the calling process, on the first device."""

    def __init__(self, devices: Sequence[str]) -> None:
        super().__init__(devices[0])
        self.devices = list(devices)

    def train(self, job: Callable[[str], Result], meanwhile: Callable[[], object] = lambda: None) -> Result:
        """Run ``job`` in every process of a group."""
        from .process_group import run_group

        return run_group(job, self.devices, meanwhile)


def executor_for(devices: Sequence[str]) -> Executor:
    """Return what trains one net on these devices, in this process or in one for each."""
    return InProcessExecutor(devices[0]) if len(devices) == 1 else GroupExecutor(devices)
