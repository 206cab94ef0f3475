"""Detections of rectangles in one small image."""

import numpy as np

from instance_segmentation_pipeline.detection.boxes import boxes_of_masks
from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.masks import encode_masks

HEIGHT, WIDTH = 40, 60


def found(*objects):
    """Return detections of ``(label, score, top, left, bottom, right)`` rectangles."""
    masks = np.zeros((len(objects), HEIGHT, WIDTH), np.uint8)
    for mask, (_, _, top, left, bottom, right) in zip(masks, objects, strict=True):
        mask[top:bottom, left:right] = 1
    labels, scores = [entry[0] for entry in objects], [entry[1] for entry in objects]
    return Detections(
        HEIGHT,
        WIDTH,
        np.array(labels, np.int64),
        np.array(scores, np.float32),
        boxes_of_masks(masks),
        encode_masks(masks),
    )
