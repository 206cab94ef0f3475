"""What became of the processes of a group, and which of their errors is the group's."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import TrainingError, UserError
from .job_environment import patience

MEMORY = (
    "often memory ran out; lower workersPerGpu and go on with --allow_resume true, or lower imagesPerGpu or shape and "
    "train anew."
)


@dataclass(frozen=True)
class Failure:
    """What a process says of its error, or how it ended without a word."""

    rank: int
    message: str
    expected: bool = False
    trace: str = ""
    silent: bool = False

    @property
    def is_of_another(self) -> bool:
        """Whether the error only tells that another process is gone."""
        return not self.expected and (is_lost_connection(self.message) or is_timeout(self.message))


def error_of(failures: Sequence[Failure], running: Sequence[int], size: int) -> UserError:
    """Return the error of the process that failed first, or of the one that the others waited for in vain.

    Args:
        failures: Of the processes that ended.
        running: Numbers of those that had not ended when the group was given up.
        size: How many processes there were.
    """
    own = [failure for failure in failures if not failure.is_of_another]
    silent = next((failure for failure in own if failure.silent), None)
    if silent is not None:
        return TrainingError(f"process {silent.rank} of {size} that trained one net {silent.message}: {MEMORY}")
    if not own and any(is_timeout(failure.message) for failure in failures):
        who = " and ".join(f"process {rank}" for rank in running) or "a process"
        return TrainingError(
            f"{who} of {size} that trained one net did not answer for {patience()}: look for an item that loads for "
            "ever, or raise MUSKET_MMDETECTION_GROUP_TIMEOUT (minutes); go on with --allow_resume true."
        )
    if not own:
        return TrainingError(f"a process of {size} that trained one net died without a word: {MEMORY}")
    first = own[0]
    found = TrainingError(first.message if first.expected else f"process {first.rank} failed: {first.message}")
    found.__cause__ = RuntimeError(f"\n{first.trace}")
    return found


def is_timeout(message: str) -> bool:
    """Say whether an error tells that another process did not answer in time."""
    return "Timed out waiting" in message or "timed out after" in message or "timeout of" in message


def is_lost_connection(message: str) -> bool:
    """Say whether an error only tells that another process is gone."""
    words = ("onnection reset", "onnection closed", "ncclRemoteError", "roken pipe")
    return any(word in message for word in words)
