"""Every view of every image has an exact way back, for boxes and for masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instance_segmentation_pipeline.detection.boxes import boxes_of_masks
from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.masks import decode_masks, encode_masks
from instance_segmentation_pipeline.detection.tta import NAMES, views_of
from tests.support.strategies import detections

ALL = views_of("All")


@pytest.mark.parametrize("view", ALL, ids=lambda view: f"turned {view.turns}{' and flipped' * view.flip}")
@given(detections())
def test_what_is_found_in_a_view_lies_where_it_is_in_the_image(view, found):
    """Masks are shown to the net as its image is; what it would find there comes back as what was there."""
    dense = np.zeros((0, found.height, found.width), np.uint8)
    if found.masks is not None:
        dense = decode_masks(found.masks, found.height, found.width)
    seen = view.show(dense.transpose(1, 2, 0)).transpose(2, 0, 1)
    labels, scores = found.labels[: len(seen)], found.scores[: len(seen)]
    back = view.back(Detections(*seen.shape[1:], labels, scores, boxes_of_masks(seen), encode_masks(seen)))
    assert (back.height, back.width) == (found.height, found.width)
    np.testing.assert_array_equal(decode_masks(back.masks, found.height, found.width), dense)
    np.testing.assert_array_equal(back.bboxes, found.bboxes[: len(seen)])
    assert back.bboxes.dtype == np.float32
    np.testing.assert_array_equal(back.labels, labels)


@pytest.mark.parametrize("view", ALL, ids=lambda view: f"turned {view.turns}{' and flipped' * view.flip}")
@given(detections(), st.integers(0, 2**32 - 1))
def test_boxes_alone_come_back_inside_the_image(view, found, seed):
    height, width = view.show(np.zeros((found.height, found.width, 3), np.uint8)).shape[:2]
    ends = np.sort(np.random.default_rng(seed).uniform(0, [width, height], (4, 2, 2)), axis=1)
    boxes = ends.reshape(4, 4).astype(np.float32)
    back = view.back(Detections(height, width, np.zeros(4, int), np.ones(4), boxes, None))
    assert (back.height, back.width) == (found.height, found.width)
    assert (back.bboxes >= -1e-5).all() and (back.bboxes[:, 2:] <= np.array([back.width, back.height]) + 1e-5).all()
    sides = np.sort(boxes[:, 2:] - boxes[:, :2], axis=1)
    np.testing.assert_allclose(np.sort(back.bboxes[:, 2:] - back.bboxes[:, :2], axis=1), sides, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_views_of_a_name_differ(name):
    image = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    shown = [view.show(image) for view in views_of(name)]
    assert len({(one.shape, one.tobytes()) for one in shown}) == len(shown)
