"""Executors run jobs on devices. A job is a function of a device's name; what it trains is its own affair."""

from collections.abc import Callable
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Executor(Protocol):
    """Runs a job and returns its result, or raises what the job raised."""

    def run(self, job: Callable[[str], Result]) -> Result:
        """Run ``job`` with the name of a device that is its own while it runs."""
        ...


class InProcessExecutor:
    """Runs each job in the calling process, on one device."""

    def __init__(self, device: str) -> None:
        self.device = device

    def run(self, job: Callable[[str], Result]) -> Result:
        """Run ``job`` at once."""
        return job(self.device)
