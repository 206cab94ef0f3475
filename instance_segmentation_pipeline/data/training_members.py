"""What a Musket dataset tells of its items for training alone: the items to train on, which are positive, and weights.

These are ``item(i, isTrain)`` and ``get_train_item``, ``isPositive``, and ``sample_weight``. They are asked of the
dataset that an item is of, seen through musket_core's parts and unions.
"""

import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..detection.arrays import BoolArray, Float64Array
from ..errors import DatasetError, UserError, one_line, shortened
from .data_folder import read_whole
from .dataset_walk import within
from .item_cache import ItemCache


def train_item(dataset: Any, position: int) -> Any:
    """Return an item as it is trained on: ``item(i, True)`` of its dataset, else ``get_train_item(i)``, else itself."""
    return ask_owner(dataset, position, _train_item)


def _train_item(dataset: Any, position: int) -> Any:
    chosen = getattr(dataset, "item", None)
    if callable(chosen) and _takes_two(chosen):
        return read_whole(chosen(position, True))
    get = getattr(dataset, "get_train_item", None)
    return read_whole(get(position) if callable(get) else dataset[position])


def _takes_two(method: Callable[..., Any]) -> bool:
    try:
        inspect.signature(method).bind(0, True)
    except (TypeError, ValueError):
        return False
    return True


def ask_owner(dataset: Any, position: int, ask: Callable[[Any, int], Any]) -> Any:
    """Ask the dataset that an item is of, in the folder that it is read in.

    Args:
        dataset: A dataset, seen through musket_core's parts and unions.
        position: Of the item.
        ask: Called with the dataset that the item is of, and its position there.
    """
    *_, owner = within(dataset, None, position)
    with contextlib.nullcontext() if owner.folder is None else owner.folder.entered():
        return ask(owner.dataset, owner.position)


class Positives:
    """Which items have objects: ``isPositive`` of the dataset that has it, else whether an item has a label.

    Args:
        labels: The labels in each item, read once.
    """

    def __init__(self, labels: "ItemCache[set[int]]") -> None:
        self._labels = labels
        self._told: ItemCache[bool | None] = ItemCache(_told, "positive items")

    def of(self, dataset: Any, positions: Sequence[int]) -> BoolArray:
        """Return for items at these positions of a dataset whether they have objects, ``(N,)``.

        Raises:
            DatasetError: The dataset's ``isPositive`` fails.
        """
        told = self._told.of(dataset, positions)
        others = [position for position, one in zip(positions, told, strict=True) if one is None]
        read = iter(self._labels.of(dataset, others))
        return np.array([bool(next(read)) if one is None else one for one in told], bool)


def _told(dataset: Any, position: int) -> "bool | None":
    def ask(own: Any, number: int) -> "bool | None":
        method = getattr(own, "isPositive", None)
        return bool(method(number)) if callable(method) else None

    told: bool | None = _of_method(dataset, position, ask, "isPositive")
    return told


def sample_weights(dataset: Any, positions: Sequence[int]) -> "Float64Array | None":
    """Return the weights of items at these positions, ``(N,)``; ``None`` where no dataset gives any, or all are equal.

    An item of a dataset without ``sample_weight`` counts 1.

    Raises:
        DatasetError: A weight is no number of 0 or more, or all are 0.
    """
    found = [_of_method(dataset, position, _weight, "sample_weight") for position in positions]
    if all(weight is None for weight in found):
        return None
    weights = np.ones(len(found))
    for number, weight in enumerate(found):
        if weight is not None:
            weights[number] = _checked_weight(weight, positions[number])
    if not weights.sum():
        raise DatasetError("sample_weight is 0 for each item: nothing would be trained on.")
    return None if (weights == weights[0]).all() else weights


def _weight(dataset: Any, position: int) -> Any:
    method = getattr(dataset, "sample_weight", None)
    return method(position) if callable(method) else None


def _checked_weight(weight: Any, position: int) -> float:
    try:
        number = float(np.asarray(weight, np.float64).reshape(()))
    except (TypeError, ValueError):
        number = np.nan
    if not 0 <= number < np.inf:
        raise DatasetError(f"sample_weight of item {position} is {shortened(weight)}, expected a number of 0 or more.")
    return number


def _of_method(dataset: Any, position: int, ask: Callable[[Any, int], Any], name: str) -> Any:
    try:
        return ask_owner(dataset, position, ask)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise DatasetError(f"{name} of item {position} of the dataset fails: {one_line(error)}.") from error
