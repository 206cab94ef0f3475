"""Seeds of training items, drawn in the process that trains, so that data workers can be resumed.

A worker's generators go on from epoch to epoch, and no checkpoint holds them. So each position that is handed to a
worker brings a seed from NumPy's generator of the training process, whose state checkpoints do hold.
"""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info


class SeededPosition(int):
    """A position in a dataset, with the seed of everything that is random about the item there."""

    seed: "int | None" = None


class SeededSampler:
    """A sampler whose positions bring seeds.

    Args:
        sampler: Gives the positions; everything else about it is asked of it, too.
    """

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def __getattr__(self, name: str) -> Any:
        if name == "sampler":  # a copy that is being unpickled has none yet
            raise AttributeError(name)
        return getattr(self.sampler, name)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[SeededPosition]:
        for position in self.sampler:
            seeded = SeededPosition(position)
            seeded.seed = int(np.random.randint(2**32, dtype=np.uint64))  # noqa: NPY002 - the state that is saved
            yield seeded


def seed_worker(position: int) -> None:
    """In a data worker, seed all generators for the item at a position that brings a seed."""
    seed = getattr(position, "seed", None)
    if seed is None or get_worker_info() is None:
        return
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - transforms draw from the global generator
    torch.default_generator.manual_seed(seed)
