"""The place of this process among those that ``torchrun`` started, as the environment tells it."""

import math
import os
import socket
from dataclasses import dataclass
from datetime import timedelta

from ..errors import ConfigError, shortened

VARIABLES = ("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE")
"""What torchrun tells the processes that it starts."""

RUN_PREFIX = "musket-"
"""What the run ids of groups begin with that this package starts itself: their processes run jobs, not commands."""


@dataclass(frozen=True)
class JobEnvironment:
    """One of the processes that torchrun started.

    Attributes:
        rank: Number of the process among all.
        local_rank: Its number on this machine.
        local_size: How many processes there are on this machine.
        size: How many there are at all.
        restarts: How often torchrun has started those of this machine again after one of them died.
        agent: What torchrun's own process on this machine is known by.
    """

    rank: int
    local_rank: int
    local_size: int
    size: int
    restarts: int = 0
    agent: str = ""

    @property
    def is_first(self) -> bool:
        """Whether this process does what is done once: splits, files, the summary, words."""
        return self.rank == 0


def job_environment() -> "JobEnvironment | None":
    """Return this process's place among those that torchrun started, ``None`` where it did not start this one."""
    for name in VARIABLES[1:]:  # PyTorch and MMEngine read each of them, also without the others
        number_in_environment(name, 0, 0, 2**31)
    if not all(name in os.environ for name in VARIABLES) or os.environ[VARIABLES[0]].startswith(RUN_PREFIX):
        return None
    rank, local_rank, local_size, size = (int(number_in_environment(name, 0, 0, 2**31)) for name in VARIABLES[1:])
    agent = f"{os.environ[VARIABLES[0]]} of process {os.getppid()} on {socket.gethostname()}"
    restarts = int(number_in_environment("TORCHELASTIC_RESTART_COUNT", 0, 0, 2**31))
    return JobEnvironment(rank, local_rank, local_size, size, restarts, agent)


def number_in_environment(name: str, default: float, low: float, high: float) -> float:
    """Return the number that an environment variable holds.

    Raises:
        ConfigError: It holds no number from ``low`` to ``high``.
    """
    text = os.environ.get(name, "")
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise ConfigError(
            f"the environment variable {name} is {shortened(text)}, expected a number from {low:g} to {high:g}: "
            "correct or unset it."
        )
    return number


def patience() -> timedelta:
    """Return how long a process waits for the others, as ``MUSKET_MMDETECTION_GROUP_TIMEOUT`` says in minutes.

    Raises:
        ConfigError: That is no number of minutes.
    """
    return timedelta(minutes=number_in_environment("MUSKET_MMDETECTION_GROUP_TIMEOUT", 30, 0.01, 100_000))


def leads() -> bool:
    """Say whether this process writes and reports: any that torchrun did not start, and the first of those it did."""
    joined = job_environment()
    return joined is None or joined.is_first
