"""The states of all random generators of a process, as data that a checkpoint can hold without pickled objects."""

import random
from typing import Any

import numpy as np
import torch

States = dict[str, Any]
"""The states of one process, by the name of what draws."""


def take() -> States:
    """Return the states of Python's, NumPy's and torch's generators, and that of the CUDA device in use."""
    version, numbers, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - transforms draw from the global generator
    states = {
        "python": [version, torch.tensor(numbers, dtype=torch.int64), gauss],
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), *(float(value) for value in rest)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def put(states: States) -> None:
    """Set the generators to states of ``take``."""
    version, numbers, gauss = states["python"]
    random.setstate((int(version), tuple(int(number) for number in numbers), gauss))
    kind, keys, position, has_gauss, cached = states["numpy"]
    keys = np.asarray(keys).astype(np.uint32)
    np.random.set_state((kind, keys, int(position), int(has_gauss), float(cached)))  # noqa: NPY002
    torch.set_rng_state(states["torch"].to(torch.uint8).cpu())
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].to(torch.uint8).cpu())
