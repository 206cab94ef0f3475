"""What is saved in a format loads the same, where the format can hold it."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image
from pycocotools import mask as coco_mask

from instance_segmentation_pipeline.data.annotation_files import coco_json, id_masks, labelme, yolo_seg
from instance_segmentation_pipeline.data.formats.saving import WRITTEN, annotation_writer
from instance_segmentation_pipeline.data.formats.writing import FileNames
from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.instances import from_musket
from instance_segmentation_pipeline.detection.mask_crops import MaskCrops
from instance_segmentation_pipeline.detection.mask_outlines import joined_polygons, mask_polygons
from instance_segmentation_pipeline.detection.masks import encode_masks
from instance_segmentation_pipeline.errors import ConfigError, UserError
from tests.support.strategies import members

NAMES = ("cat", "big dog", "ünïcode")
HEIGHT, WIDTH = 30, 40


def scene(seed, count=5, apart=False):
    """Return objects of ragged outlines, with holes and in several parts; those that are ``apart`` do not overlap."""
    random = np.random.default_rng(seed)
    masks = np.zeros((count, HEIGHT, WIDTH), bool)
    for mask in masks:
        y, x = random.integers(0, HEIGHT - 8), random.integers(0, WIDTH - 8)
        mask[y : y + 8, x : x + 8] = random.random((8, 8)) < random.choice([0.3, 0.7, 1])
        mask[y, x] = True
    if apart:
        masks &= np.cumsum(masks, axis=0) == 1
    masks = masks[masks.any(axis=(1, 2))]
    rles = encode_masks(masks)
    crops = MaskCrops.from_rles(rles, HEIGHT, WIDTH)
    labels = random.integers(0, len(NAMES), len(masks))
    scores = random.random(len(masks)).astype(np.float32)
    return Detections(HEIGHT, WIDTH, labels, scores, crops.tight_boxes(), rles)


def none():
    return Detections(HEIGHT, WIDTH, np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 4), np.float32), [])


def saved(folder, name, entries, **options):
    """Write entries, and the images that they are of."""
    (folder / "images").mkdir(exist_ok=True)
    with annotation_writer(name, folder, NAMES, **options) as writer:
        for image, found in entries:
            Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(folder / "images" / image)
            writer.add(image, found)
    return writer


LOADED = {
    "coco": lambda folder: coco_json(str(folder / "annotations.json"), images=str(folder / "images")),
    "yolo": lambda folder: yolo_seg(images=str(folder / "images"), labels=str(folder / "labels"), classes=NAMES),
    "labelme": lambda folder: labelme(str(folder), classes=NAMES),
    "ids": lambda folder: id_masks(
        str(folder / "images"),
        str(folder / "masks"),
        classes=str(folder / "classes.txt"),
        class_masks=str(folder / "class_masks"),
    ),
}


def objects(dataset, row):
    item = dataset[row]
    found = from_musket(item.y, HEIGHT, WIDTH, classes=len(dataset.class_names))
    return list(zip(found.labels.tolist(), [rle["counts"] for rle in found.masks.to_rles()], strict=True))


def expected(found):
    return list(zip(found.labels.tolist(), [rle["counts"] for rle in found.masks], strict=True))


@pytest.mark.parametrize("polygons", [False, True])
@pytest.mark.parametrize("name", LOADED)
@pytest.mark.parametrize("seed", range(4))
def test_what_is_saved_loads_the_same(tmp_path, name, seed, polygons):
    entries = [("a.png", scene(seed, apart=name == "ids")), ("b.png", none()), ("c.jpg", scene(seed + 9, 1))]
    options = {"image_path": "images/{}".format} if name == "labelme" else {}
    writer = saved(tmp_path, name, entries, polygons=polygons, **options)
    assert writer.remarks == []
    dataset = LOADED[name](tmp_path)
    assert dataset.class_names == NAMES
    assert [dataset[row].id for row in range(3)] == ["a.png", "b.png", "c.jpg"]
    for row, (_, found) in enumerate(entries):
        assert objects(dataset, row) == expected(found)


@settings(max_examples=150)
@given(members(most=1))
def test_outlines_draw_the_same_masks(found):
    (one,) = found
    masks = MaskCrops.from_rles(one.masks or [], one.height, one.width)
    for row in range(len(masks)):
        parts = mask_polygons(masks, row)
        for polygons in (parts, [joined_polygons(parts)]):
            rles = coco_mask.frPyObjects([polygon.ravel().tolist() for polygon in polygons], one.height, one.width)
            assert coco_mask.merge(rles)["counts"].decode() == one.masks[row]["counts"]


def test_scores_are_kept_where_there_is_a_place_for_them(tmp_path):
    found = scene(3)
    for name in ("coco", "labelme", "csv"):
        saved(tmp_path, name, [("a.png", found)], scored=True)
    told = [one["score"] for one in json.loads((tmp_path / "annotations.json").read_text())["annotations"]]
    assert told == pytest.approx(found.scores.tolist(), abs=1e-6)
    shapes = json.loads((tmp_path / "a.json").read_text())["shapes"]
    assert {shape["score"] for shape in shapes} == {round(float(score), 6) for score in found.scores}
    header, *rows = (tmp_path / "annotations.csv").read_text().splitlines()
    assert header == "ImageId,EncodedPixels,Height,Width,ClassId,Score"
    assert [float(row.rpartition(",")[2]) for row in rows] == pytest.approx(found.scores.tolist(), abs=1e-6)


def test_what_covers_others_is_told(tmp_path):
    masks = np.zeros((3, HEIGHT, WIDTH), bool)
    masks[0, :9, :9] = masks[1, 5:20, 5:20] = masks[2, 6:8, 6:8] = True
    scores = np.array([0.9, 0.5, 0.4], np.float32)
    found = Detections(HEIGHT, WIDTH, np.array([0, 1, 2]), scores, np.zeros((3, 4), np.float32), encode_masks(masks))
    writer = saved(tmp_path, "ids", [("a.png", found)])
    assert writer.remarks == ["objects overlap, and a pixel of a mask image has one: 1 are seen in part, 1 not at all"]
    values = np.asarray(Image.open(tmp_path / "masks/a.png"))
    assert values.dtype == np.uint16 or values.dtype == np.int32
    assert ((values == 1) == masks[0]).all()


def test_boxes_alone_are_refused_by_name_where_they_cannot_be_held(tmp_path):
    boxes = np.array([[1, 2, 10, 12]], np.float32)
    found = Detections(HEIGHT, WIDTH, np.array([1]), np.ones(1, np.float32), boxes, None)
    for name in ("yolo", "ids", "csv"):
        with annotation_writer(name, tmp_path, NAMES) as writer, pytest.raises(UserError, match=f"which {name} cannot"):
            writer.add("a.png", found)
    saved(tmp_path, "labelme", [("a.png", found)], image_path="images/{}".format)
    assert from_musket(labelme(str(tmp_path), classes=NAMES)[0].y, HEIGHT, WIDTH, classes=3).bboxes.tolist() == [
        [1, 2, 10, 12]
    ]


def test_names_of_files_stay_inside_and_differ():
    names = FileNames()
    assert [names.of(name) for name in ("a.jpg", "a.png", "sub/a.jpg", "A.jpg")] == ["a", "a-2", "sub/a", "A-3"]
    for outside in ("/etc/passwd.jpg", "../../x.jpg", "C:\\x.jpg", "..", ""):
        own = names.of(outside)
        assert ".." not in own.split("/") and not own.startswith("/") and own


def test_an_unknown_format_is_told(tmp_path):
    with pytest.raises(ConfigError, match="'cocoa' is no format .did you mean 'coco'"):
        annotation_writer("cocoa", tmp_path, NAMES)
    assert list(WRITTEN) == ["coco", "yolo", "labelme", "ids", "csv"]
