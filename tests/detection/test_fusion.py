"""Fusing members, and views of an image with their way back: small scenes whose answers are known."""

import numpy as np
import pytest

from instance_segmentation_pipeline.detection.boxes import boxes_of_masks
from instance_segmentation_pipeline.detection.detections import Detections, none_found
from instance_segmentation_pipeline.detection.fusion import METHODS, fuse
from instance_segmentation_pipeline.detection.masks import decode_masks, encode_masks
from instance_segmentation_pipeline.detection.tta import PLAIN, View, views_of
from tests.support.scenes import HEIGHT, WIDTH, found


def test_what_all_members_find_is_averaged():
    one, two = found((0, 0.9, 10, 10, 20, 20)), found((0, 0.5, 10, 12, 20, 22))
    fused = fuse([one, two])
    assert len(fused) == 1
    assert fused.scores[0] == pytest.approx(0.7)
    np.testing.assert_allclose(fused.bboxes[0], [10 + 2 * 0.5 / 1.4, 10, 20 + 2 * 0.5 / 1.4, 20], rtol=1e-5)
    mask = decode_masks(fused.masks, HEIGHT, WIDTH)[0]
    assert np.flatnonzero(mask[15]).tolist() == list(range(11, 21))  # between 10 and 12, nearer to the surer one
    assert np.flatnonzero(mask[:, 15]).tolist() == list(range(10, 20))


def test_an_outline_between_two_of_different_size():
    fused = fuse([found((0, 0.8, 10, 10, 30, 30)), found((0, 0.8, 14, 14, 26, 26))], iou_threshold=0.3)
    rows = np.flatnonzero(decode_masks(fused.masks, HEIGHT, WIDTH)[0].any(axis=1))
    assert 11 <= rows[0] <= 13
    assert 27 <= rows[-1] + 1 <= 29


def test_a_members_silence_lowers_the_score():
    one, two = found((0, 0.9, 10, 10, 20, 20)), none_found(HEIGHT, WIDTH, True)
    assert fuse([one, two, two]).scores[0] == pytest.approx(0.3)
    assert fuse([one, two], weights=[3, 1]).scores[0] == pytest.approx(0.675)


def test_classes_and_objects_apart_stay_apart():
    one = found((0, 0.9, 10, 10, 20, 20), (1, 0.8, 10, 10, 20, 20), (0, 0.7, 30, 40, 39, 50))
    fused = fuse([one, one])
    assert fused.labels.tolist() == [0, 1, 0]
    np.testing.assert_allclose(fused.scores, [0.9, 0.8, 0.7], rtol=1e-6)


def test_two_objects_of_one_member_are_never_fused():
    one = found((0, 0.9, 10, 10, 20, 20), (0, 0.8, 10, 11, 20, 21))
    assert len(fuse([one, found((0, 0.6, 10, 10, 20, 20))])) == 2


def test_masks_decide_not_boxes():
    """Two diagonal halves share a box and no pixel."""
    upper = np.triu(np.ones((20, 20), np.uint8))
    masks = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    masks[0, :20, :20], masks[1, :20, :20] = upper, 1 - upper
    members = [
        Detections(HEIGHT, WIDTH, np.array([0]), np.array([0.9], np.float32), np.array([[0, 0, 20, 20.0]]), [rle])
        for rle in encode_masks(masks)
    ]
    assert len(fuse(members, "weighted")) == 2
    assert len(fuse(members, "wbf")) == 1


def test_nms_keeps_the_surest_and_soft_nms_lowers_the_rest():
    members = [found((0, 0.9, 10, 10, 20, 20)), found((0, 0.6, 10, 10, 20, 21))]
    (score,) = fuse(members, "nms").scores
    assert score == pytest.approx(0.9)
    first, second = fuse(members, "soft_nms").scores
    assert first == pytest.approx(0.9)
    assert 0 < second < 0.2


@pytest.mark.parametrize("method", METHODS)
def test_empty_members_and_boxes_alone(method):
    empty = none_found(HEIGHT, WIDTH, True)
    assert len(fuse([empty, empty], method)) == 0
    boxes = Detections(HEIGHT, WIDTH, np.array([1]), np.array([0.5], np.float32), np.array([[1, 2, 9, 9.0]]), None)
    fused = fuse([boxes, boxes], method)
    assert fused.masks is None
    assert fused.labels[0] == 1


def test_wrong_calls_are_errors():
    with pytest.raises(ValueError, match="members"):
        fuse([])
    with pytest.raises(ValueError, match="no fusion 'mean'"):
        fuse([none_found(1, 1, True)], "mean")


# -- views -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Horizontal", "Vertical", "Horizontal_and_vertical", "All", True])
def test_the_way_back_is_exact(name):
    one = found((0, 0.9, 3, 10, 21, 15), (1, 0.4, 30, 40, 39, 58))
    image = decode_masks(one.masks, HEIGHT, WIDTH).max(axis=0)[:, :, None] * np.ones((1, 1, 3), np.uint8)
    for view in views_of(name):
        shown = view.show(image)
        masks = np.stack([view.show(mask[:, :, None])[:, :, 0] for mask in decode_masks(one.masks, HEIGHT, WIDTH)])
        there = Detections(*shown.shape[:2], one.labels, one.scores, boxes_of_masks(masks), encode_masks(masks))
        back = view.back(there)
        assert (back.height, back.width) == (HEIGHT, WIDTH)
        np.testing.assert_array_equal(back.bboxes, one.bboxes)
        assert back.masks == one.masks


def test_how_many_views_there_are():
    assert views_of(None) == [PLAIN]
    assert len(views_of("Horizontal")) == 2
    assert len(views_of("Horizontal_and_vertical")) == 4
    assert len({(view.turns, view.flip) for view in views_of("All")}) == 8
    assert views_of({"scales": [0.5, 1]}) == [View(scale=0.5), View(scale=1.0)]
    assert len(views_of({"flips": "Horizontal", "scales": [0.5, 1]})) == 4


@pytest.mark.parametrize("wrong", ["horizontal", {"scale": [1]}, {"scales": []}, {"scales": [0]}, 3, {}])
def test_wrong_augmentations_are_errors(wrong):
    with pytest.raises(ValueError):
        views_of(wrong)
