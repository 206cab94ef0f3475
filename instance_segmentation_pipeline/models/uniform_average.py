"""The uniform average of trained weights of one model, and the file that it is kept in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..storage.atomic import save_with
from .checkpoints import Checkpoint, state_of

MEMBERS_KEY = "musket_average_of"
"""Where the ``meta`` of an average has the SHA-256 of the weights that it is of, by the number of their stage."""

OF_ONE_TRAINING = ("epoch", "iter", "rows", "random_states")

State = dict[str, torch.Tensor]


def uniform_average(members: Sequence[Checkpoint]) -> State:
    """Return the mean of the tensors of checkpoints of one model, which have the same names and shapes.

    Statistics of batch normalisation are averaged like weights, as MMEngine's ``EMAHook`` does with ``update_buffers``
    and PyTorch's ``AveragedModel`` with ``use_buffers``. What counts or indexes, such as ``num_batches_tracked``, is
    that of the last member. Means are taken in double precision; dtypes are those of the last member.
    """
    *earlier, newest = [state_of(member) for member in members]
    return {name: _mean(tensor, [state[name] for state in earlier]) for name, tensor in newest.items()}


def _mean(newest: torch.Tensor, others: Sequence[torch.Tensor]) -> torch.Tensor:
    if not newest.is_floating_point():
        return newest
    total = newest.double()
    for other in others:
        total = total + other.double()
    return (total / (len(others) + 1)).to(newest.dtype)


def save_average(
    path: Path, state: State, newest: Checkpoint, members: Mapping[int, str], metric: str, value: float
) -> None:
    """Write averaged weights, whole, as best weights are written.

    Args:
        path: The file.
        state: The weights.
        newest: The last member, whose classes and settings are those of all.
        members: SHA-256 of the members, by stage.
        metric: What they were chosen by.
        value: Theirs.
    """
    given = newest.get("meta")
    kept = {name: one for name, one in given.items() if name not in OF_ONE_TRAINING} if isinstance(given, dict) else {}
    meta: dict[str, Any] = {**kept, metric: value, MEMBERS_KEY: dict(members)}
    save_with(path, lambda temporary: torch.save({"meta": meta, "state_dict": state}, temporary))
