"""COCO RLE masks: encoding, decoding, overlap."""

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from .arrays import AnyArray, Float64Array, Rle, UInt8Array


def encode_masks(masks: AnyArray) -> list[Rle]:
    """Encode ``(N, height, width)`` masks of 0 and 1 as COCO RLE dicts with text ``counts``.

    >>> encode_masks(np.array([[[0, 1, 1], [0, 1, 0]]]))
    [{'size': [2, 3], 'counts': '231'}]
    """
    if not len(masks):
        return []
    encoded = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8))
    return [{"size": rle["size"], "counts": rle["counts"].decode("ascii")} for rle in encoded]


def decode_masks(rles: Sequence[Rle], height: int, width: int) -> UInt8Array:
    """Decode COCO RLE dicts to ``(N, height, width)`` uint8.

    >>> decode_masks(encode_masks(np.array([[[0, 1, 1], [0, 1, 0]]])), 2, 3)
    array([[[0, 1, 1],
            [0, 1, 0]]], dtype=uint8)
    """
    if not rles:
        return np.zeros((0, height, width), np.uint8)
    return np.ascontiguousarray(coco_mask.decode(list(rles)).transpose(2, 0, 1))


def mask_iou(first: Sequence[Rle], second: Sequence[Rle]) -> Float64Array:
    """Return the IoU of each RLE mask of ``first`` with each of ``second``, ``(N, M)`` float64.

    >>> mask_iou(encode_masks(np.array([[[1, 1, 0]]])), encode_masks(np.array([[[0, 1, 1]], [[1, 1, 0]]])))
    array([[0.33333333, 1.        ]])
    """
    if not first or not second:
        return np.zeros((len(first), len(second)))
    return np.asarray(coco_mask.iou(list(first), list(second), [0] * len(second)))
