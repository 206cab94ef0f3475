"""musket_core's ``InstanceSegmentationDataSet``: classes, sizes and empty images as Kaggle's tables have them."""

import tracemalloc

import cv2
import numpy as np
import pytest
from musket_core import context, generic
from pycocotools import mask as coco_mask

from instance_segmentation_pipeline.data.formats.run_length_text import mask_from_text
from instance_segmentation_pipeline.errors import ConfigError, DatasetError
from tests.support.run_lengths import runs_of

HEADER = "ImageId,EncodedPixels,Height,Width,ClassId"


def blob(height=30, width=40, top=4, left=9):
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (left + 8, top + 8), (8, 6), 30, 0, 360, 1, -1)
    return mask


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Return a function that writes images and a table, and makes the dataset."""
    from musket_core.image_datasets import InstanceSegmentationDataSet

    monkeypatch.setattr(context.context, "projectPath", str(tmp_path), raising=False)
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)

    def make(rows, images=("0001.png", "b.png"), pixels=None, header=HEADER, **options):
        for name in images:
            cv2.imwrite(str(folder / name), np.full((30, 40, 3), 80, np.uint8) if pixels is None else pixels)
        (tmp_path / "data" / "train.csv").write_text("\n".join([header, *rows]) + "\n")
        return InstanceSegmentationDataSet(["train"], "train.csv", "ImageId", "EncodedPixels", "ClassId", **options)

    return make


@pytest.mark.parametrize("seed", range(5))
def test_runs_are_those_of_the_coco_api(seed):
    mask = (np.random.default_rng(seed).random((7, 11)) < 0.4).astype(np.uint8)
    found = mask_from_text(runs_of(mask), 7, 11)
    assert (coco_mask.decode(coco_mask.frPyObjects(found, 7, 11)) == mask).all()


def test_relative_runs_and_runs_in_any_order():
    mask = mask_from_text("3 2 20 4 1 1", 6, 6)
    assert mask["counts"] == [0, 1, 1, 2, 15, 4, 13]
    assert mask_from_text("0 1 1 2 15 4", 6, 6, relative=True) == mask
    assert mask_from_text("3 4 4 3", 6, 6)["counts"] == [2, 4, 30]  # they overlap
    assert mask_from_text("", 6, 6)["counts"] == [36]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3", "has 3 numbers"),
        ("1 x", "expected pairs of start and length"),
        ("1 99", "a mask of 6 x 6 has 36 pixels"),
        ("0 4", "from pixel -1"),
        ("3 -2", "length -2"),
        ("9" * 40, "expected pairs"),
    ],
)
def test_wrong_runs_of(text, message):
    with pytest.raises(DatasetError, match=message):
        mask_from_text(text, 6, 6)


def test_classes_in_label_order(table):
    text = runs_of(blob())
    names = ["0", "1", "10", "31"]
    dataset = table(
        [f"0001.png,{text},30,40,10", f"0001.png,{text},30,40,31_7_9", f"b.png,{text},30,40,0"], classes=names
    )
    assert dataset.meta() == {"CLASSES": names}
    labels, bboxes, masks = dataset[0].y
    assert labels.tolist() == [3, 4]
    assert (coco_mask.decode(masks) == blob()[..., None]).all()
    assert bboxes.tolist() == [[cv2.boundingRect(blob())[0], cv2.boundingRect(blob())[1], *far(blob())]] * 2
    assert dataset[1].y[0].tolist() == [1]
    assert dataset.get_target(1)[0].tolist() == [1]


def far(mask):
    x, y, width, height = cv2.boundingRect(mask)
    return [x + width, y + height]


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["10", "2", "1"], ["1", "2", "10"]),
        (["NA", "None", "a_3"], ["NA", "None", "a"]),
        (["2.0", "1.0", "1"], ["1", "2"]),
    ],
)
def test_classes_of_the_table(table, cells, names):
    text = runs_of(blob())
    dataset = table([f"b.png,{text},30,40,{cell}" for cell in cells])
    assert dataset.meta()["CLASSES"] == names
    assert [names[label - 1] for label in dataset[0].y[0]] == [
        cell.partition("_")[0].removesuffix(".0") for cell in cells
    ]


def test_images_without_objects(table, add_experiment):
    text = runs_of(blob())
    rows = [f"0001.png,{text},30,40,7", "b.png,,30,40,", "c.png,-1,30,40,7", "d.png,,,,"]
    dataset = table(rows, images=("0001.png", "b.png", "c.png", "d.png"))
    assert len(dataset) == 4
    for number in (1, 2, 3):
        assert [np.shape(part) for part in dataset[number].y] == [(0,), (0, 4), (0,)]
        dataset.dense_masks = True
        assert dataset[number].y[2].shape == (0, 30, 40)
        dataset.dense_masks = False
    assert [dataset.isPositive(number) for number in range(4)] == [True, False, False, False]
    cfg = generic.parse(str(add_experiment(replace=[("classes: 3", "classes: 1")])))
    cfg.check(dataset)


def test_ids_keep_their_zeros_and_need_no_suffix(table):
    dataset = table([f"0001,{runs_of(blob())},30,40,1"], images=("0001.png", "0002.jpeg"))
    assert dataset[0].id == "0001"
    assert dataset.get_value("0002").shape == (30, 40, 3)


def test_masks_of_another_size_than_the_image(table):
    large = blob(60, 80, 20, 30)
    dataset = table([f"b.png,{runs_of(large)},60,80,1"])
    mask = coco_mask.decode(dataset[0].y[2][0])
    small = cv2.resize(large, (40, 30), interpolation=cv2.INTER_NEAREST) > 0
    assert (mask == small).all()
    assert small.any()


def test_masks_that_fit_no_image(table):
    with pytest.raises(
        DatasetError, match="Height and Width of ImageId 'b.png' are 40 and 30, but the image is 30 high"
    ):
        table([f"b.png,{runs_of(blob(40, 30))},40,30,1"])[0]


def test_sizes_are_not_needed(table):
    rows = [f"b.png,{runs_of(blob())},1"]
    dataset = table(rows, header="ImageId,EncodedPixels,ClassId")
    assert (coco_mask.decode(dataset[0].y[2][0]) == blob()).all()
    given = table(rows, header="ImageId,EncodedPixels,ClassId", maskShape=(40, 30), rMask=False)
    assert (coco_mask.decode(given[0].y[2][0]) == blob()).all()


@pytest.mark.parametrize(
    ("classes", "cells", "labels"),
    [
        (["red_car", "blue_car"], ["blue_car", "red_car", "red_car_3"], None),
        (["red_car", "red", "blue_car"], ["red_car", "red_bus", "blue_car"], [1, 2, 3]),
        ([1, 0], ["0", "1", "1_4"], [2, 1, 1]),
    ],
)
def test_names_that_are_among_the_classes_count_whole(table, classes, cells, labels):
    def make():
        return table([f"b.png,{runs_of(blob())},30,40,{cell}" for cell in cells], classes=classes)

    if labels is None:
        with pytest.raises(ConfigError, match="ClassId 'red', which is not among the 2 classes"):
            make()
    else:
        assert make()[0].y[0].tolist() == labels


def test_what_has_no_class_is_no_object(table):
    dataset = table([f"0001.png,{runs_of(blob())},30,40,", f"b.png,{runs_of(blob())},30,40,1"])
    assert [dataset.isPositive(number) for number in (0, 1)] == [False, True]
    assert [len(dataset[number].y[0]) for number in (0, 1)] == [0, 1]


def test_many_masks_never_exist_densely(table):
    side, count = 512, 200
    mask = blob(side, side, 200, 300)
    image, text = np.zeros((side, side, 3), np.uint8), runs_of(mask)
    dataset = table([f"b.png,{text},{side},{side},1"] * count, images=("b.png",), pixels=image)
    tracemalloc.start()
    labels, bboxes, found = dataset[0].y
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < side * side * count // 5
    assert (coco_mask.decode(found) == mask[..., None]).all()
    dataset.dense_masks = True
    dense = dataset[0].y
    assert dense[2].dtype == bool
    assert dense[2].shape == (count, side, side)
    assert (dense[2] == mask).all()
    assert (dense[1] == bboxes).all()
    assert (dense[0] == labels).all()


def test_masks_of_a_subclass_are_its_own(table, monkeypatch):
    dataset = table([f"b.png,{runs_of(blob())},30,40,{name}" for name in "12"])

    class Grown(type(dataset)):
        def get_mask(self, image, imShape):
            pairs = super().get_mask(image, imShape)
            return [(cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))), label) for mask, label in pairs]

    dataset.__class__ = Grown
    labels, bboxes, masks = dataset[0].y
    assert labels.tolist() == [1, 2]
    assert (coco_mask.decode(masks) == cv2.dilate(blob(), np.ones((3, 3)))[..., None]).all()
    assert bboxes[0].tolist() == [*(start - 1 for start in cv2.boundingRect(blob())[:2]), *(e + 1 for e in far(blob()))]


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_images(table, channels):
    pixels = np.full((30, 40, channels), 77, np.uint8)
    image = table([f"b.png,{runs_of(blob())},30,40,1"], pixels=pixels)[0].x
    assert image.shape == (30, 40, 3)
    assert (image == 77).all()


@pytest.mark.parametrize(
    ("rows", "options", "error", "message"),
    [
        (["b.png,1 2,30,40,5"], {"classes": ["1", "6"]}, ConfigError, "ClassId '5', which is not among the 2 classes"),
        (["b.png,1 2,30,40,5"], {"classes": ["5", "5"]}, ConfigError, "'5' twice"),
        (["b.png,1 2,30,40,5"], {"classes": "5"}, ConfigError, "expected a list of names"),
        (["b.png,1 2,30,40,5"], {"classes": []}, ConfigError, "expected a list of names"),
        (["c.png,1 2,30,40,5"], {}, DatasetError, r"ImageId 'c.png' names no file of the images \(did you mean"),
        (["b.png,1 9999,30,40,5"], {}, DatasetError, "EncodedPixels of ImageId 'b.png' has a run from pixel 0 to 9999"),
        (["b.png,1 2 3,30,40,5"], {}, DatasetError, "EncodedPixels of ImageId 'b.png' has 3 numbers"),
        (
            ["b.png,1 2,30,40,5"],
            {"header": "ImageId,Encoded,Height,Width,ClassId"},
            ConfigError,
            "no column 'EncodedPixels'",
        ),
    ],
)
def test_what_is_wrong_with_a_table(table, rows, options, error, message):
    with pytest.raises(error, match=message):
        table(rows, **options)[0]


def test_a_provider_of_another_name(add_experiment, project):
    (project / "modules" / "named.py").write_text(
        "from musket_core import datasets\nfrom shapes import Shapes\n\n\n"
        '@datasets.dataset_provider(origin="train.csv", kind="MultiClassInstanceSegmentationDataSet", name="My shapes")\n'
        "def getTrain():\n    return Shapes(5, 64, 0)\n"
    )
    for name in ("My shapes", "getTrain"):
        old = "  get_shapes: {count: 12, size: 64}\n"
        cfg = generic.parse(str(add_experiment(name.split()[0], replace=[(old, f"  {name}: []\n")])))
        assert len(cfg.get_dataset()) == 5
