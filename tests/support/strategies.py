"""What Hypothesis draws: detections in one image, with rectangles, blobs and single pixels for masks."""

import numpy as np
from hypothesis import strategies as st

from instance_segmentation_pipeline.detection.boxes import boxes_of_masks
from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.masks import encode_masks

CLASSES = 3


@st.composite
def members(draw, least=1, most=4, objects=5):
    """Draw what several members found in one image; no two objects, of whichever members, have the same score."""
    height, width = draw(st.integers(2, 32)), draw(st.integers(2, 32))
    counts = draw(st.lists(st.integers(0, objects), min_size=least, max_size=most))
    with_masks = draw(st.booleans())
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = (random.permutation(sum(counts)) + 1).astype(np.float32) / np.float32(sum(counts) + 1)
    found = []
    for count in counts:
        own, scores = scores[:count], scores[count:]
        masks = np.zeros((count, height, width), np.uint8)
        for mask in masks:
            y1, x1 = random.integers(height), random.integers(width)
            y2, x2 = random.integers(y1, height) + 1, random.integers(x1, width) + 1
            mask[y1:y2, x1:x2] = random.random((y2 - y1, x2 - x1)) < random.choice([0.6, 1.0])
            mask[y1, x1] = 1
        rles = encode_masks(masks) if with_masks else None
        labels = random.integers(0, CLASSES, count).astype(np.int64)
        found.append(Detections(height, width, labels, own, boxes_of_masks(masks), rles))
    return found


def detections():
    """Draw what was found in one image."""
    return members(most=1).map(lambda found: found[0])
