"""Predictions on datasets of files are made anew when one of these files changes: images, annotations, masks, classes."""

import os

import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.data.annotation_files import PROVIDERS
from instance_segmentation_pipeline.data.fingerprint import dataset_mark
from instance_segmentation_pipeline.data.item_reader import ItemReader
from tests.data.test_recognition import pictures, written
from tests.data.test_saved_formats import HEIGHT, NAMES, WIDTH

READER = ItemReader(len(NAMES), "yxyx", "dataset", needs_masks=True)


def touched(path):
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))


def object_masks(folder):
    for name in ("x", "y"):
        pictures(folder / name / "images", ["a.png"])
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[3:9, 3:9] = 255
        (folder / name / "masks").mkdir()
        Image.fromarray(mask).save(folder / name / "masks/0.png")
    return {"folder": str(folder)}


CASES = {
    "coco_json": ("coco", {"annotations": "{}/annotations.json", "images": "{}/images"}, "annotations.json"),
    "labelme": ("labelme", {"folder": "{}"}, "b.json"),
    "yolo_seg": ("yolo", {"data": "{}/data.yaml", "part": "train"}, "labels/b.txt"),
    "csv_rle": ("csv", {"table": "{}/annotations.csv", "images": "{}/images"}, "annotations.csv"),
    "id_masks": (
        "ids",
        {"images": "{}/images", "masks": "{}/masks", "class_masks": "{}/class_masks", "classes": "{}/classes.txt"},
        "class_masks/b.png",
    ),
    "object_masks": (None, {"folder": "{}"}, "y/masks/0.png"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_change_of_a_file_is_noticed(tmp_path, name):
    saved, arguments, file = CASES[name]
    if saved is None:
        object_masks(tmp_path)
    else:
        written(tmp_path, saved, images="." if saved == "labelme" else "images")

    def mark():
        given = {key: value.format(tmp_path) for key, value in arguments.items()}
        return dataset_mark(PROVIDERS[name](**given), READER)

    before = mark()
    assert mark() == before
    image = next(path for path in sorted(tmp_path.rglob("*.jpg" if saved else "images/*.png")))
    for path in (tmp_path / file, image):
        touched(path)
        after = mark()
        assert after != before
        before = after
