"""The one walk into a dataset: through data folders, steps of preprocessing, and musket_core's parts and unions.

Subclasses of musket_core's may read in a way of their own, and are not seen through.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from musket_core.datasets import CompositeDataSet, SubDataSet

from .data_folder import DataFolder, FolderDataSet, inner_of

Through = Literal["parent", "before"]
"""The way through a step: to the dataset whose items it changes, or, of a transformer, to the one that it was given."""


class Place(NamedTuple):
    """A dataset within another one.

    Attributes:
        dataset: The dataset.
        folder: The folder that it is read in, ``None`` for the current one.
        position: Where the item lies in it that was asked for; -1 where none was.
        is_leaf: Whether it is made of no other.
    """

    dataset: Any
    folder: "DataFolder | None"
    position: int
    is_leaf: bool


def within(dataset: Any, steps: "Through | None" = "parent", position: "int | None" = None) -> Iterator[Place]:
    """Give a dataset and those that it is made of, from the outside in; of a union, the last part first.

    Args:
        dataset: The dataset.
        steps: The way through steps of preprocessing; ``None`` stops at them.
        position: Of an item: of a union only the part that has it is given.
    """
    waiting: list[tuple[Any, DataFolder | None, int]] = [(dataset, None, -1 if position is None else position)]
    while waiting:
        one, folder, place = waiting.pop()
        inner = _inside(one, folder, place, steps)
        yield Place(one, folder, place, not inner)
        waiting += inner


def _inside(
    one: Any, folder: "DataFolder | None", place: int, steps: "Through | None"
) -> list[tuple[Any, "DataFolder | None", int]]:
    kind = type(one)
    if kind is FolderDataSet:
        return [(*inner_of(one), place)]
    if kind is SubDataSet:
        return [(one.ds, folder, place if place < 0 else int(one.indexes[place]))]
    if kind is CompositeDataSet:
        if place < 0:
            return [(part, folder, place) for part in one.components]
        number = bisect_right(one.shifts, place)
        return [(one.components[number], folder, place - (one.shifts[number - 1] if number else 0))]
    if steps is not None and getattr(kind, "is_step", False):
        given = vars(one).get("before") if steps == "before" else None
        return [(one.parent if given is None else given, folder, place)]
    return []
