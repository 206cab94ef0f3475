"""Datasets that a YAML declares as ``coco_json``: what the format holds is what items give; broken files are told."""

import contextlib
import copy
import gzip
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from instance_segmentation_pipeline.data.annotation_files import coco_json
from instance_segmentation_pipeline.data.consistency import crowd_count
from instance_segmentation_pipeline.data.formats.coco_json import to_coco
from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.data.providers import Declarations, declared_dataset
from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.instances import from_musket
from instance_segmentation_pipeline.detection.mask_crops import MaskCrops
from instance_segmentation_pipeline.detection.records import from_middle_format, to_middle_format
from instance_segmentation_pipeline.errors import ConfigError, UserError
from instance_segmentation_pipeline.metrics.coco import coco_metrics

HEIGHT, WIDTH = 30, 40
SQUARE = [5.0, 5.0, 15.0, 5.0, 15.0, 12.0, 5.0, 12.0]


def dense(y1, x1, y2, x2):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


def compressed(mask):
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def plain(mask):
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=0)).tolist()
    return {"size": list(mask.shape), "counts": np.diff([0, *edges, flat.size]).tolist()}


def whole():
    return {
        "images": [
            {"id": "x", "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
            {"id": 70000000000, "file_name": "sub\\b.png"},
        ],
        "categories": [{"id": 9, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": "x", "category_id": 9, "segmentation": [list(SQUARE)]},
            {"id": 2, "image_id": "x", "category_id": 3, "segmentation": compressed(dense(2, 20, 9, 30))},
            {"id": 3, "image_id": "x", "category_id": 9, "segmentation": plain(dense(20, 0, 30, 7))},
            {"id": 4, "image_id": "x", "category_id": 9, "segmentation": plain(dense(0, 0, 30, 40)), "iscrowd": 1},
            {"id": 5, "image_id": "x", "category_id": 9, "segmentation": [[1.1, 1.1, 1.2, 1.1, 1.2, 1.2]]},
        ],
    }


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "sub/b.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 7, np.uint8)).save(path)
    return tmp_path


def written(folder, content):
    path = folder / "annotations.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_all_forms_of_masks_and_ids(folder):
    dataset = coco_json(written(folder, whole()))
    assert dataset.meta() == {"CLASSES": ["dog", "cat"]}  # by category ids
    assert [dataset[row].id for row in range(2)] == ["a.png", "sub\\b.png"]
    item = dataset[0]
    found = from_musket(item.y, HEIGHT, WIDTH, classes=2)
    assert found.labels.tolist() == [1, 0, 1]
    masks = found.masks.to_dense()
    assert masks[0].sum() == 70
    assert (masks[0] == dense(5, 5, 12, 15)).all()
    assert (masks[1] == dense(2, 20, 9, 30)).all()
    assert (masks[2] == dense(20, 0, 30, 7)).all()
    assert found.bboxes.tolist()[1] == [20, 2, 30, 9]
    assert dataset.isPositive(0)
    assert not dataset.isPositive(1)
    empty = from_musket(dataset[1].y, HEIGHT, WIDTH, classes=2)
    assert len(empty) == 0


def test_crowds_are_regions_beside_the_objects(folder):
    dataset = coco_json(written(folder, whole()))
    assert dataset.crowd_count() == 1
    found = ItemReader(2, "yxyx", "dataset", needs_masks=True).read(dataset, 0)[2]
    labels, masks = found.crowds
    assert labels.tolist() == [1]
    assert masks.areas().tolist() == [HEIGHT * WIDTH]
    assert ItemReader(2, "yxyx", "dataset", needs_masks=True).read(dataset, 1)[2].crowds is None
    assert crowd_count(dataset) == 1
    record = to_middle_format(found, "a.png")
    assert from_middle_format(record).crowds[1].areas().tolist() == [HEIGHT * WIDTH]


def test_what_is_found_on_a_crowd_is_not_counted_as_pycocotools_does(folder, tmp_path):
    content = whole()
    content["annotations"][3]["segmentation"] = plain(dense(14, 8, 30, 40))
    dataset = coco_json(written(folder, content))
    reader = ItemReader(2, "yxyx", "dataset", needs_masks=True)
    truths = [to_middle_format(reader.read(dataset, row)[2], str(row)) for row in range(2)]
    masks = [dense(5, 5, 12, 15), dense(2, 20, 9, 30), dense(20, 0, 30, 7), dense(16, 10, 20, 14), dense(0, 0, 3, 3)]
    labels = np.array([1, 0, 1, 1, 1])
    found = {
        "labels": labels,
        "scores": np.array([0.6, 0.9, 0.8, 0.95, 0.3], np.float32),
        "bboxes": MaskCrops.from_dense(np.stack(masks)).tight_boxes(),
        "masks": [compressed(mask) for mask in masks],
    }
    nothing = {"labels": labels[:0], "scores": found["scores"][:0], "bboxes": found["bboxes"][:0], "masks": []}
    ours = coco_metrics(truths, [found, nothing], classes=2, with_masks=True)
    assert ours["coco_segm_mAP"] == pytest.approx(1)  # with crowds left out, the best one is wrong
    for image in content["images"]:
        image.update(height=HEIGHT, width=WIDTH)
    numbers = {"x": 1, 70000000000: 2}
    for entry in content["annotations"]:
        entry.update(image_id=numbers[entry["image_id"]], area=100, bbox=[0, 0, 9, 9], iscrowd=entry.get("iscrowd", 0))
    for image in content["images"]:
        image["id"] = numbers[image["id"]]
    content["annotations"].pop()
    (tmp_path / "pycocotools.json").write_text(json.dumps(content))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "pycocotools.json"))
        answers = [
            {"image_id": 1, "category_id": (3, 9)[label], "score": float(score), "segmentation": mask}
            for label, score, mask in zip(labels, found["scores"], found["masks"], strict=True)
        ]
        evaluation = COCOeval(truth, truth.loadRes(answers), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(ours["coco_segm_mAP"], abs=1e-6)


def test_several_polygons_are_one_object(folder):
    content = whole()
    content["annotations"] = content["annotations"][:1]
    content["annotations"][0]["segmentation"].append([20, 20, 30, 20, 30, 25, 20, 25])
    (mask,) = from_musket(coco_json(written(folder, content))[0].y, HEIGHT, WIDTH, classes=2).masks.to_dense()
    assert (mask == dense(5, 5, 12, 15) + dense(20, 20, 25, 30)).all()


def test_an_object_of_the_first_pixel_is_one(folder):
    content = whole()
    content["annotations"][0]["segmentation"] = [[0, 0, 1, 0, 1, 1, 0, 1]]
    masks = from_musket(coco_json(written(folder, content))[0].y, HEIGHT, WIDTH, classes=2).masks.to_dense()
    assert (masks[0] == dense(0, 0, 1, 1)).all()


def test_classes_choose_and_order(folder):
    dataset = coco_json(written(folder, whole()), classes=["cat"])
    assert dataset.meta() == {"CLASSES": ["cat"]}
    assert dataset[0].y[0].tolist() == [1, 1]


def test_missing_images_may_be_skipped(folder):
    (folder / "a.png").unlink()
    assert [item.id for item in [coco_json(written(folder, whole()), missing="skip")[0]]] == ["sub\\b.png"]


def test_what_is_saved_loads_the_same(folder):
    masks = [compressed(dense(1, 2, 9, 30)), compressed(dense(20, 0, 30, 7))]
    boxes = np.array([[2, 1, 30, 9], [0, 20, 7, 30]], np.float32)
    found = Detections(HEIGHT, WIDTH, np.array([1, 0]), np.ones(2, np.float32), boxes, masks)
    path = written(folder, to_coco([("a.png", found)], ["b", "a"], scored=False))
    labels, bboxes, rles = coco_json(path)[0].y
    assert labels.tolist() == [2, 1]
    assert bboxes.tolist() == [[1, 2, 9, 30], [20, 0, 30, 7]]
    assert rles == masks


def test_declared_by_name_alone(folder):
    written(folder, whole())
    part = {"coco_json": {"annotations": str(folder / "annotations.json")}}
    given = Declarations(imports=[], where=folder / "config.yaml")
    assert len(declared_dataset(part, given)) == 2
    both = declared_dataset({"train": part, "validation": part, "holdout": part}, given)
    assert both.folds == [([0, 1], [2, 3])]
    assert both.holdoutArr == [4, 5]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"anotations": "a.json"}, "no argument 'anotations' (did you mean 'annotations'?)"),
        ({}, "missing a required argument: 'annotations'"),
        ({"annotations": 3}, "annotations of coco_json is 3, expected a path"),
        ({"annotations": "annotations.json", "missing": "no"}, "missing of coco_json is 'no', expected error or skip"),
        ({"annotations": "annotations.json", "classes": "cat"}, "expected a list of different names"),
    ],
)
def test_wrong_arguments(folder, arguments, said):
    given = Declarations(imports=[], where=folder / "config.yaml")
    with pytest.raises(UserError) as told:
        declared_dataset({"coco_json": arguments}, given)
    assert said in str(told.value)


def test_a_name_that_is_near_is_suggested(folder):
    with pytest.raises(ConfigError, match="did you mean 'coco_json'"):
        declared_dataset({"coco_jsn": "a.json"}, Declarations(imports=[], where=folder / "config.yaml"))


BROKEN = {  # how the JSON is changed, and what is said of it
    "no images key": (lambda one: one.pop("images"), "has no list images"),
    "no images": (lambda one: one.update(images=[], annotations=[]), "has no images"),
    "no categories": (lambda one: one.update(categories=[], annotations=[]), "has no categories"),
    "images without id": (lambda one: one["images"][0].pop("id"), "images[0] is"),
    "duplicate image ids": (lambda one: one["images"][1].update(id="x"), "images[1] has the id 'x' of another"),
    "duplicate file names": (lambda one: one["images"][1].update(file_name="a.png"), "the file_name 'a.png'"),
    "duplicate annotation ids": (lambda one: one["annotations"][1].update(id=1), "annotations have the id 1"),
    "duplicate names": (lambda one: one["categories"][1].update(name="cat"), "are both named 'cat'"),
    "category without a name": (lambda one: one["categories"][1].pop("name"), "has the name None"),
    "file name no text": (lambda one: one["images"][0].update(file_name=3), "images[0] has the file_name 3"),
    "missing image": (lambda one: one["images"][0].update(file_name="c.png"), "1 are not in"),
    "image of Windows": (lambda one: one["images"][0].update(file_name="C:\\a.png"), "1 are not in"),
    "image size no number": (lambda one: one["images"][0].update(height="30"), "has height '30' and width 40"),
    "annotation of no image": (lambda one: one["annotations"][0].update(image_id=5), "has image_id 5, which no"),
    "annotation of no class": (lambda one: one["annotations"][0].update(category_id=0), "has category_id 0"),
    "no segmentation": (lambda one: one["annotations"][0].pop("segmentation"), "annotation 0 has no segmentation"),
    "crowd no flag": (lambda one: one["annotations"][0].update(iscrowd="no"), "has iscrowd 'no'"),
    "polygon of two points": (lambda one: one["annotations"][0].update(segmentation=[[1, 2, 3, 4]]), "of 4 numbers"),
    "half a point": (lambda one: one["annotations"][0]["segmentation"][0].pop(), "of 7 numbers"),
    "polygon flat": (lambda one: one["annotations"][0].update(segmentation=SQUARE), "put a single one in a list"),
    "polygon of text": (lambda one: one["annotations"][0]["segmentation"][0].__setitem__(0, "5"), "expected numbers"),
    "polygon infinite": (lambda one: one["annotations"][0]["segmentation"][0].__setitem__(0, 10**400), "finite"),
    "polygon NaN": (lambda one: one["annotations"][0]["segmentation"][0].__setitem__(0, float("nan")), "holds NaN"),
    "polygon normalised": (
        lambda one: one.update(
            annotations=[{**one["annotations"][0], "segmentation": [[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]}]
        ),
        "all polygons (1) have coordinates of 0..1 alone",
    ),
    "polygon far outside": (
        lambda one: one["annotations"][0].update(segmentation=[[0, 0, 9e9, 0, 9e9, 9e9]]),
        "far outside the image of height 30 and width 40",
    ),
    "empty list": (lambda one: one["annotations"][0].update(segmentation=[]), "is [], expected a list of polygons"),
    "RLE of another size": (
        lambda one: one["annotations"][1]["segmentation"].update(size=[40, 30]),
        "expected [30, 40]",
    ),
    "RLE without size": (lambda one: one["annotations"][1]["segmentation"].pop("size"), "has size None"),
    "RLE counts no runs": (lambda one: one["annotations"][1]["segmentation"].update(counts="~~"), "no compressed"),
    "RLE too short": (lambda one: one["annotations"][2]["segmentation"].update(counts=[5, 5]), "cover 10 pixels"),
    "RLE negative": (lambda one: one["annotations"][2]["segmentation"].update(counts=[-5, 5]), "list of run lengths"),
    "size is another": (lambda one: one["images"][0].update(height=40, width=30), "is annotated at 40 x 30"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_content_is_told_with_its_place(folder, name):
    change, said = BROKEN[name]
    content = copy.deepcopy(whole())
    change(content)
    path = written(folder, content)
    with pytest.raises(UserError) as told:
        [coco_json(path)[row] for row in range(2)]
    assert said in str(told.value)
    assert str(told.value).startswith(path)
    assert len(str(told.value)) < 1000


FILES = {
    "empty": (b"", "is empty"),
    "a list": (b"[]", "has no list images"),
    "cut off": (b'{"images": [', "is no JSON"),
    "UTF-16": ('{"images": []}'.encode("utf-16"), "text in UTF-16"),
    "Latin-1": ('{"images": ["é"]}'.encode("latin-1"), "no text in UTF-8"),
    "gzip": (gzip.compress(b"{}"), "packed by gzip"),
    "an image": (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    "deep": (b"[" * 200_000, "cannot be read as JSON"),
    "Infinity": (b'{"images": [Infinity]}', "holds Infinity"),
    "long number": (b"9" * 100_000, "cannot be read as JSON"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_another_kind_are_told(folder, name):
    content, said = FILES[name]
    (folder / "annotations.json").write_bytes(content)
    with pytest.raises(UserError) as told:
        coco_json(str(folder / "annotations.json"))
    assert said in str(told.value)


def test_zip_folder_and_nothing_are_told(folder):
    with zipfile.ZipFile(folder / "annotations.json", "w") as archive:
        archive.writestr("a.json", "{}")
    for path, said in (("annotations.json", "a ZIP archive"), ("sub", "a folder"), ("none.json", "does not exist")):
        with pytest.raises(UserError, match=said):
            coco_json(str(folder / path))


def test_a_broken_image_is_told_with_both_files(folder):
    path = written(folder, whole())
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(UserError) as told:
        coco_json(path)[0]
    assert str(told.value).startswith(f"{path}: image 'a.png' is no image of a known format")
