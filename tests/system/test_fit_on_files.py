"""Datasets that a YAML alone declares, by the files that they lie in, are trained on: classes, parts, masks arrive."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from instance_segmentation_pipeline.data.formats.saving import annotation_writer
from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.mask_crops import MaskCrops
from instance_segmentation_pipeline.detection.masks import encode_masks
from tests.support.project import FAST, SMALL_CONFIG

pytestmark = pytest.mark.slow
SIDE = 64
NAMES = ("disc", "box")
TRAIN, VALIDATION, HOLDOUT = ("a.jpg", "b.jpg"), ("c.jpg",), ("d.jpg",)


def objects(seed):
    """Return two objects that do not touch, one of each class, and a picture of them."""
    random = np.random.default_rng(seed)
    masks, picture = np.zeros((2, SIDE, SIDE), bool), random.integers(0, 60, (SIDE, SIDE, 3)).astype(np.uint8)
    for number, mask in enumerate(masks):
        y, x = random.integers(2, 30), random.integers(2, 10) + 32 * number
        mask[y : y + 20, x : x + 15] = True
        picture[mask] = (200, 60, 60) if number else (60, 200, 60)
    rles = encode_masks(masks)
    boxes = MaskCrops.from_rles(rles, SIDE, SIDE).tight_boxes()
    return picture, Detections(SIDE, SIDE, np.arange(2), np.ones(2, np.float32), boxes, rles)


def written(folder, name, images=(*TRAIN, *VALIDATION), pictures="images", **options):
    """Write a dataset in a format, with its images."""
    (folder / pictures).mkdir(parents=True, exist_ok=True)
    with annotation_writer(name, folder, NAMES, **options) as writer:
        for number, image in enumerate(images):
            picture, found = objects(number)
            Image.fromarray(picture).save(folder / pictures / image)
            writer.add(image, found)


def coco(data):
    for part, images in (("train", TRAIN), ("val", VALIDATION), ("test", HOLDOUT)):
        written(data, "coco", images, f"{part}2017")
        (data / "annotations").mkdir(exist_ok=True)
        (data / "annotations.json").rename(data / f"annotations/instances_{part}2017.json")
    parts = (("train", "train"), ("validation", "val"), ("holdout", "test"))
    return {
        key: {"coco_json": {"annotations": f"annotations/instances_{part}2017.json", "images": f"{part}2017"}}
        for key, part in parts
    }


def yolo(data):
    for part, images in (("train", TRAIN), ("val", VALIDATION)):
        written(data / part, "yolo", images)
        (data / part / "data.yaml").unlink()
    told = {"train": "../train/images", "val": "../val/images", "nc": 2, "names": list(NAMES)}
    (data / "data.yaml").write_text(yaml.safe_dump(told))
    return {"yolo_seg": "data.yaml"}


def voc(data):
    written(data, "ids", pictures="JPEGImages")
    (data / "masks").rename(data / "SegmentationObject")
    (data / "class_masks").rename(data / "SegmentationClass")
    lists = data / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for part, images in (("train", TRAIN), ("val", VALIDATION)):
        (lists / f"{part}.txt").write_text("".join(f"{name[:-4]}\n" for name in images))
    given = {"root": ".", "classes": "classes.txt"}
    return {
        "train": {"voc": {**given, "only": "ImageSets/Segmentation/train.txt"}},
        "validation": {"voc": {**given, "only": "ImageSets/Segmentation/val.txt"}},
    }


def two_folders(data):
    written(data, "ids", pictures="jpegs")
    (data / "masks").rename(data / "pngs")
    return {"id_masks": {"images": "jpegs", "masks": "pngs"}}


def experiment(root, dataset, extra=""):
    """Write a project with one experiment, whose dataset lies in its folder ``data``."""
    text = FAST.format(config=SMALL_CONFIG, extra=extra).replace("classes: 3\n", "")
    text = text.replace("dataset:\n  get_shapes: {count: 12, size: 64}\n", "")
    assert "get_shapes" not in text
    folder = root / "experiments" / "one"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"{text}{yaml.safe_dump({'dataset': dataset})}")
    return folder


def check_what_was_trained(folder, names, held_out):
    weights = torch.load(next((folder / "weights").glob("best-0.0.*")), weights_only=False)
    assert tuple(weights["meta"]["dataset_meta"]["classes"]) == names
    summary = yaml.safe_load((folder / "summary.yaml").read_text())
    assert ("holdout" in json.dumps(summary)) == held_out
    assert list((folder / "examples").rglob("*.jpg"))


@pytest.mark.parametrize("write", [yolo, voc], ids=lambda write: write.__name__)
def test_a_dataset_of_files_is_trained_on(tmp_path, write, monkeypatch):
    from musket_core.projects import Project

    folder = experiment(tmp_path, write(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert Project(str(tmp_path)).byName("one").fit() == []
    check_what_was_trained(folder, NAMES, held_out=False)


def test_json_files_of_coco_for_each_part_by_the_command_line(tmp_path, musket):
    folder = experiment(tmp_path, coco(tmp_path / "data"))
    done = musket("fit", "--project", tmp_path, "--name", "one")
    assert done.returncode == 0, done.stderr
    check_what_was_trained(folder, NAMES, held_out=True)


def test_two_folders_by_the_command_line(tmp_path, musket):
    """The documentation's first scene: JPEG images in one folder, PNG masks in another, four lines of YAML."""
    folder = experiment(tmp_path, two_folders(tmp_path / "data"), "folds_count: 2\n")
    done = musket("fit", "--project", tmp_path, "--name", "one", "--folds", "0")
    assert done.returncode == 0, done.stderr
    check_what_was_trained(folder, ("object",), held_out=False)
