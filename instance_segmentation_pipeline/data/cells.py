"""Cells of a dataset's images as items: which there are, which have objects, and reading one.

What an item is known by, and its place in a split, stay those of the whole image.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..detection.arrays import BoolArray, CellOfImage, UInt8Array
from ..detection.instances import Instances
from ..detection.records import to_middle_format
from ..detection.tiles import Grid, cut
from .item_cache import ItemCache
from .item_reader import ItemReader
from .protocols import Dataset


class _Image(NamedTuple):
    height: int
    width: int
    has_objects: tuple[bool, ...]


class ReadCell(NamedTuple):
    """A cell of an image: the image's id, pixels ``(height, width, 3)``, objects, and where in the image it lies.

    ``place`` is ``None`` where it is the whole image.
    """

    item_id: str
    image: UInt8Array
    instances: Instances
    place: "CellOfImage | None"


class Cells:
    """Cells of some images of a dataset.

    Args:
        grid: How images are cut.
        indices: Position of the image of each cell.
        numbers: Which of its cells it is.
        positive: Whether a cell has objects that are trained on.
        training: They are cells to train on; others overlap as those that are predicted on do.
    """

    def __init__(
        self, grid: Grid, indices: Sequence[int], numbers: Sequence[int], positive: BoolArray, training: bool
    ) -> None:
        self.grid, self.indices, self.numbers, self.positive = grid, list(indices), list(numbers), positive
        self.training = training
        self._last: tuple[int, tuple[str, UInt8Array, Instances]] | None = None

    @classmethod
    def first(cls, grid: Grid, indices: Sequence[int], *, training: bool) -> "Cells":
        """Return the first cell of each of some images, of which none is read for it."""
        return cls(grid, indices, [0] * len(indices), np.ones(len(indices), bool), training)

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, positions: Sequence[int]) -> "Cells":
        """Return the cells at these positions."""
        chosen = [int(position) for position in positions]
        indices, numbers = [self.indices[one] for one in chosen], [self.numbers[one] for one in chosen]
        return Cells(self.grid, indices, numbers, self.positive[chosen], self.training)

    def read(self, source: Dataset, reader: ItemReader, position: int) -> ReadCell:
        """Read a cell.

        An image that is validated on is kept until another one is asked for, since its cells follow each other. One to
        train on may be another at each reading; where it has another size, its cells are those of that size.

        Raises:
            DatasetError: The image cannot be read, or is not what it should be.
        """
        index, number = self.indices[position], self.numbers[position]
        if self.training:
            whole = reader.read(source, index, training=True)
        else:
            if self._last is None or self._last[0] != index:
                self._last = (index, reader.read(source, index))
            whole = self._last[1]
        item_id, image, instances = whole
        height, width = image.shape[:2]
        cells = (self.grid.training if self.training else self.grid.prediction)(height, width)
        cell = cells[number % len(cells)]
        place: CellOfImage = {"image": index, "cell": cell, "height": height, "width": width, "whole": None}
        if number == 0 and not self.training:
            place["whole"] = to_middle_format(instances, item_id)
        pixels = np.ascontiguousarray(image[cell.top : cell.bottom, cell.left : cell.right])
        return ReadCell(item_id, pixels, cut(instances, cell, self.grid.keep), place)


class CellCatalog:
    """Tells which cells images have; each image is read once.

    Args:
        grid: How images are cut.
        reader: Returns how items are read.
    """

    def __init__(self, grid: Grid, reader: Callable[[], ItemReader]) -> None:
        self.grid, self._reader = grid, reader
        self._images = ItemCache(self._looked_at, "cells of the dataset")

    def of(self, dataset: Dataset, indices: Sequence[int], *, training: bool) -> Cells:
        """Return the cells of images at these positions of a dataset, image by image.

        Raises:
            DatasetError: An image cannot be read, or is not what it should be.
        """
        at, numbers, positive = list[int](), list[int](), list[bool]()
        for index, image in zip(indices, self._images.of(dataset, indices), strict=True):
            has_objects = image.has_objects
            if not training:
                has_objects = (True,) * len(self.grid.prediction(image.height, image.width))
            at += [int(index)] * len(has_objects)
            numbers += range(len(has_objects))
            positive += has_objects
        return Cells(self.grid, at, numbers, np.array(positive, bool), training)

    def _looked_at(self, dataset: Dataset, position: int) -> _Image:
        _, image, instances = self._reader().read(dataset, position)
        height, width = image.shape[:2]
        cells = self.grid.training(height, width)
        return _Image(height, width, tuple(len(cut(instances, cell, self.grid.keep)) > 0 for cell in cells))
