"""The border between Musket items and MMDetection annotations, both ways, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instance_segmentation_pipeline.detection.boxes import boxes_of_masks
from instance_segmentation_pipeline.detection.instances import fits_only_swapped, from_musket, to_musket
from instance_segmentation_pipeline.detection.masks import decode_masks, encode_masks
from instance_segmentation_pipeline.detection.records import from_middle_format, to_middle_format
from instance_segmentation_pipeline.errors import DatasetError
from tests.support.datasets import square

SWAP = [1, 0, 3, 2]


@st.composite
def items(draw):
    """Draw a valid target with its image size, classes and box order."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    classes, count = draw(st.integers(1, 5)), draw(st.integers(0, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = random.random((count, height, width)) < draw(st.floats(0.05, 0.95))
    for mask in masks:
        mask[random.integers(height), random.integers(width)] = True
    order = draw(st.sampled_from(["yxyx", "xyxy"]))
    bboxes = boxes_of_masks(masks)
    bboxes = bboxes if order == "xyxy" else bboxes[:, SWAP]
    labels = random.integers(1, classes + 1, count)
    kind = draw(st.sampled_from([bool, np.uint8, np.int16, np.int64]))
    y = (labels, bboxes, masks.astype(kind)) if draw(st.booleans()) else (labels, bboxes)
    return y, height, width, classes, order


@settings(max_examples=200, deadline=None)
@given(items())
def test_any_valid_item_survives_the_round_trip(item):
    y, height, width, classes, order = item
    instances = from_musket(y, height, width, classes=classes, bbox_order=order, needs_masks=False)
    record = to_middle_format(instances, "a.jpg")
    back = to_musket(from_middle_format(record), order)
    assert len(back) == len(y)
    for field, original in zip(back, y, strict=True):
        np.testing.assert_array_equal(field, original)
    assert record["ann"]["labels"].dtype == np.int64
    assert record["ann"]["bboxes"].dtype == np.float32
    assert len(y[0]) == 0 or (record["ann"]["labels"].min() >= 0 and record["ann"]["labels"].max() < classes)


@settings(max_examples=100, deadline=None)
@given(items())
def test_rle_is_lossless(item):
    y, height, width, _, _ = item
    masks = np.zeros((0, height, width), np.uint8) if len(y) == 2 else y[2].astype(np.uint8)
    encoded = encode_masks(masks)
    assert all(isinstance(rle["counts"], str) for rle in encoded)
    np.testing.assert_array_equal(decode_masks(encoded, height, width), masks)


def test_middle_format_is_the_one_of_custom_dataset():
    image, y = square(top=5, left=20, side=10, label=2)
    record = to_middle_format(from_musket(y, *image.shape[:2], classes=2), "some.jpg")
    assert (record["filename"], record["width"], record["height"]) == ("some.jpg", 60, 40)
    assert record["ann"]["bboxes"].tolist() == [[20, 5, 30, 15]]
    assert record["ann"]["labels"].tolist() == [1]
    assert record["ann"]["bboxes_ignore"].shape == (0, 4)
    assert record["ann"]["labels_ignore"].shape == (0,)
    assert record["ann"]["masks"][0]["size"] == [40, 60]


def test_boxes_are_clipped_to_the_image():
    image, (labels, _, masks) = square()
    instances = from_musket((labels, np.array([[-5.0, 10, 45, 70]]), masks), *image.shape[:2], classes=1)
    assert instances.bboxes.tolist() == [[10, 0, 60, 40]]


def test_boxes_can_come_from_masks():
    image, (labels, _, masks) = square(top=5, left=20, side=10)
    wrong = np.array([[0.0, 0, 1, 1]])
    instances = from_musket((labels, wrong, masks), *image.shape[:2], classes=1, bbox_source="masks")
    assert instances.bboxes.tolist() == [[20, 5, 30, 15]]


@pytest.mark.parametrize("empty", [np.zeros((0,)), np.zeros((0, 4))])
def test_an_image_without_objects_is_a_valid_item(empty):
    instances = from_musket((np.array([]), empty, np.array([])), 4, 6, classes=1)
    assert instances.bboxes.shape == (0, 4)
    assert instances.masks.to_dense().shape == (0, 4, 6)


def change(field, value):
    y = list(square()[1])
    y[field] = value
    return tuple(y)


LABELS, BBOXES, MASKS = range(3)
BAD = [
    (lambda: change(LABELS, np.array([0])), "label 0 found (0 is the background), expected 1 to 2"),
    (lambda: change(LABELS, np.array([3])), "label 3 found, expected 1 to 2"),
    (lambda: change(LABELS, np.array([1.0])), "labels have dtype float64, expected integers"),
    (lambda: change(LABELS, np.array([[1]])), "labels have shape (1, 1), expected (N,)"),
    (lambda: change(LABELS, np.array([1, 1])), "bboxes have shape (1, 4), expected (2, 4)"),
    (lambda: change(BBOXES, np.array([[5, 20, 15]])), "bboxes have shape (1, 3), expected (1, 4)"),
    (lambda: change(BBOXES, np.array([[5, np.nan, 15, 30]])), "expected finite numbers"),
    (lambda: change(BBOXES, np.array([[15.0, 20, 5, 30]])), "has no area inside the image of height 40 and width 60"),
    (lambda: change(BBOXES, np.array([[5.0, 70, 15, 80]])), "has no area inside the image"),
    (lambda: change(MASKS, np.zeros((1, 60, 40), bool)), "masks have shape (1, 60, 40), expected (1, 40, 60)"),
    (lambda: change(MASKS, np.zeros((1, 40, 60), np.float32)), "masks have dtype float32, expected bool or integers"),
    (lambda: change(MASKS, np.full((1, 40, 60), 255)), "masks have values from 255 to 255, expected 1"),
    (lambda: change(MASKS, np.zeros((1, 40, 60), bool)), "mask 0 is empty"),
    (lambda: square()[1][:2], "this model learns masks"),
    (lambda: None, "y is a NoneType, expected a tuple (labels, bboxes, masks)"),
    (lambda: (1, 2, 3, 4), "y is a sequence of 4"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_a_bad_target_is_named(make, message):
    with pytest.raises(DatasetError) as caught:
        from_musket(make(), 40, 60, classes=2, item_id="cat7")
    assert message in str(caught.value)
    assert "'cat7'" in str(caught.value)


def test_boxes_in_the_other_order_are_seen():
    _, (labels, bboxes, masks) = square()
    assert not fits_only_swapped((labels, bboxes, masks), "yxyx")
    assert fits_only_swapped((labels, bboxes, masks), "xyxy")
    assert fits_only_swapped((labels, bboxes[:, SWAP], masks), "yxyx")


def test_boxes_that_tell_no_order_are_left_alone():
    _, (labels, bboxes, masks) = square(height=40, width=40, top=10, left=10)
    assert not fits_only_swapped((labels, bboxes, masks), "xyxy")


def test_padded_boxes_in_the_right_order_are_accepted():
    _, (labels, bboxes, masks) = square(height=80, width=80, top=10, left=40, side=25)
    assert not fits_only_swapped((labels, bboxes + np.array([-10, -10, 10, 10]), masks), "yxyx")
