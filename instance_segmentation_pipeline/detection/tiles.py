"""Cells of large images: where they lie, and what of an image's objects is in one. Pure functions."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .arrays import Float32Array
from .crowds import Crowds, covering
from .instances import Instances

LEAST_OVERLAP = 0.05
"""Share of a cell that the next one shows again in prediction at least: else nothing tells what goes over a seam."""


class Cell(NamedTuple):
    """A part of an image, in pixels; right and bottom are exclusive.

    >>> Cell(10, 20, 40, 30).width, Cell(10, 20, 40, 30).height
    (30, 10)
    """

    left: int
    top: int
    right: int
    bottom: int

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.right - self.left


@dataclass(frozen=True)
class Grid:
    """How images are cut into cells.

    Attributes:
        size: Height and width of a cell; an image that is smaller is one cell.
        count: In place of ``size``, how many cells there are along each side; the pixels of a remainder are shared out.
        overlap: Share of a cell that the next one shows again: in training where ``size`` is given, and in prediction,
            there ``LEAST_OVERLAP`` at least.
        keep: Share of an object from which a cell that cuts it trains on it.

    >>> Grid(size=(100, 100), overlap=0.2).training(100, 250)
    [Cell(left=0, top=0, right=100, bottom=100), Cell(left=75, top=0, right=175, bottom=100), \
Cell(left=150, top=0, right=250, bottom=100)]
    >>> [cell.width for cell in Grid(count=3).training(3, 100)[:3]]
    [33, 33, 34]
    """

    size: "tuple[int, int] | None" = None
    count: "int | None" = None
    overlap: float = 0.2
    keep: float = 0.3

    def training(self, height: int, width: int) -> list[Cell]:
        """Return the cells of an image that are trained on, row by row: together they are the image."""
        return self._cells(height, width, 0.0 if self.size is None else self.overlap)

    def prediction(self, height: int, width: int) -> list[Cell]:
        """Return the cells of an image that are predicted on, row by row; neighbours overlap."""
        return self._cells(height, width, max(self.overlap, LEAST_OVERLAP))

    def _cells(self, height: int, width: int, overlap: float) -> list[Cell]:
        if self.size is not None:
            rows, columns = _spread(height, self.size[0], overlap), _spread(width, self.size[1], overlap)
        else:
            rows, columns = _divided(height, self.count or 1, overlap), _divided(width, self.count or 1, overlap)
        return [Cell(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def most_at_once(grid: "Grid | None", bboxes: Float32Array, height: int, width: int) -> int:
    """Return the most objects that a net is shown at once: those of an image, or of its fullest cell of prediction.

    Args:
        grid: How images are cut; ``None`` where they are not.
        bboxes: ``(N, 4)`` ``x1, y1, x2, y2`` of the image's objects.
        height: Height of the image.
        width: Width of the image.

    >>> most_at_once(Grid(size=(50, 50)), np.array([[0, 0, 9, 9], [80, 0, 99, 9]], np.float32), 50, 100)
    1
    """
    if grid is None or not len(bboxes):
        return len(bboxes)
    cells = np.array(grid.prediction(height, width), np.float32)
    return max(int(((bboxes[:, :2] < cell[2:]) & (bboxes[:, 2:] > cell[:2])).all(axis=1).sum()) for cell in cells)


def _spread(length: int, side: int, overlap: float) -> list[tuple[int, int]]:
    """Return parts of one length that overlap by a share or more, spread evenly."""
    if length <= side:
        return [(0, length)]
    shared = min(side - 1, round(side * overlap))
    count = -(-(length - shared) // (side - shared))
    starts = [(length - side) * number // (count - 1) for number in range(count)]
    return [(start, start + side) for start in starts]


def _divided(length: int, count: int, overlap: float) -> list[tuple[int, int]]:
    """Return so many parts, each widened by half of the overlap where another one follows."""
    count = min(count, length)
    edges = [length * number // count for number in range(count + 1)]
    margin = round(length / count * overlap / 2)
    return [(max(0, one - margin), min(length, two + margin)) for one, two in itertools.pairwise(edges)]


def cut(instances: Instances, cell: Cell, keep: float) -> Instances:
    """Return the objects of a cell, in its coordinates; of crowds, what lies in it.

    Args:
        instances: The objects of the whole image.
        cell: The cell.
        keep: An object that the cell's edge cuts stays where this share of its mask, or of its box where there are no
            masks, is in the cell; its box is that of what is left.

    >>> one = Instances(60, 80, np.array([0]), np.array([[10, 10, 30, 20]], np.float32), None)
    >>> cut(one, Cell(20, 0, 60, 60), keep=0.5).bboxes, len(cut(one, Cell(25, 0, 60, 60), keep=0.5))
    (array([[ 0., 10., 10., 20.]], dtype=float32), 0)
    """
    origin = np.array([cell.left, cell.top] * 2, np.float32)
    clipped = (instances.bboxes - origin).clip(0, np.array([cell.width, cell.height] * 2, np.float32))
    sides = clipped[:, 2:] - clipped[:, :2]
    rows = np.flatnonzero((sides > 0).all(axis=1))
    before, boxes = instances.bboxes[rows], clipped[rows]
    is_cut = (boxes[:, 2:] - boxes[:, :2] < before[:, 2:] - before[:, :2]).any(axis=1)
    masks = None
    if instances.masks is None:
        shares = sides[rows].prod(axis=1) / (before[:, 2:] - before[:, :2]).prod(axis=1)
        left = np.ones(len(rows), bool)
    else:
        whole = instances.masks.take(rows)
        masks = whole.placed(cell.height, cell.width, -cell.left, -cell.top)
        areas, all_areas = masks.areas(), whole.areas()
        shares = areas / np.maximum(all_areas, 1)
        is_cut |= areas < all_areas
        left = (areas > 0) | ~is_cut
        tight = masks.tight_boxes()
        usable = is_cut & ((tight[:, 2:] - tight[:, :2]) > 0).all(axis=1)
        boxes = np.where(usable[:, None], tight, boxes)
    stays = np.flatnonzero(left & (~is_cut | (shares >= keep)))
    return Instances(
        cell.height,
        cell.width,
        instances.labels[rows][stays],
        boxes[stays].astype(np.float32),
        None if masks is None else masks.take(stays),
        _cut_crowds(instances.crowds, cell),
    )


def _cut_crowds(crowds: "Crowds | None", cell: Cell) -> "Crowds | None":
    if crowds is None:
        return None
    return covering((crowds[0], crowds[1].placed(cell.height, cell.width, -cell.left, -cell.top)))
