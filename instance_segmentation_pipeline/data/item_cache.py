"""What was read of a dataset's items, each of which is read once, by whatever part of the dataset it is asked for."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from musket_core.datasets import CompositeDataSet, SubDataSet
from tqdm import tqdm

from .protocols import Dataset

T = TypeVar("T")


def place_of(dataset: Dataset, position: int) -> tuple[Dataset, int]:
    """Return the dataset that an item is of, and its position there, seen through musket_core's parts and unions.

    Subclasses of them may read in a way of their own, and are not seen through.
    """
    inner: Any = dataset
    while True:
        if type(inner) is SubDataSet:
            inner, position = inner.ds, inner.indexes[position]
        elif type(inner) is CompositeDataSet:
            number = bisect_right(inner.shifts, position)
            position -= inner.shifts[number - 1] if number else 0
            inner = inner.components[number]
        else:
            return inner, int(position)


class ItemCache(Generic[T]):
    """What ``read`` gives for items, kept.

    Args:
        read: Called with a dataset and a position in it, once for each item that is asked for.
        title: What a progress bar calls it; without a title there is none.
    """

    def __init__(self, read: Callable[[Dataset, int], T], title: str = "") -> None:
        self._read = read
        self._title = title
        self._kept: dict[tuple[int, int], T] = {}
        self._datasets: dict[int, Dataset] = {}

    def of(self, dataset: Dataset, positions: Sequence[int]) -> list[T]:
        """Return what was read of items at these positions of a dataset, in their order."""
        places = [place_of(dataset, position) for position in positions]
        self._datasets.update((id(one), one) for one, _ in places)  # while they are held, their ids are theirs
        keys = [(id(one), position) for one, position in places]
        missing = {key: None for key in keys if key not in self._kept}
        for key in tqdm(missing, self._title, disable=None if self._title else True):
            self._kept[key] = self._read(self._datasets[key[0]], key[1])
        return [self._kept[key] for key in keys]
