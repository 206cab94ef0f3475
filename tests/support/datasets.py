"""Datasets made in tests: any list of items, and the shapes of the example project."""

import sys

import numpy as np
from musket_core.datasets import DataSet, PredictionItem

from tests.support.project import SHAPES


class Items(DataSet):
    """A dataset of given ``(image, y)`` pairs; ids are ``item<number>``."""

    def __init__(self, pairs):
        super().__init__()
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, item):
        image, y = self.pairs[item]
        return PredictionItem(f"item{item}", image, y)


def square(height=40, width=60, top=5, left=20, side=10, label=1):
    """Return an image and a target with one square, boxes ``[minY, minX, maxY, maxX]``."""
    image = np.zeros((height, width, 3), np.uint8)
    mask = np.zeros((1, height, width), bool)
    mask[0, top : top + side, left : left + side] = True
    image[mask[0]] = 200
    bboxes = np.array([[top, left, top + side, left + side]], np.float32)
    return image, (np.array([label]), bboxes, mask)


def shapes(count=12, size=64, seed=0):
    """Return the shapes dataset of the example project."""
    folder = str(SHAPES / "modules")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    from shapes import Shapes

    return Shapes(count, size, seed)


def same_items(one, other):
    """Assert that two items are the same: ids, and arrays with dtypes and shapes."""
    assert one.id == other.id
    assert one.x.dtype == other.x.dtype
    assert (one.x == other.x).all()
    assert len(one.y) == len(other.y)
    for mine, theirs in zip(one.y, other.y, strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        assert (mine == theirs).all()
