"""Where images are cut into cells, checks tell what the net sees: objects of cells, at the size of cells."""

import numpy as np
import pytest
from musket_core import generic

from instance_segmentation_pipeline.checking.experiment_check import check_experiment
from instance_segmentation_pipeline.checking.findings import WARNING
from instance_segmentation_pipeline.checking.item_scan import ItemScan
from instance_segmentation_pipeline.checking.object_counts import object_counts
from instance_segmentation_pipeline.checking.sizes import sizes
from instance_segmentation_pipeline.data.consistency import check_items, notes_on_counts
from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.detection.tiles import Grid
from tests.support.datasets import Items

SIDE, STEP, OBJECT = 640, 64, 16
CELLS = "tiles: {size: 64, overlap: 0}\n"
IMAGES = ""
READER = ItemReader(1, "yxyx", "dataset", True)


def scene(seed, side=SIDE):
    """Return an image with an object of 16 pixels in each cell of 64, but for the first, which has three."""
    image = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    corners = [(y, x) for y in range(8, side, STEP) for x in range(8, side, STEP)]
    corners += [(8, 32), (32, 8)] if side == SIDE else []
    bboxes = np.array([[y, x, y + OBJECT, x + OBJECT] for y, x in corners], np.float32)
    masks = np.zeros((len(corners), side, side), bool)
    for number, (y, x) in enumerate(corners):
        masks[number, y : y + OBJECT, x : x + OBJECT] = True
    return image, (np.ones(len(corners), int), bboxes, masks)


@pytest.mark.parametrize(("extra", "seen"), [(CELLS, "16"), ("crops: 10\n", "15"), (IMAGES, "1.6")], ids=str)
def test_objects_have_the_size_that_they_have_in_cells(add_experiment, extra, seen):
    path = add_experiment(extra=extra)
    cfg = generic.parse(str(path))
    cfg.use_dataset(Items([scene(number) for number in range(4)]))
    found = check_experiment(cfg, 0, with_step=False)
    (section,) = (one for one in found.sections if one.title == "Sizes")
    row = next(row for row in section.table if row[0] == "object size for the net")
    assert row[1] == seen
    small = [finding.text for finding in section.findings if "smaller than 8 x 8" in finding.text]
    assert bool(small) == (extra == IMAGES)


@pytest.mark.parametrize(("grid", "most", "where"), [(Grid((64, 64), overlap=0), 4, "cell"), (None, 102, "image")])
def test_objects_are_counted_where_the_net_looks_for_them(grid, most, where):
    """Cells of prediction always overlap a little, so that one has the three objects and a part of a fourth."""
    dataset = Items([scene(0), scene(1, side=128)])
    limit = {"model.test_cfg.max_per_img": most}
    scan = ItemScan([dataset], READER, 0, grid)
    assert [one.at_once for one in scan.facts] == [most, 1 if grid else 4]
    enough = object_counts(scan, limit)
    assert not [finding for finding in enough.findings if finding.kind == WARNING]
    assert f"up to {most} objects in a" in enough.findings[0].text
    assert where in enough.findings[0].text
    sampled = check_items(dataset, READER, grid=grid)
    assert not notes_on_counts(sampled, limit, most)
    fewer = {"model.test_cfg.max_per_img": most - 1}
    (told,) = (finding.text for finding in object_counts(scan, fewer).findings if finding.kind == WARNING)
    (note,) = notes_on_counts(sampled, fewer, most - 1)
    for text in (told, note):
        assert "the model finds" in text
        assert ("cell" in text) == (where == "cell")
        assert f"maxDetections: {most}" in text


def test_small_objects_of_cells_are_no_reason_to_cut_images():
    scan = ItemScan([Items([scene(0)])], READER, 0, Grid((64, 64)))
    (text,) = (one.text for one in sizes(scan, lambda *_: (0.2, 0.2)).findings if one.kind == WARNING)
    assert "make shape larger, or the cells smaller" in text
