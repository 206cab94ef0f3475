"""Boxes ``(N, 4)`` as NumPy arrays: order of coordinates, overlap, and the boxes of masks."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .arrays import AnyArray, Float32Array, Float64Array, FloatArray

Number = TypeVar("Number", bound=np.number[Any])

SWAPPED = [1, 0, 3, 2]


def swapped(bboxes: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return boxes ``(N, 4)`` in the other coordinate order: ``xyxy`` for ``yxyx``, and the other way round.

    >>> swapped(np.array([[2, 5, 8, 30]]))  # minY, minX, maxY, maxX: minX, minY, maxX, maxY
    array([[ 5,  2, 30,  8]])
    """
    return bboxes[:, SWAPPED]


def boxes_of_masks(masks: AnyArray) -> Float32Array:
    """Return the tight boxes ``(N, 4)`` float32, ``x1, y1, x2, y2``, of non-empty masks ``(N, height, width)``.

    Ends are exclusive: a mask of the single pixel at row 2, column 5 has the box ``5, 2, 6, 3``.

    >>> mask = np.zeros((1, 10, 20), bool)
    >>> mask[0, 2, 5] = True
    >>> boxes_of_masks(mask)
    array([[5., 2., 6., 3.]], dtype=float32)
    """
    bboxes = np.zeros((len(masks), 4), np.float32)
    for number, mask in enumerate(masks):
        columns = np.flatnonzero(mask.any(axis=0))
        rows = np.flatnonzero(mask.any(axis=1))
        bboxes[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return bboxes


def pairwise_iou(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the IoU ``(N,)`` of boxes ``(N, 4)`` with the boxes ``(N, 4)`` of the same row, both ``xyxy``.

    >>> pairwise_iou(np.array([[0.0, 0, 10, 10], [0, 0, 2, 2]]), np.array([[0.0, 0, 10, 5], [4, 4, 6, 6]]))
    array([0.5, 0. ])
    """
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, 2:], second[:, 2:])
    overlap: FloatArray = np.clip(high - low, 0, None).prod(axis=1)
    areas: FloatArray = (first[:, 2:] - first[:, :2]).prod(axis=1) + (second[:, 2:] - second[:, :2]).prod(axis=1)
    iou: FloatArray = overlap / np.maximum(areas - overlap, 1e-9)
    return iou


def box_iou(first: FloatArray, second: FloatArray) -> Float64Array:
    """Return the IoU of each box ``(N, 4)`` ``xyxy`` of ``first`` with each of ``second``, ``(N, M)`` float64.

    >>> box_iou(np.array([[0.0, 0, 10, 10]]), np.array([[0.0, 0, 10, 5], [20, 20, 30, 30]]))
    array([[0.5, 0. ]])
    """
    if not len(first) or not len(second):
        return np.zeros((len(first), len(second)))
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap: Float64Array = (high - low).clip(0).prod(axis=2).astype(np.float64)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    iou: Float64Array = overlap / np.maximum(areas[0][:, None] + areas[1][None, :] - overlap, 1e-9)
    return iou
