"""Memory that runs out while a net answers: told in one sentence, with what to lower."""

import contextlib
import math
from collections.abc import Iterator

import torch

from ..errors import PredictionError, one_line

NOTHING_LEFT = ("DefaultCPUAllocator", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""Words of RuntimeErrors that tell of memory: PyTorch has no class of its own for these."""


def room_for_nets(device: str) -> float:
    """Return how many bytes nets may take of a device: half of what is free on a GPU now, without bound elsewhere."""
    if not device.startswith("cuda"):
        return math.inf
    return torch.cuda.mem_get_info(device)[0] / 2


def bytes_of(net: torch.nn.Module) -> int:
    """Return how many bytes the parameters and buffers of a net take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (*net.parameters(), *net.buffers()))


@contextlib.contextmanager
def telling_of_memory(device: str, doing: str, advice: str, images: int = 1) -> Iterator[None]:
    """Turn an error that tells of memory which ran out into a sentence.

    Args:
        device: The device that was used.
        doing: What was done, to be read after "while".
        advice: What to do.
        images: How many images it was done with.

    Raises:
        PredictionError: Memory ran out, of the device or of the machine.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        told = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not told and not any(words in str(error) for words in NOTHING_LEFT):
            raise
        where = "this machine" if isinstance(error, MemoryError) else device
        raise PredictionError(
            f"the memory of {where} ran out while {doing} ({one_line(error)[:120]}): {advice}.", images
        ) from error
