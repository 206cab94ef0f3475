"""Crowds (``iscrowd``) stay with their items: in caches, behind steps of images, and in COCO's JSON written anew."""

import copy
import json

import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.data.annotation_files import coco_json
from instance_segmentation_pipeline.data.formats.saving import WRITTEN
from instance_segmentation_pipeline.data.preprocessing.item_codec import packed, unpacked
from instance_segmentation_pipeline.data.preprocessing.item_steps import ItemFunction
from instance_segmentation_pipeline.errors import DatasetError

HEIGHT, WIDTH = 30, 40
HOLED = {"size": [HEIGHT, WIDTH], "counts": [35, 20, 10, 20, 15, 5, 1095]}


@pytest.fixture
def source(tmp_path):
    """Return the JSON of an image with one object and two crowds."""
    told = [
        {"category_id": 1, "segmentation": [[5.0, 5.0, 15.0, 5.0, 15.0, 12.0, 5.0, 12.0]], "iscrowd": 0},
        {"category_id": 2, "segmentation": HOLED, "iscrowd": 1},
        {"category_id": 1, "segmentation": [[20, 20, 30, 20, 30, 25]], "iscrowd": 1},
    ]
    whole = {
        "images": [{"id": 4, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [{"id": number, "image_id": 4, **one} for number, one in enumerate(told, start=1)],
    }
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 7, np.uint8)).save(folder / "a.png")
    (folder / "annotations.json").write_text(json.dumps(whole))
    return folder / "annotations.json"


def crowds_of(item):
    return item.crowds[0].tolist(), [rle["counts"] for rle in item.crowds[1]]


@pytest.mark.parametrize("polygons", [False, True])
def test_coco_holds_them_exactly(source, tmp_path, polygons, capsys):
    item = coco_json(str(source))[0]
    arguments = ["--input", source.parent, "--format", "coco", "--output", tmp_path / "out"]
    assert main(["convert", *map(str, arguments), "--polygons", str(polygons).lower()]) == 0
    assert "left out" not in capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "annotations.json").read_text())["annotations"]
    assert [one["iscrowd"] for one in written] == [0, 1, 1]
    assert [one["id"] for one in written] == [1, 2, 3]
    assert written[1]["area"] == 45
    if polygons:  # as COCO's own files have them
        assert written[1]["segmentation"] == HOLED
    else:
        assert isinstance(written[1]["segmentation"]["counts"], str)
    again = coco_json(str(tmp_path / "out" / "annotations.json"), str(source.parent))[0]
    assert crowds_of(again) == crowds_of(item)
    assert [one["counts"] for one in again.y[2]] == [one["counts"] for one in item.y[2]]


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "coco"])
def test_other_formats_say_that_they_cannot(source, tmp_path, name, capsys):
    arguments = ["--input", source.parent, "--format", name, "--output", tmp_path / "out", "--images", "copy"]
    assert main(["convert", *map(str, arguments)]) == 0
    told = capsys.readouterr()
    assert "2 crowds, whose objects are not told apart, are left out: coco alone can hold them" in told.out + told.err


def test_caches_keep_them(source):
    item = coco_json(str(source))[0]
    assert (unpacked(packed(item, "cache"))[3][0] == item.crowds[0]).all()
    assert unpacked(packed(item, "cache"))[3][1] == item.crowds[1]
    del item.crowds
    assert unpacked(packed(item, "cache"))[3] is None


def test_steps_of_images_keep_them_and_their_size(source):
    item = coco_json(str(source))[0]
    inverted = ItemFunction(lambda image: 255 - image, takes_items=False, name="invert")(item)
    assert crowds_of(inverted) == crowds_of(item)
    alone = copy.copy(item)
    alone.y = tuple(part[:0] for part in item.y)
    with pytest.raises(DatasetError, match="made an image of 15 x 40"):
        ItemFunction(lambda image: image[::2], takes_items=False, name="half")(alone)


def test_steps_of_items_keep_only_those_that_they_set(source):
    item = coco_json(str(source))[0]

    def turned(given):
        given.x = given.x[::-1]
        return given

    def emptied(given):
        given.crowds = (given.crowds[0][:1], given.crowds[1][:1])
        return given

    assert ItemFunction(turned, takes_items=True, name="turned")(item).crowds is None
    assert len(ItemFunction(emptied, takes_items=True, name="emptied")(item).crowds[0]) == 1
    assert len(item.crowds[0]) == 2
