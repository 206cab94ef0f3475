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


def seed_workers(loader: Any) -> None:
    """Let a loader that trains hand seeds to its workers.

    Without workers the process that trains draws for itself.
    """
    if loader.num_workers and loader.batch_sampler is not None:
        loader.batch_sampler.sampler = SeededSampler(loader.batch_sampler.sampler)


def draw_apart(loader: Any) -> None:
    """Let a loader draw the number that it starts new workers with from elsewhere than the process that trains does.

    torch draws it when workers start, which persistent ones do once in a run, and anew in a resumed one.
    """
    if loader.num_workers and loader.generator is None:
        loader.generator = torch.Generator().manual_seed(0)


def seed_worker(position: int) -> None:
    """In a data worker, seed all generators for the item at a position that brings a seed."""
    seed = getattr(position, "seed", None)
    if seed is None or get_worker_info() is None:
        return
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - transforms draw from the global generator
    torch.default_generator.manual_seed(seed)
