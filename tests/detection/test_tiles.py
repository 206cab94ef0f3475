"""Cells cover each pixel of an image, cut its objects, and what is found in them is joined to what is there."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.instances import Instances
from instance_segmentation_pipeline.detection.mask_crops import MaskCrops
from instance_segmentation_pipeline.detection.masks import decode_masks
from instance_segmentation_pipeline.detection.seams import join
from instance_segmentation_pipeline.detection.tiles import Cell, Grid, cut

SIDES = st.integers(1, 130)
GRIDS = st.one_of(
    st.builds(Grid, size=st.tuples(SIDES, SIDES), overlap=st.floats(0, 0.9)),
    st.builds(Grid, count=st.integers(1, 9), overlap=st.floats(0, 0.9)),
)


@given(GRIDS, SIDES, SIDES)
def test_cells_cover_each_pixel(grid, height, width):
    for cells in (grid.training(height, width), grid.prediction(height, width)):
        seen = np.zeros((height, width), int)
        for cell in cells:
            assert 0 <= cell.left < cell.right <= width
            assert 0 <= cell.top < cell.bottom <= height
            seen[cell.top : cell.bottom, cell.left : cell.right] += 1
        assert seen.min() >= 1
        assert len(set(cells)) == len(cells)


@given(st.integers(1, 9), SIDES, SIDES)
def test_crops_show_each_pixel_once_the_remainder_included(count, height, width):
    cells = Grid(count=count).training(height, width)
    assert sum(cell.height * cell.width for cell in cells) == height * width
    assert len(cells) == min(count, height) * min(count, width)
    assert max(cell.width for cell in cells) - min(cell.width for cell in cells) <= 1


@given(st.tuples(SIDES, SIDES), st.floats(0, 0.9), SIDES, SIDES)
def test_tiles_have_their_size_and_overlap_at_least_as_asked(size, overlap, height, width):
    cells = Grid(size=size, overlap=overlap).training(height, width)
    assert {(cell.height, cell.width) for cell in cells} == {(min(size[0], height), min(size[1], width))}
    columns = sorted({(cell.left, cell.right) for cell in cells})
    for (_, right), (left, _) in itertools.pairwise(columns):
        assert right - left >= min(size[1] - 1, round(size[1] * overlap))


def scene(seed, height=300, width=400, count=25, classes=2, long=False):
    """Return objects apart from each other: ellipses, and bars that go through several cells."""
    random = np.random.default_rng(seed)
    taken, masks = np.zeros((height, width), bool), []
    rows, columns = np.mgrid[:height, :width]
    for number in range(count * 3):
        y, x = random.uniform([0, 0], [height, width])
        a, b = random.uniform(6, 20, 2) if not (long and number < 2) else ((4, 150), (120, 5))[number]
        mask = ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < 1
        grown = ((rows - y) / (a + 2)) ** 2 + ((columns - x) / (b + 2)) ** 2 < 1
        if mask.sum() > 40 and not (grown & taken).any():
            taken |= mask
            masks.append(mask)
    masks = np.array(masks[:count])
    crops = MaskCrops.from_dense(masks)
    labels = random.integers(0, classes, len(masks))
    return Instances(height, width, labels, crops.tight_boxes(), crops)


def seen_in(objects, cells, with_masks, least=8):
    """Return what a net without fault finds in each cell: all pieces of a few pixels and more."""
    found = []
    for cell in cells:
        here = cut(objects, cell, 0.0)
        rows = np.flatnonzero(here.masks.areas() >= least)
        scores = np.linspace(0.9, 0.5, len(rows)).astype(np.float32)
        masks = here.masks.take(rows).to_rles() if with_masks else None
        found.append(Detections(cell.height, cell.width, here.labels[rows], scores, here.bboxes[rows], masks))
    return found


@pytest.mark.parametrize("long", [False, True], ids=["small objects", "objects through several cells"])
@pytest.mark.parametrize("grid", [Grid(size=(128, 128)), Grid(count=3), Grid(size=(90, 210), overlap=0.4)], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_what_is_found_in_cells_is_joined_to_what_is_there(grid, seed, long):
    objects = scene(seed, long=long)
    cells = grid.prediction(objects.height, objects.width)
    joined = join(seen_in(objects, cells, True), cells, objects.height, objects.width)
    expected = {
        (int(label), mask["counts"]) for label, mask in zip(objects.labels, objects.masks.to_rles(), strict=True)
    }
    assert {(int(label), mask["counts"]) for label, mask in zip(joined.labels, joined.masks, strict=True)} == expected
    assert len(joined) == len(objects)
    assert (np.diff(joined.scores) <= 0).all()


def test_without_overlap_objects_are_joined_all_the_same():
    """Cells that meet without a common pixel: the image's sides are multiples of theirs."""
    objects, grid = scene(1, 192, 256), Grid(size=(64, 64), overlap=0.0)
    assert len(grid.training(192, 256)) == 12
    cells = grid.prediction(192, 256)
    joined = join(seen_in(objects, cells, True), cells, 192, 256)
    assert sorted(mask["counts"] for mask in joined.masks) == sorted(one["counts"] for one in objects.masks.to_rles())


@pytest.mark.parametrize("seed", range(4))
def test_boxes_alone_are_joined_too(seed):
    objects = scene(seed)
    cells = Grid(size=(128, 128), overlap=0.4).prediction(objects.height, objects.width)
    joined = join(seen_in(objects, cells, False), cells, objects.height, objects.width)
    assert joined.masks is None
    assert len(joined) == len(objects)
    found = {tuple(box) for box in joined.bboxes.tolist()}
    assert len(found & {tuple(box) for box in objects.bboxes.tolist()}) >= 0.9 * len(objects)


def test_neighbours_of_one_class_at_a_seam_stay_two():
    dense = np.zeros((2, 60, 100), np.uint8)
    dense[0, 20:40, 30:49], dense[1, 20:40, 49:70] = 1, 1
    crops = MaskCrops.from_dense(dense)
    objects = Instances(60, 100, np.array([0, 0]), crops.tight_boxes(), crops)
    for overlap in (0.1, 0.3, 0.5):
        cells = Grid(size=(60, 60), overlap=overlap).prediction(60, 100)
        joined = join(seen_in(objects, cells, True), cells, 60, 100)
        assert sorted(mask.sum() for mask in decode_masks(joined.masks, 60, 100)) == [380, 420]


def test_objects_of_other_classes_are_never_joined():
    box = np.array([[40, 10, 60, 30]], np.float32)
    one = Detections(60, 60, np.array([0]), np.array([0.9], np.float32), box, None)
    other = Detections(60, 60, np.array([1]), np.array([0.8], np.float32), box - [[40, 0, 40, 0]], None)
    joined = join([one, other], [Cell(0, 0, 60, 60), Cell(40, 0, 100, 60)], 60, 100)
    assert joined.labels.tolist() == [0, 1]


def test_nothing_found_is_nothing():
    cells = Grid(count=2).prediction(50, 50)
    empty = [
        Detections(cell.height, cell.width, np.zeros(0, int), np.zeros(0, np.float32), np.zeros((0, 4), np.float32), [])
        for cell in cells
    ]
    joined = join(empty, cells, 50, 50)
    assert (len(joined), joined.masks, joined.height, joined.width) == (0, [], 50, 50)


@pytest.mark.parametrize(("keep", "left"), [(0.0, 3), (0.2, 2), (0.5, 1), (1.0, 1)])
def test_objects_that_a_cell_cuts_are_kept_from_a_share_on(keep, left):
    dense = np.zeros((4, 40, 100), np.uint8)
    dense[0, 5:15, 10:20] = 1  # inside
    dense[1, 20:30, 46:56] = 1  # .4 of it
    dense[2, 30:38, 49:59] = 1  # .1 of it
    dense[3, 5:15, 70:80] = 1  # outside
    crops = MaskCrops.from_dense(dense)
    here = cut(Instances(40, 100, np.arange(4), crops.tight_boxes(), crops), Cell(0, 0, 50, 40), keep)
    assert here.labels.tolist() == [0, 1, 2][:left]
    np.testing.assert_array_equal(here.masks.to_dense(), dense[:left, :, :50])
    np.testing.assert_array_equal(here.bboxes, here.masks.tight_boxes())
    assert (here.height, here.width) == (40, 50)


def test_the_box_of_an_object_that_no_edge_cuts_stays_the_datasets_own():
    dense = np.zeros((1, 40, 100), np.uint8)
    dense[0, 5:15, 60:70] = 1
    wide = np.array([[58, 3, 72, 17]], np.float32)
    objects = Instances(40, 100, np.array([0]), wide, MaskCrops.from_dense(dense))
    np.testing.assert_array_equal(cut(objects, Cell(50, 0, 100, 40), 0.5).bboxes, wide - [[50, 0, 50, 0]])
