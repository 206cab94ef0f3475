"""What a net answers, as arrays of our own records."""

from typing import Any

import numpy as np

from ..detection.arrays import FoundArrays
from .later_masks import encoded


def to_prediction(instances: Any, with_masks: bool) -> FoundArrays:
    """Return the arrays of a sample's ``pred_instances``, as ``coco_metrics`` takes them."""
    prediction: FoundArrays = {
        "labels": instances["labels"].cpu().numpy(),
        "scores": instances["scores"].float().cpu().numpy(),
        "bboxes": instances["bboxes"].float().cpu().numpy(),
    }
    if with_masks:
        prediction["masks"] = encoded(instances["masks"])
        _boxes_from_masks(prediction)
    return prediction


def _boxes_from_masks(prediction: FoundArrays) -> None:
    """Give objects without a box of their own, as SOLO's have none, the tight box of their mask."""
    bboxes = prediction["bboxes"]
    flat = np.flatnonzero((bboxes[:, 2:] <= bboxes[:, :2]).any(axis=1))
    if len(flat):
        from pycocotools import mask as coco_mask

        tight = coco_mask.toBbox([prediction["masks"][row] for row in flat])
        bboxes[flat] = np.concatenate([tight[:, :2], tight[:, :2] + tight[:, 2:]], axis=1)
