"""Items as the bytes that caches keep: they come back as they were, and damage is noticed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from musket_core.datasets import PredictionItem
from pycocotools import mask as coco_mask

from instance_segmentation_pipeline.data.preprocessing.item_codec import packed, unpacked
from instance_segmentation_pipeline.errors import DatasetError
from tests.support.datasets import same_items, square


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(0, 4), st.integers(1, 20), st.integers(1, 20)),
    st.sampled_from(["bool", "uint8", "int16", "int64"]),
    st.sampled_from(["text", 7, None, "ä/ö"]),
)
def test_items_come_back_as_they_were(seed, shape, dtype, name):
    random = np.random.default_rng(seed)
    count, height, width = shape
    image = random.integers(0, 256, (height, width, 3), np.uint8)
    masks = (random.random(shape) < 0.4).astype(dtype)
    y = (random.integers(1, 9, count), random.random((count, 4)).astype(np.float32), masks)
    found = unpacked(packed(PredictionItem(name, image, y), "cache"))
    same_items(PredictionItem(*found[:3]), PredictionItem(name, image, y))
    found[1][...] = 0  # arrays of its own


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 5)),
        np.ones((4, 5, 1), np.uint16),
        np.full((3, 4, 3), np.nan, np.float32),
        np.zeros((2, 2, 4), "i8"),
    ],
)
def test_images_may_still_be_of_any_kind(image):
    _, x, y, _ = unpacked(packed(PredictionItem("a", image, None), "cache"))
    assert x.dtype == image.dtype
    np.testing.assert_array_equal(x, image)
    assert y is None


@pytest.mark.parametrize("kind", ["text", "bytes", "list"])
def test_masks_that_are_rle_stay_so(kind):
    masks = np.asfortranarray(square()[1][2][0].astype(np.uint8))
    rle = coco_mask.encode(masks)
    if kind == "text":
        rle["counts"] = rle["counts"].decode()
    if kind == "list":
        rle = {"size": [2, 2], "counts": [1, 3]}
    found = unpacked(packed(PredictionItem("a", square()[0], (np.array([1]), np.zeros((1, 4)), [rle])), "cache"))
    assert found[2][2] == [rle]


def test_no_rles_stay_a_list():
    y = (np.zeros(0, int), np.zeros((0, 4)), [])
    assert unpacked(packed(PredictionItem("a", square()[0], y), "cache"))[2][2] == []


def test_masks_of_other_values_are_kept_as_they_are():
    masks = np.array([[[0, 255], [3, 0]]], np.uint8)
    found = unpacked(packed(PredictionItem("a", square()[0], (np.array([1]), np.zeros((1, 4)), masks)), "cache"))
    assert (found[2][2] == masks).all()


@pytest.mark.parametrize("place", [0, 3, 10, 200, -1])
def test_damaged_bytes_are_noticed(place):
    data = bytearray(packed(PredictionItem("a", *square()), "cache"))
    data[place] ^= 0x41
    with pytest.raises(ValueError):
        unpacked(bytes(data))
    with pytest.raises(ValueError):
        unpacked(bytes(data[: len(data) // 2]))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (PredictionItem("a", "no image", None), "x is 'no image', expected an array of numbers"),
        (PredictionItem("a", np.zeros((2, 2, 3)), 5), r"keeps \(labels, bboxes, masks\) as y, but y is a int"),
        (PredictionItem("a", np.zeros((2, 2, 3)), ([object()], [])), "expected an array of numbers"),
        (PredictionItem(("a", 1), np.zeros((2, 2, 3)), None), "ids that are texts or whole numbers"),
        (PredictionItem("a", np.zeros((2, 2, 3)), ([1], [[0, 0, 1, 1]], [{"size": 3}])), "expected a COCO RLE"),
    ],
)
def test_what_cannot_be_kept(item, message):
    with pytest.raises(DatasetError, match=message):
        packed(item, "disk-cache")
