"""Outlines of masks as polygons along the sides of pixels, from which pycocotools draws the same masks again.

Corners lie at whole numbers: the pixel of row 2 and column 3 has the corners (3, 2) and (4, 3). Holes are joined to the
outline around them by a seam, a line that is walked there and back: what fills by parity draws nothing along it.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from .arrays import BoolArray, Float64Array, Int64Array, UInt8Array
from .mask_crops import MaskCrops

_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
"""Right, down, left and up, as x and y; each is a turn to the right of the one before."""


def mask_polygons(masks: MaskCrops, number: int) -> list[Float64Array]:
    """Return the parts of a mask, each ``(points, 2)`` x and y: pixels that touch at sides are one part.

    >>> ring = MaskCrops.from_dense(np.array([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]]))
    >>> mask_polygons(ring, 0)[0].tolist()[:5]
    [[0.0, 0.0], [3.0, 0.0], [3.0, 3.0], [0.0, 3.0], [0.0, 0.0]]
    """
    left, top = masks.boxes[number, :2].tolist()
    crop = masks.crops[number]
    if not crop.size:
        return []
    parts: dict[int, list[Int64Array]] = {}
    for part, loop in _loops(crop):
        parts.setdefault(part, []).append(loop)
    # of a part the outer loop has the leftmost of the topmost corners
    ordered = [sorted(loops, key=lambda loop: loop[:, ::-1].min(axis=0).tolist()) for loops in parts.values()]
    return [joined_polygons(loops) + np.array([left, top]) for loops in ordered]


def joined_polygons(polygons: "Sequence[Int64Array] | Sequence[Float64Array]") -> Float64Array:
    """Return one polygon ``(points, 2)`` of several, joined by seams from the first one's first point.

    >>> joined_polygons([np.array([[0, 0], [2, 0], [0, 2]]), np.array([[5, 5], [6, 5], [5, 6]])]).tolist()
    [[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 0.0], [5.0, 5.0], [6.0, 5.0], [5.0, 6.0], [5.0, 5.0]]
    """
    first, rest = polygons[0], polygons[1:]
    if not rest:
        return np.asarray(first, np.float64)
    seams = [np.concatenate([first, first[:1]])]
    for number, polygon in enumerate(rest):
        seams.append(np.concatenate([polygon, polygon[:1]]))
        if number < len(rest) - 1:  # the last one is closed to the first point
            seams.append(first[:1])
    whole: Float64Array = np.concatenate(seams).astype(np.float64)
    return whole


def _loops(crop: UInt8Array) -> list[tuple[int, Int64Array]]:
    """Return part and corners ``(points, 2)`` of each closed line between object and background."""
    labels = cv2.connectedComponents(crop, connectivity=4)[1]
    padded = np.pad(crop.astype(bool), 1)
    inside = padded[1:-1, 1:-1]
    # by step: the neighbour that has to be background, and the corner of the pixel that the step starts from
    sides = ((padded[:-2, 1:-1], 0, 0), (padded[1:-1, 2:], 1, 0), (padded[2:, 1:-1], 1, 1), (padded[1:-1, :-2], 0, 1))
    starts, steps, parts = [], [], []
    for step, (neighbour, right, down) in enumerate(sides):
        rows, columns = np.nonzero(inside & ~neighbour)
        starts.append(np.stack([columns + right, rows + down], axis=1))
        steps.append(np.full(len(rows), step))
        parts.append(labels[rows, columns])
    start, step = np.concatenate(starts), np.concatenate(steps)
    return _walked(start, step, np.concatenate(parts), crop.shape[1] + 1)


def _walked(start: Int64Array, step: Int64Array, part: Int64Array, width: int) -> list[tuple[int, Int64Array]]:
    """Return the loops that unit steps make; where two cross, each turns to the right, and stays with its part."""
    at = start[:, 1] * width + start[:, 0]
    key = at * 4 + step
    order = np.argsort(key)
    ends = start + _STEPS[step]
    end = ends[:, 1] * width + ends[:, 0]
    follower = np.full(len(key), -1)
    for turn in (3, 0, 1):  # the last one that is there counts
        wanted = end * 4 + (step + turn) % 4
        found = order[np.searchsorted(key[order], wanted).clip(max=len(key) - 1)]
        there: BoolArray = key[found] == wanted
        follower[there] = found[there]
    following, seen, loops = follower.tolist(), bytearray(len(key)), []
    for first in range(len(key)):
        if seen[first]:
            continue
        walk, edge = [], first
        while not seen[edge]:
            seen[edge] = 1
            walk.append(edge)
            edge = following[edge]
        turns = step[walk] != np.roll(step[walk], 1)
        loops.append((int(part[first]), start[walk][turns]))
    return loops
