"""Masks kept as crops do what MMDetection's dense ones do, transform by transform."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from instance_segmentation_pipeline.detection.mask_crops import MaskCrops
from instance_segmentation_pipeline.errors import DatasetError
from instance_segmentation_pipeline.models.compact_masks import CompactMasks
from instance_segmentation_pipeline.models.mmdet_compat import BitmapMasks, HorizontalBoxes


@st.composite
def scenes(draw, least=0):
    """Dense masks ``(N, height, width)``: blobs, single pixels, whole images, empty ones, objects with holes."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = np.zeros((draw(st.integers(least, 5)), height, width), np.uint8)
    for mask in masks:
        kind = random.integers(5)
        y1, x1 = random.integers(height), random.integers(width)
        y2, x2 = random.integers(y1, height) + 1, random.integers(x1, width) + 1
        if kind == 0:
            mask[y1, x1] = 1
        elif kind == 1:
            mask[:] = 1
        elif kind == 2:
            mask[y1:y2, x1:x2] = random.random((y2 - y1, x2 - x1)) > 0.4
        elif kind == 3:
            mask[y1:y2, x1:x2] = 1
    return masks


def both(masks):
    height, width = masks.shape[1:]
    return CompactMasks(MaskCrops.from_dense(masks)), BitmapMasks(masks, height, width)


def same(ours, theirs):
    assert (ours.height, ours.width, len(ours)) == (theirs.height, theirs.width, len(theirs))
    assert isinstance(ours, CompactMasks)
    np.testing.assert_array_equal(ours.to_ndarray(), np.asarray(theirs.masks).reshape(ours.to_ndarray().shape))


sizes = st.integers(1, 60)


@given(scenes(), sizes, sizes)
@settings(max_examples=150, deadline=None)
def test_resize(masks, height, width):
    ours, theirs = both(masks)
    same(ours.resize((height, width)), theirs.resize((height, width)))


@given(scenes(), st.sampled_from([0.3, 0.77, 1.0, 1.9, (20, 50), (33, 33)]))
@settings(max_examples=60, deadline=None)
def test_rescale(masks, scale):
    ours, theirs = both(masks)
    if isinstance(scale, float) and min(masks.shape[1:]) * scale < 1:
        return
    same(ours.rescale(scale), theirs.rescale(scale))


@given(scenes(), st.sampled_from(["horizontal", "vertical", "diagonal"]))
@settings(max_examples=60, deadline=None)
def test_flip(masks, direction):
    ours, theirs = both(masks)
    same(ours.flip(direction), theirs.flip(direction))
    same(ours.flip(direction).flip(direction), theirs)


@given(scenes(), st.integers(0, 20), st.integers(0, 20), st.integers(0, 1))
@settings(max_examples=60, deadline=None)
def test_pad(masks, down, right, value):
    ours, theirs = both(masks)
    size = (masks.shape[1] + down, masks.shape[2] + right)
    same(ours.pad(size, value), theirs.pad(size, value))


@given(scenes(), st.integers(-5, 45), st.integers(-5, 45), st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_crop(masks, x, y, width, height):
    ours, theirs = both(masks)
    box = np.array([x, y, x + width, y + height])
    if np.clip(x, 0, masks.shape[2]) == masks.shape[2] or np.clip(y, 0, masks.shape[1]) == masks.shape[1]:
        return  # MMDetection's own fails beyond the edge
    same(ours.crop(box), theirs.crop(box))


@given(scenes(), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_expand(masks, left, top, right, bottom):
    ours, theirs = both(masks)
    size = (top + masks.shape[1] + bottom, left + masks.shape[2] + right)
    same(ours.expand(*size, top, left), theirs.expand(*size, top, left))


@given(scenes(), sizes, sizes, st.integers(-30, 30), st.sampled_from(["horizontal", "vertical", "both"]))
@settings(max_examples=150, deadline=None)
def test_translate_by_whole_pixels(masks, height, width, offset, direction):
    ours, theirs = both(masks)
    moved = (offset, offset // 2) if direction == "both" else offset
    same(ours.translate((height, width), moved, direction), theirs.translate((height, width), moved, direction))


@pytest.mark.parametrize("offset", [0.4, 2.5, -3.7])
def test_translate_by_parts_of_pixels(offset):
    masks = np.random.default_rng(0).integers(0, 2, (4, 20, 30), np.uint8)
    ours, theirs = both(masks)
    same(ours.translate((25, 28), offset), theirs.translate((25, 28), offset))


@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_rotation_and_shear(count):
    masks = np.random.default_rng(1).integers(0, 2, (count, 20, 30), np.uint8)
    ours, theirs = both(masks)
    same(ours.rotate((20, 30), 33.0, scale=1.1), theirs.rotate((20, 30), 33.0, scale=1.1))
    same(ours.shear((20, 30), 0.4, "vertical"), theirs.shear((20, 30), 0.4, "vertical"))


@given(scenes(least=1), st.data())
@settings(max_examples=80, deadline=None)
def test_indexing(masks, data):
    ours, theirs = both(masks)
    number = data.draw(st.integers(-len(masks), len(masks) - 1))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(masks), max_size=len(masks))))
    chosen = np.array(data.draw(st.lists(st.integers(0, len(masks) - 1))), int)
    for index in (number, mask, chosen, slice(None, None, 2), torch.from_numpy(mask)):
        same(ours[index], theirs[index.numpy() if isinstance(index, torch.Tensor) else index])


@given(scenes())
@settings(max_examples=80, deadline=None)
def test_areas_boxes_tensors_and_a_journey(masks):
    ours, theirs = both(masks)
    np.testing.assert_array_equal(ours.areas, theirs.areas)
    np.testing.assert_array_equal(ours.get_bboxes().tensor, HorizontalBoxes.from_instance_masks(theirs).tensor)
    assert torch.equal(ours.to_tensor(torch.float32, "cpu"), theirs.to_tensor(torch.float32, "cpu"))
    same(pickle.loads(pickle.dumps(ours)), theirs)
    assert [mask.tolist() for mask in ours] == [mask.tolist() for mask in theirs]


@given(scenes(least=1), st.integers(0, 2**32 - 1), st.sampled_from([(7, 7), (28, 28), (1, 5)]))
@settings(max_examples=150, deadline=None)
def test_crop_and_resize(masks, seed, out_shape):
    ours, theirs = both(masks)
    random = np.random.default_rng(seed)
    corners = random.uniform(-5, 45, (6, 2, 2)).astype(np.float32)
    boxes = torch.from_numpy(np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1))
    chosen = torch.from_numpy(random.integers(0, len(masks), 6))
    mine = ours.crop_and_resize(boxes, out_shape, chosen, "cpu", binarize=False).masks
    other = theirs.crop_and_resize(boxes, out_shape, chosen, "cpu", binarize=False).masks
    np.testing.assert_allclose(mine, other, atol=2e-5)
    binary = ours.crop_and_resize(boxes.numpy(), out_shape, chosen.numpy()).masks
    differ = binary != theirs.crop_and_resize(boxes, out_shape, chosen, "cpu").masks
    assert not (differ & (np.abs(other - 0.5) > 2e-5)).any()


@given(scenes(), scenes())
@settings(max_examples=30, deadline=None)
def test_joining(first, second):
    ours, theirs = both(first)
    same(CompactMasks.cat([ours, ours[::-1]]), BitmapMasks.cat([theirs, theirs[::-1]]))
    same(CompactMasks.cat([theirs]), theirs)
    ours.masks = second
    same(ours, BitmapMasks(second, *second.shape[1:]))


@given(scenes())
@settings(max_examples=150, deadline=None)
def test_rles_are_read_without_dense_arrays(masks):
    height, width = masks.shape[1:]
    compressed = [coco_mask.encode(np.asfortranarray(mask)) for mask in masks]
    as_text = [{"size": rle["size"], "counts": rle["counts"].decode()} for rle in compressed]
    plain = []
    for mask in masks:
        flat = np.concatenate([[0], mask.ravel(order="F"), [2]])
        edges = np.flatnonzero(np.diff(flat.astype(int)))
        plain.append({"size": [height, width], "counts": np.diff(np.concatenate([[0], edges])).tolist()})
    for rles in (compressed, as_text, plain):
        np.testing.assert_array_equal(MaskCrops.from_rles(rles, height, width).to_dense(), masks)


GOOD = coco_mask.encode(np.asfortranarray(np.ones((4, 6), np.uint8)))["counts"]


@pytest.mark.parametrize(
    ("rle", "words"),
    [
        ({"size": [6, 4], "counts": GOOD}, r"size \[6, 4\], expected \[4, 6\]"),
        ({"counts": GOOD}, "size None"),
        ({"size": [4, 6], "counts": None}, "NoneType"),
        ({"size": [4, 6]}, "NoneType"),
        ({"size": [4, 6], "counts": 12}, "counts are a int"),
        ({"size": [4, 6], "counts": ""}, "no compressed runs"),
        ({"size": [4, 6], "counts": "\x01\x02"}, "no compressed runs"),
        ({"size": [4, 6], "counts": "é"}, "cover|no compressed runs"),
        ({"size": [4, 6], "counts": "oooooooo0"}, "longer than any image|cover"),
        ({"size": [4, 6], "counts": "oo"}, "no compressed runs"),
        ({"size": [4, 6], "counts": [3, 4]}, "cover 7 pixels, expected 4 x 6 = 24"),
        ({"size": [4, 6], "counts": []}, "cover 0 pixels"),
        ({"size": [4, 6], "counts": [30, -6]}, "expected 4 x 6"),
        ({"size": [4, 6], "counts": ["a"]}, "no run lengths"),
        ({"size": [4, 6], "counts": [[1, 2], [3]]}, "no run lengths"),
        ({"size": [4, 6], "counts": [1.5, 22.5]}, "no run lengths"),
    ],
)
def test_a_broken_rle_is_told(rle, words):
    with pytest.raises(DatasetError, match=words) as told:
        MaskCrops.from_rles([rle], 4, 6)
    assert len(str(told.value)) < 200


class Encoded:
    """A dataset whose masks are given as RLE."""

    def __init__(self, inner):
        self.inner = inner

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, number):
        item = self.inner[number]
        labels, bboxes, masks = item.y
        rles = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
        return type(item)(item.id, item.x, (labels, bboxes, rles))


@pytest.mark.slow
def test_items_with_rle_are_checked_and_train_like_dense_ones(tmp_path):
    from musket_core import generic

    from tests.support.datasets import shapes
    from tests.support.small_models import shrunken

    rows = []
    for name, dataset in (("dense", shapes(8, 64, 1)), ("rle", Encoded(shapes(8, 64, 1)))):
        folder = tmp_path / name
        folder.mkdir()
        shrunken("rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py").dump(str(folder / "native.py"))
        (folder / "config.yaml").write_text(
            "#%Musket MMDetection 1.0\nconfigPath: native.py\npretrained: false\nclasses: 3\nlr: 1.0e-4\n"
            "shape: [64, 64]\nimagesPerGpu: 2\nbboxSource: dataset\nstages:\n  - epochs: 1\n"
        )
        cfg = generic.parse(str(folder / "config.yaml"))
        cfg.fit(dataset)
        rows.append(cfg.files.stage(0, 0).metrics.read_text())
    assert rows[0] == rows[1]


def test_boxes_in_the_wrong_order_are_noticed_beside_rle(tmp_path):
    from instance_segmentation_pipeline.data.consistency import check_items
    from instance_segmentation_pipeline.data.item_reader import ItemReader
    from tests.support.datasets import shapes

    with pytest.raises(DatasetError, match="only when read as"):
        check_items(Encoded(shapes(8, 64, 1)), ItemReader(3, "xyxy", "dataset", True))
