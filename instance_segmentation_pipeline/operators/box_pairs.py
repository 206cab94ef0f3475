"""Boxes that meet, and how much: what suppression of any kind works on.

NumPy, which starts no threads; single precision, with the compiled operators' own expressions, so that an overlap
lies on the same side of a threshold.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

Indices = npt.NDArray[np.int64]
Overlaps = npt.NDArray[np.float32]

SMALL = 160
"""Up to so many boxes the overlaps of all are cheaper than finding which of them meet."""

PAIRS_AT_ONCE = 1 << 16
"""Pairs whose temporaries stay in a core's cache."""


class Pairs(NamedTuple):
    """Pairs of boxes, each pair once, in no particular order."""

    first: Indices
    """(P,) the one that comes first in the boxes' order."""
    second: Indices
    """(P,) the other."""
    iou: Overlaps
    """(P,) float32; NaN where both have no area."""


class Boxes:
    """Coordinates and areas of boxes in single precision, one array each.

    Args:
        boxes: (N, 4 or more), x1, y1, x2, y2.
        offset: 0, or 1 where x2 and y2 are pixels that belong to the box.
        order: The order that the boxes are wanted in.
    """

    def __init__(self, boxes: Tensor, offset: int, order: Indices) -> None:
        data = np.ascontiguousarray(boxes.detach().float().cpu().numpy()[order].T)
        self.x1, self.y1, self.x2, self.y2 = data[:4]
        self.offset = np.float32(offset)
        with np.errstate(all="ignore"):  # boxes may be infinite
            self.area = (self.x2 - self.x1 + self.offset) * (self.y2 - self.y1 + self.offset)

    def __len__(self) -> int:
        return int(self.x1.size)

    def iou(self, some: Indices, others: Indices) -> Overlaps:
        """Return the overlaps of boxes in float32; ``some`` and ``others`` are indices that broadcast."""
        width: Overlaps = np.minimum(self.x2.take(some), self.x2.take(others))
        width -= np.maximum(self.x1.take(some), self.x1.take(others))
        height = np.minimum(self.y2.take(some), self.y2.take(others))
        height -= np.maximum(self.y1.take(some), self.y1.take(others))
        if self.offset:
            width += self.offset
            height += self.offset
        np.maximum(width, 0, out=width)
        np.maximum(height, 0, out=height)
        width *= height
        np.add(self.area.take(some), self.area.take(others), out=height)
        height -= width
        np.divide(width, height, out=width)
        return width


class Sweep:
    """Boxes from left to right, and how many of those that follow each of them reaches on the horizontal axis."""

    def __init__(self, boxes: Boxes) -> None:
        self.boxes = boxes
        self.order = np.argsort(boxes.x1, kind="stable")
        begin, end = boxes.x1[self.order], boxes.x2[self.order] + boxes.offset
        reach = np.searchsorted(begin, end, side="right")
        self.counts = np.maximum(reach - np.arange(1, len(boxes) + 1), 0)
        self.total = int(self.counts.sum())

    def pairs(self) -> Pairs:
        """Return all pairs that have a common area; others may be among them."""
        ends = self.counts.cumsum()
        found, start = [], 0
        while start < ends.size:
            done = ends[start - 1] if start else 0
            stop = max(int(np.searchsorted(ends, done + PAIRS_AT_ONCE, side="right")), start + 1)
            found.append(self._pairs_of(start, stop))
            start = stop
        return Pairs(*(np.concatenate(part) for part in zip(*found, strict=True))) if found else _no_pairs()

    def _pairs_of(self, start: int, stop: int) -> Pairs:
        counts = self.counts[start:stop]
        left = np.repeat(np.arange(start, stop), counts)
        shift = np.arange(start + 1, stop + 1) - (counts.cumsum() - counts)
        right = np.arange(left.size) + np.repeat(shift, counts)
        one, other = self.order.take(left), self.order.take(right)
        boxes = self.boxes
        height = np.minimum(boxes.y2.take(one), boxes.y2.take(other))
        height -= np.maximum(boxes.y1.take(one), boxes.y1.take(other))
        meet = np.flatnonzero(height + boxes.offset > 0)
        one, other = one.take(meet), other.take(meet)
        return Pairs(np.minimum(one, other), np.maximum(one, other), boxes.iou(one, other))


def all_pairs(boxes: Boxes) -> Pairs:
    """Return every pair, whether the boxes meet or not."""
    first, second = np.triu_indices(len(boxes), 1)
    return Pairs(first, second, boxes.iou(first, second))


def meeting_pairs(boxes: Boxes) -> Pairs:
    """Return all pairs that have a common area; others may be among them."""
    return all_pairs(boxes) if len(boxes) <= SMALL else Sweep(boxes).pairs()


def _no_pairs() -> Pairs:
    none = np.empty(0, np.int64)
    return Pairs(none, none, np.empty(0, np.float32))
