"""Regions whose objects are not told apart ("crowds"), as rows beside the objects of an image."""

from dataclasses import replace

import numpy as np

from .arrays import BoolArray, Int64Array
from .instances import Instances
from .mask_crops import MaskCrops

Crowds = tuple[Int64Array, MaskCrops]
"""Labels ``(M,)`` int64 from 0, and M masks."""


def with_crowds(instances: Instances) -> tuple[Instances, BoolArray]:
    """Return objects and crowds as rows of one, the objects first, and which rows are crowds ``(N + M,)``.

    Crowds have the boxes of their masks, and masks where objects have some: as MMDetection's ``gt_bboxes`` and
    ``gt_ignore_flags`` have them.

    >>> masks = MaskCrops.from_dense(np.ones((1, 4, 5), np.uint8))
    >>> whole, flags = with_crowds(Instances(4, 5, np.array([1]), masks.tight_boxes(), masks, (np.array([0]), masks)))
    >>> whole.labels, whole.bboxes.tolist(), flags
    (array([1, 0]), [[0.0, 0.0, 5.0, 4.0], [0.0, 0.0, 5.0, 4.0]], array([False,  True]))
    """
    flags = np.zeros(len(instances), bool)
    if instances.crowds is None:
        return instances, flags
    labels, regions = instances.crowds
    whole = replace(
        instances,
        labels=np.concatenate([instances.labels, labels]),
        bboxes=np.concatenate([instances.bboxes, regions.tight_boxes()]),
        masks=None if instances.masks is None else MaskCrops.joined([instances.masks, regions]),
        crowds=None,
    )
    return whole, np.concatenate([flags, np.ones(len(labels), bool)])


def covering(crowds: "Crowds | None") -> "Crowds | None":
    """Return those crowds that cover a pixel, ``None`` where none does.

    >>> masks = np.zeros((2, 4, 5), np.uint8)
    >>> masks[1] = 1
    >>> labels, regions = covering((np.array([7, 3]), MaskCrops.from_dense(masks)))
    >>> labels, regions.areas()
    (array([3]), array([20]))
    """
    if crowds is None:
        return None
    rows = np.flatnonzero(crowds[1].areas() > 0)
    return (crowds[0][rows], crowds[1].take(rows)) if len(rows) else None
