"""Masks of one image under a homography: each is warped within its own box, never the whole image.

Coordinates are continuous pixels: the image reaches from ``(0, 0)`` to ``(width, height)``, and a pixel's centre lies
half a pixel from its corners. Flips, quarter turns, crops, pads and resizing are exact; all else takes the nearest
pixel, as a warp of the whole mask does.
"""

from dataclasses import replace

import cv2
import numpy as np

from .arrays import Float64Array, UInt8Array
from .mask_crops import MaskCrops

CLOSE = 1e-3
"""Pixels by which the corners of an image may miss whole ones and still count as being there."""

_HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
_BACK = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])


def projected(matrix: Float64Array, points: Float64Array) -> Float64Array:
    """Return points ``(N, 2)``, ``x, y``, under a homography ``(3, 3)``; behind its horizon they are not finite.

    >>> double = np.diag([2.0, 2.0, 1.0])
    >>> projected(double, np.array([[3.0, 4.0]]))
    array([[6., 8.]])
    """
    flat = points @ matrix[:, :2].T + matrix[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flat[:, 2:] > 1e-9, flat[:, :2] / flat[:, 2:], np.inf)


def homography(before: Float64Array, after: Float64Array) -> Float64Array:
    """Return the homography ``(3, 3)`` that takes four points ``(4, 2)``, ``x, y``, no three in a line, to others.

    >>> corners = np.array([[0, 0], [4, 0], [4, 2], [0, 2]])
    >>> projected(homography(corners, corners * 2 + 1), np.array([[1.0, 1.0]])).round(6)
    array([[3., 3.]])
    """
    rows = []
    for (x, y), (u, v) in zip(before, after, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    solved = np.linalg.lstsq(np.array(rows, float), np.asarray(after, float).ravel(), rcond=None)[0]
    return np.append(solved, 1.0).reshape(3, 3)


def warped(masks: MaskCrops, matrix: Float64Array, height: int, width: int) -> tuple[MaskCrops, Float64Array]:
    """Return masks under a homography, on an image ``height`` x ``width``, and the share of each that is still there.

    Args:
        masks: The masks.
        matrix: ``(3, 3)``, takes ``x, y`` before to ``x, y`` after.
        height: Height of the image afterwards.
        width: Its width.

    Returns:
        The masks, some of which may be empty; and ``(N,)`` float64 in 0..1: how much of each object's pixels lands
        inside the image, whatever its size there.

    >>> masks = MaskCrops.from_dense(np.array([[[1, 1, 0, 0]]]))
    >>> moved, there = warped(masks, np.array([[1, 0, 3], [0, 1, 0], [0, 0, 1.0]]), 1, 4)  # three pixels to the right
    >>> moved.to_dense(), there
    (array([[[0, 0, 0, 1]]], dtype=uint8), array([0.5]))
    """
    there = _shares(masks, matrix, height, width)
    straight = _straight(masks, matrix, height, width)
    return (_in_boxes(masks, matrix, height, width) if straight is None else straight), there


def _shares(masks: MaskCrops, matrix: Float64Array, height: int, width: int) -> Float64Array:
    corners = masks.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]].astype(float)
    ends = projected(matrix, corners.reshape(-1, 2)).reshape(-1, 4, 2)
    size = np.array([width, height])
    outside = ((ends < -CLOSE) | (ends > size + CLOSE)).any(axis=(1, 2))
    shares = np.ones(len(masks))
    for number in np.flatnonzero(outside):
        rows, columns = np.nonzero(masks.crops[number])
        if len(rows):
            centres = (np.stack([columns, rows], 1) + masks.boxes[number, :2]).astype(np.float64) + 0.5
            moved = projected(matrix, centres)
            shares[number] = ((moved > 0) & (moved < size)).all(axis=1).mean()
    return shares


def _straight(masks: MaskCrops, matrix: Float64Array, height: int, width: int) -> "MaskCrops | None":
    """Return masks that are flipped, turned by quarters, cut, padded and resized; ``None`` for any other warp."""
    (a, b, c), (d, e, f), last = matrix
    across, down = max(masks.width, width), max(masks.height, height)
    if abs(last[0]) * across > 1e-6 or abs(last[1]) * down > 1e-6:
        return None
    if max(abs(b) * down, abs(d) * across) < CLOSE and min(abs(a), abs(e)) > CLOSE / across:
        turned, scale_x, scale_y, left, top = masks, a, e, c, f
    elif max(abs(a) * across, abs(e) * down) < CLOSE and min(abs(b), abs(d)) > CLOSE / down:
        boxes, crops = masks.boxes[:, [1, 0, 3, 2]], tuple(crop.T for crop in masks.crops)
        turned, scale_x, scale_y, left, top = MaskCrops(masks.width, masks.height, boxes, crops), b, d, c, f
    else:
        return None
    left, top = left + min(scale_x, 0) * turned.width, top + min(scale_y, 0) * turned.height
    turned = turned.flip(horizontal=scale_x < 0, vertical=scale_y < 0)
    exact = np.array([left / abs(scale_x), top / abs(scale_y), width / abs(scale_x), height / abs(scale_y)])
    whole = exact.round()
    if np.abs(exact - whole).max() > 10 * CLOSE or whole[2:].min() < 1:
        return None
    placed = turned.placed(int(whole[3]), int(whole[2]), int(whole[0]), int(whole[1]))
    return placed if (placed.height, placed.width) == (height, width) else placed.resized(height, width)


def _in_boxes(masks: MaskCrops, matrix: Float64Array, height: int, width: int) -> MaskCrops:
    by_index = _BACK @ matrix @ _HALF
    is_affine = abs(by_index[2, :2]).max() * max(masks.width, masks.height) < 1e-6
    corners = (masks.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]).reshape(-1, 2)
    ends = projected(matrix, corners.astype(float)).reshape(-1, 4, 2)
    seen = np.isfinite(ends).all(axis=(1, 2), keepdims=True)
    low = np.where(seen, ends, 0).min(axis=1)
    high = np.where(seen, ends, (width, height)).max(axis=1)
    size = np.array([width, height])
    low = np.clip(np.floor(low) - 1, 0, size).astype(np.int64)
    high = np.clip(np.ceil(high) + 1, 0, size).astype(np.int64)
    high = np.maximum(high, low)
    crops: list[UInt8Array] = []
    for number, crop in enumerate(masks.crops):
        (x1, y1), (x2, y2), (left, top) = low[number], high[number], masks.boxes[number, :2]
        if x2 == x1 or y2 == y1 or not crop.size:
            crops.append(np.zeros((y2 - y1, x2 - x1), np.uint8))
            continue
        moved = _shift(-x1, -y1) @ by_index @ _shift(left, top)
        source, where = np.ascontiguousarray(crop), (int(x2 - x1), int(y2 - y1))
        if is_affine:
            crops.append(cv2.warpAffine(source, moved[:2] / moved[2, 2], where, flags=cv2.INTER_NEAREST))
        else:
            crops.append(cv2.warpPerspective(source, moved, where, flags=cv2.INTER_NEAREST))
    return tightened(MaskCrops(height, width, np.concatenate([low, high], axis=1), tuple(crops)))


def tightened(masks: MaskCrops) -> MaskCrops:
    """Return the same masks, each in its tight box.

    >>> tightened(MaskCrops(4, 4, np.array([[0, 0, 3, 3]]), (np.eye(3, dtype=np.uint8)[:, :2],))).boxes
    array([[0, 0, 2, 2]])
    """
    boxes = masks.tight_boxes().astype(np.int64)
    crops: list[UInt8Array] = []
    for (x1, y1, x2, y2), (left, top, *_), crop in zip(boxes, masks.boxes, masks.crops, strict=True):
        crops.append(crop[y1 - top : y2 - top, x1 - left : x2 - left] if x2 > x1 else np.zeros((0, 0), np.uint8))
    return replace(masks, boxes=boxes, crops=tuple(crops))


def _shift(x: float, y: float) -> Float64Array:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], float)
