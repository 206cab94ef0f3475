"""What lies in a folder is recognised: the provider, its arguments, parts of a split; what is broken is told."""

import shutil

import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.data.formats.saving import annotation_writer
from instance_segmentation_pipeline.data.providers import Declarations, declared_dataset
from instance_segmentation_pipeline.data.recognition.sources import recognise
from instance_segmentation_pipeline.errors import DatasetError
from tests.data.test_saved_formats import HEIGHT, NAMES, WIDTH, none, scene

IMAGES = ("a.jpg", "b.jpg", "c.jpg")


def pictures(folder, names=IMAGES):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 20 * number, np.uint8)).save(folder / name)


def masks(folder, values, names=("a.png", "b.png", "c.png"), mode=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in zip(names, values, strict=True):
        Image.fromarray(one, mode=mode).save(folder / name)


def boxes(*objects):
    """Return a mask image of ``(value, top, left)`` squares."""
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    for value, top, left in objects:
        values[top : top + 5, left : left + 5] = value
    return values


def written(folder, name, images="images", **options):
    with annotation_writer(name, folder, NAMES, **options) as writer:
        for number, image in enumerate(IMAGES):
            writer.add(image, scene(number, apart=True) if number < 2 else none())
    pictures(folder / images)


def only(root, monkeypatch):
    """Return the one source that is found; its declaration, with paths relative to the folder, reads the same."""
    found = recognise(root)
    assert found.problems == ()
    assert len(found.sources) == 1, [source.declaration() for source in found.sources]
    (source,) = found.sources
    monkeypatch.chdir(root if root.is_dir() else root.parent)
    declared = declared_dataset(source.declaration(), Declarations((), root / "config.yaml"))
    assert len(declared) == sum(source.images.values())
    for row in range(len(declared)):
        assert declared[row].y is not None
    return source


def test_coco(tmp_path, monkeypatch):
    written(tmp_path, "coco")
    source = only(tmp_path, monkeypatch)
    assert source.declaration() == {"coco_json": {"annotations": "annotations.json", "images": "images"}}
    assert source.class_names == NAMES
    assert source.images == {"": 3}
    assert source.objects == len(scene(0, apart=True)) + len(scene(1, apart=True))
    assert only(tmp_path / "annotations.json", monkeypatch).declaration() == source.declaration()


def test_coco_with_parts(tmp_path, monkeypatch):
    written(tmp_path, "coco", images="train2017")
    (tmp_path / "annotations").mkdir()
    shutil.copy(tmp_path / "annotations.json", tmp_path / "annotations/instances_val2017.json")
    (tmp_path / "annotations.json").rename(tmp_path / "annotations/instances_train2017.json")
    (tmp_path / "annotations/captions_train2017.json").write_text('{"images": [], "annotations": []}')
    pictures(tmp_path / "val2017")
    assert only(tmp_path, monkeypatch).declaration() == {
        "train": {"coco_json": {"annotations": "annotations/instances_train2017.json", "images": "train2017"}},
        "validation": {"coco_json": {"annotations": "annotations/instances_val2017.json", "images": "val2017"}},
    }


def test_yolo_with_and_without_data_yaml(tmp_path, monkeypatch):
    written(tmp_path, "yolo")
    source = only(tmp_path, monkeypatch)
    assert source.declaration() == {
        "train": {"yolo_seg": {"data": "data.yaml", "part": "train"}},
        "validation": {"yolo_seg": {"data": "data.yaml", "part": "val"}},
    }
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("".join(f"{name}\n" for name in NAMES), encoding="utf-8")
    assert only(tmp_path, monkeypatch).declaration() == {
        "yolo_seg": {"images": "images", "labels": "labels", "classes": "classes.txt"}
    }
    (tmp_path / "classes.txt").unlink()
    source = only(tmp_path, monkeypatch)
    assert source.class_names[0] == "class 0"
    assert "nothing names the classes" in source.notes[0]


def test_labelme(tmp_path, monkeypatch):
    written(tmp_path, "labelme", images=".")
    assert only(tmp_path, monkeypatch).declaration() == {"labelme": {"folder": "."}}


def test_labelme_with_parts_has_the_classes_of_both(tmp_path, monkeypatch):
    for part in ("train", "val"):
        written(tmp_path / part, "labelme", images=".")
    (tmp_path / "val/a.json").unlink()
    (tmp_path / "val/a.jpg").unlink()
    source = only(tmp_path, monkeypatch)
    assert list(source.declaration()) == ["train", "validation"]
    assert len({tuple(part["labelme"]["classes"]) for part in source.declaration().values()}) == 1


def test_tables(tmp_path, monkeypatch):
    written(tmp_path, "csv")
    assert only(tmp_path, monkeypatch).declaration() == {"csv_rle": {"table": "annotations.csv", "images": "images"}}


def test_pairs_of_voc_with_lists(tmp_path, monkeypatch):
    pictures(tmp_path / "JPEGImages")
    values = [boxes((1, 2, 2)), boxes((1, 2, 2), (2, 9, 9)), boxes()]
    masks(tmp_path / "SegmentationObject", values)
    masks(tmp_path / "SegmentationClass", [np.where(one > 0, 15, 0).astype(np.uint8) for one in values])
    assert only(tmp_path, monkeypatch).declaration() == {"voc": {"root": "."}}
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c\n")
    source = only(tmp_path, monkeypatch)
    assert source.images == {"train": 2, "validation": 1}
    assert source.declaration()["train"] == {"voc": {"root": ".", "only": "ImageSets/Segmentation/train.txt"}}


def test_a_folder_an_image(tmp_path, monkeypatch):
    for name in "xyz":
        pictures(tmp_path / name / "images", [f"{name}.png"])
        masks(tmp_path / name / "masks", [boxes((255, 2, 2))], ["1.png"])
    source = only(tmp_path, monkeypatch)
    assert source.declaration() == {"object_masks": {"folder": "."}}
    assert source.objects == 3


PAIRS = {
    "binary": ([boxes((255, 2, 2), (255, 20, 20)), boxes((255, 9, 9)), boxes()], {"classes": ["object"]}),
    "objects": ([boxes((1, 2, 2), (2, 20, 20)), boxes((1, 9, 9)), boxes()], {}),
    "classes": (
        [boxes((1, 2, 2), (1, 20, 20), (3, 9, 9)), boxes((3, 9, 9), (3, 2, 2)), boxes((1, 9, 9), (255, 0, 0))],
        {"classes": ["class 1", "class 3"], "colours": [1, 3], "ignore": [255], "values": "classes"},
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_two_folders_of_images_and_masks(tmp_path, name, monkeypatch):
    values, expected = PAIRS[name]
    pictures(tmp_path / "photos")
    masks(tmp_path / "masks", values)
    if name == "binary":
        expected = {**expected, "values": "classes"}
    source = only(tmp_path, monkeypatch)
    assert source.declaration() == {"id_masks": {"images": "photos", "masks": "masks", **expected}}
    assert sum(len(source.datasets[""][row].y[0]) for row in range(3)) == (6 if name == "classes" else 3)


def test_masks_of_colours_with_an_ending(tmp_path, monkeypatch):
    pictures(tmp_path / "images")
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 128, 255]], np.uint8)
    values = [boxes((1, 2, 2), (1, 20, 20), (2, 9, 9)), boxes((2, 9, 9), (2, 2, 2)), boxes((1, 9, 9))]
    masks(tmp_path / "labels", [colours[one] for one in values], ["a_seg.png", "b_seg.png", "c_seg.png"])
    (arguments,) = only(tmp_path, monkeypatch).declaration().values()
    assert arguments["colours"] == [[0, 128, 255], [255, 0, 0]]
    assert arguments["ending"] == "_seg"


def test_masks_beside_their_images(tmp_path, monkeypatch):
    pictures(tmp_path)
    values = [boxes((1, 2, 2), (2, 20, 20)), boxes((1, 9, 9)), boxes()]
    masks(tmp_path, values, ["a_mask.png", "b_mask.png", "c_mask.png"])
    assert only(tmp_path, monkeypatch).declaration() == {"id_masks": {"images": ".", "masks": ".", "ending": "_mask"}}


def test_several_formats_are_all_found(tmp_path):
    written(tmp_path / "one", "coco")
    written(tmp_path / "two", "labelme", images=".")
    assert [source.provider for source in recognise(tmp_path).sources] == ["coco_json", "labelme"]


def test_what_is_broken_is_told(tmp_path):
    written(tmp_path, "coco")
    shutil.rmtree(tmp_path / "images")
    found = recognise(tmp_path)
    assert found.sources == ()
    assert "names 3 images, of which 3 are not in" in found.problems[0]


def test_folders_without_annotations(tmp_path):
    assert recognise(tmp_path).sources == ()
    pictures(tmp_path / "photos")
    assert recognise(tmp_path).images == 3
    assert recognise(tmp_path).sources == ()
    with pytest.raises(DatasetError, match="cannot be listed"):
        recognise(tmp_path / "none")
