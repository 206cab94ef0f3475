"""Weights that an experiment trained itself: they fit its model whole, and their classes are the dataset's.

What may start a training from other weights, tensor by tensor, is in ``checkpoints``.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from ..errors import WeightsError
from .checkpoints import Checkpoint, classes_of, read_checkpoint, state_of

SHOWN = 6
"""Names that a message shows of a list of classes."""

WHAT_TO_DO = (
    "put config and dataset back, or train anew without --allow_resume, which keeps what is trained in previous/"
)


def load_trained(model: torch.nn.Module, path: Path, class_names: Sequence[str]) -> None:
    """Load weights that the experiment trained into its model.

    Args:
        model: The model.
        path: The checkpoint.
        class_names: The dataset's class names, in label order.

    Raises:
        WeightsError: It cannot be read, or it was trained with other classes or another model.
    """
    checkpoint = read_checkpoint(path)
    check_trained(checkpoint, path, model, class_names)
    model.load_state_dict(state_of(checkpoint))


def check_trained(checkpoint: Checkpoint, path: Path, model: torch.nn.Module, class_names: Sequence[str]) -> None:
    """Raise a ``WeightsError`` where a checkpoint of the experiment has other classes or tensors than the model."""
    check_classes(checkpoint, path, class_names)
    there = {name: tuple(tensor.shape) for name, tensor in state_of(checkpoint).items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    different = sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))
    if different:
        name = different[0]
        raise WeightsError(
            f"{path} was trained with another model than configPath, configOptions and classes describe now: "
            f"{len(different)} of {len(wanted)} tensors differ, such as {name}, {_shape(there.get(name))} there and "
            f"{_shape(wanted.get(name))} in the model: {WHAT_TO_DO}."
        )


def check_classes(checkpoint: Checkpoint, path: Path, class_names: Sequence[str]) -> None:
    """Raise a ``WeightsError`` where a checkpoint of the experiment names other classes, or in another order."""
    check_names(classes_of(checkpoint), path, class_names)


def check_names(trained: "tuple[str, ...] | None", path: Path, class_names: Sequence[str]) -> None:
    """Raise a ``WeightsError`` where the classes that weights were trained with (``None``: not told) are others."""
    if trained is None or trained == tuple(class_names):
        return
    if len(trained) == len(class_names) and (_are_numbers(trained) or _are_numbers(class_names)):
        return  # names were given, or left out, since
    raise WeightsError(
        f"{path} was trained with {_listed(trained)}, but the dataset has {_listed(class_names)}: {WHAT_TO_DO}."
    )


def _are_numbers(names: Sequence[str]) -> bool:
    """Say whether names are those that classes without names are given."""
    return all(re.fullmatch(r"class \d+", name) for name in names)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name if len(name) <= 40 else f"{name[:39]}…" for name in names[:SHOWN])
    return f"{len(names)} classes ({shown}{', …' if len(names) > SHOWN else ''})"


def _shape(shape: "tuple[int, ...] | None") -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"
