"""Shared memory, in which data workers hand their tensors over: when it is full, the worker says so.

torch moves tensors there in a thread of the worker's, which drops what does not fit; the process that trains then waits
for ever. Here the worker moves them itself, while it can still report a failure.
"""

import os
import pickle
from typing import Any, TypeVar

import torch
from torch.utils.data import get_worker_info

from ..errors import TrainingError, one_line

Item = TypeVar("Item")
FOLDER = "/dev/shm"
"""Where Linux keeps shared memory."""
TOO_SMALL = (
    "lower workersPerGpu (0 needs none), imagesPerGpu or shape, or give the container more (docker run --shm-size 8g, "
    "or a memory-backed emptyDir at /dev/shm in Kubernetes)."
)


def handed_over(item: Item) -> Item:
    """Return what a data worker is to send, its tensors moved to shared memory; outside of workers, as it is.

    Raises:
        TrainingError: The shared memory is full.
    """
    if get_worker_info() is None:
        return item
    try:
        _Mover(_Nowhere(), pickle.HIGHEST_PROTOCOL, buffer_callback=_leave_out).dump(item)
    except (RuntimeError, OSError) as error:
        if not is_about_shared_memory(error):
            raise
        raise TrainingError(sentence_about(error)) from None
    return item


def is_about_shared_memory(error: BaseException) -> bool:
    """Say whether an exception tells that shared memory could not be had."""
    text = str(error)
    return "shared memory" in text or "torch_shm" in text or "bus error" in text.lower()


def sentence_about(error: BaseException) -> str:
    """Return the sentence about shared memory that could not be had."""
    return f"the data workers ran out of shared memory{_size()} ({one_line(error)[:160]}): {TOO_SMALL}"


def _size() -> str:
    try:
        sizes = os.statvfs(FOLDER)
    except (OSError, AttributeError):
        return ""
    return f", {FOLDER} has {sizes.f_frsize * sizes.f_blocks / 2**20:,.1f} MiB"


class _Nowhere:
    def write(self, data: Any) -> int:
        return len(data)


def _leave_out(buffer: Any) -> None:
    """Take an array's bytes out of the pickle: they are not copied."""


class _Mover(pickle.Pickler):
    """Walks through all that pickling reaches, and moves each tensor."""

    def reducer_override(self, entry: Any) -> Any:
        if isinstance(entry, torch.Tensor):
            if entry.device.type == "cpu" and entry.layout == torch.strided:
                entry.share_memory_()
            return int, ()
        return NotImplemented
