"""Masks of one image as few label maps: objects whose boxes do not touch share one, so that none hides another.

What can warp an image of labels can so warp any number of masks, also those that overlap.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from .arrays import Int32Array, Int64Array, UInt8Array
from .mask_crops import MaskCrops


def colours(boxes: Int64Array) -> Int64Array:
    """Return which map each of N boxes ``(N, 4)``, ``x1, y1, x2, y2``, belongs to, ``(N,)``: none touches another.

    >>> colours(np.array([[0, 0, 4, 4], [2, 2, 6, 6], [10, 10, 12, 12]]))
    array([0, 1, 0])
    """
    x1, y1, x2, y2 = boxes.T
    touch = (x1[:, None] <= x2) & (x1 <= x2[:, None]) & (y1[:, None] <= y2) & (y1 <= y2[:, None])
    chosen = np.full(len(boxes), -1, np.int64)
    for number in range(len(boxes)):
        taken = set(chosen[touch[number]].tolist())
        chosen[number] = next(colour for colour in range(len(boxes)) if colour not in taken)
    return chosen


def to_label_maps(masks: MaskCrops) -> list[Int32Array]:
    """Return maps ``(height, width)`` int32 that hold 0 for the background and ``number + 1`` for each mask.

    >>> to_label_maps(MaskCrops.from_dense(np.array([[[1, 1, 0, 0]], [[0, 0, 0, 1]]])))
    [array([[1, 1, 0, 2]], dtype=int32)]
    """
    of_mask = colours(masks.boxes)
    maps: list[Int32Array] = [
        np.zeros((masks.height, masks.width), np.int32) for _ in range(int(of_mask.max(initial=-1)) + 1)
    ]
    for number, ((x1, y1, x2, y2), crop) in enumerate(zip(masks.boxes, masks.crops, strict=True)):
        maps[of_mask[number]][y1:y2, x1:x2][crop != 0] = number + 1
    return maps


def from_label_maps(maps: Sequence[Int32Array], count: int, height: int, width: int) -> MaskCrops:
    """Return ``count`` masks of maps that were warped together; those that are on none of them are empty.

    >>> from_label_maps([np.array([[1, 1, 0, 2]], np.int32)], 2, 1, 4).areas()
    array([2, 1])
    """
    boxes = np.zeros((count, 4), np.int64)
    crops: list[UInt8Array] = [np.zeros((0, 0), np.uint8)] * count
    for labels in maps:
        for label, (x1, y1, x2, y2) in _boxes_of(labels):
            boxes[label - 1] = x1, y1, x2, y2
            crops[label - 1] = (labels[y1:y2, x1:x2] == label).astype(np.uint8)
    return MaskCrops(height, width, boxes, tuple(crops))


def _boxes_of(labels: Int32Array) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Return each label of a map with its tight box ``x1, y1, x2, y2``."""
    rows, columns = np.nonzero(labels)
    if not len(rows):
        return []
    values = labels[rows, columns]
    last = int(values.max()) + 1
    low_x, high_x = np.full(last, labels.shape[1]), np.zeros(last, np.int64)
    low_y, high_y = np.full(last, labels.shape[0]), np.zeros(last, np.int64)
    np.minimum.at(low_x, values, columns)
    np.maximum.at(high_x, values, columns + 1)
    np.minimum.at(low_y, values, rows)
    np.maximum.at(high_y, values, rows + 1)
    found = np.flatnonzero(high_x)
    return [(int(v), (int(low_x[v]), int(low_y[v]), int(high_x[v]), int(high_y[v]))) for v in found]


def resized_labels(labels: Int32Array, height: int, width: int) -> Int32Array:
    """Return a map resized by nearest neighbours.

    >>> resized_labels(np.array([[1, 0]], np.int32), 2, 4)
    array([[1, 1, 0, 0],
           [1, 1, 0, 0]], dtype=int32)
    """
    resized: Int32Array = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    return resized
