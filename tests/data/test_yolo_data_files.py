"""Datasets that a YAML declares by YOLO's ``data.yaml``; what is wrong in it is told."""

import numpy as np
import pytest
import yaml
from PIL import Image

from instance_segmentation_pipeline.data.annotation_files import yolo_seg
from instance_segmentation_pipeline.errors import ConfigError, UserError

BOX = "0.1 0.2 0.4 0.2 0.4 0.4 0.1 0.4"


@pytest.fixture
def folder(tmp_path):
    """Return a folder as YOLO's documentation has it, ``test`` without labels."""
    for part, names in (("train", "ab"), ("val", "c"), ("test", "d")):
        for name in names:
            path = tmp_path / f"images/{part}/{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((20, 30, 3), 7, np.uint8)).save(path)
            labels = tmp_path / f"labels/{part}/{name}.txt"
            labels.parent.mkdir(parents=True, exist_ok=True)
            if part != "test":
                labels.write_text(f"1 {BOX}\n")
    return tmp_path


def written(folder, **changes):
    content = {"path": ".", "train": "images/train", "val": "images/val", "names": {0: "cat", 1: "dog"}, **changes}
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "data.yaml").write_text(yaml.safe_dump(content))
    return str(folder / "data.yaml")


def test_parts_are_training_validation_and_holdout(folder):
    dataset = yolo_seg(written(folder, test="images/test"))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.folds == [([0, 1], [2])]
    assert not hasattr(dataset, "holdoutArr")  # there are no labels
    assert len(dataset) == 3
    (folder / "labels/test/d.txt").write_text(f"0 {BOX}\n")
    dataset = yolo_seg(written(folder, test="images/test"))
    assert dataset.holdoutArr == [3]
    assert [dataset[row].id for row in (0, 2, 3)] == ["images/train/a.jpg", "images/val/c.jpg", "images/test/d.jpg"]
    assert dataset[3].y[0].tolist() == [1]
    assert len(yolo_seg(written(folder), "val")) == 1


FORMS = {
    "list of names": {"names": ["cat", "dog"], "nc": 2},
    "no path": {"path": None},
    "path elsewhere": {"path": "../datasets/nowhere"},
    "path of Windows": {"path": "C:\\data"},
    "dots of exporters": {"train": "../images/train", "val": "../images/val"},
    "backslashes": {"train": "images\\train"},
    "whole folder": {"train": "images/train/"},
    "several folders": {"train": ["images/train", "images/test"]},
    "a list": {"train": "train.txt"},
    "a list and a folder": {"train": ["train.txt", "images/test"]},
    "keys of training": {"download": "https://example.org/x.zip", "kpt_shape": [17, 3]},
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_data_yaml(folder, name):
    (folder / "train.txt").write_text("./images/train/b.jpg\n\nimages\\train\\a.jpg\n")
    dataset = yolo_seg(written(folder, **FORMS[name]), "train")
    assert len(dataset) == (3 if "several" in name or "and" in name else 2)
    assert dataset[0].y[0].tolist() == [2]
    if name == "a list":
        assert [image.file.name for image in dataset.images] == ["b.jpg", "a.jpg"]


BROKEN = {
    "no names": ({"names": None}, "has names None, expected a list"),
    "names a text": ({"names": "cat"}, "has names 'cat'"),
    "names with a gap": ({"names": {0: "cat", 2: "dog"}}, "expected 0 to 1"),
    "names twice": ({"names": ["cat", "cat"]}, "has 'cat' twice"),
    "names by words": ({"names": {"cat": 0, "dog": 1}}, "expected 0 to 1"),
    "name a boolean": ({"names": ["cat", False]}, "has False as class 2"),
    "another nc": ({"nc": 3}, "has nc 3, but 2 names"),
    "no parts": ({"train": None, "val": None}, "has none of train, val, test"),
    "part a number": ({"train": 3}, "has train 3, expected a folder"),
    "part not there": ({"train": "pictures"}, "train is 'pictures', which is not in"),
    "part too long": ({"train": "x" * 5000}, "which is not in"),
    "path a list": ({"path": [1]}, "has path [1], expected a folder"),
    "image twice": ({"train": ["images/train", "images/train"]}, "twice"),
    "folder without images": ({"train": "labels/train"}, "train has no image"),
    "list with a missing image": ({"train": "list.txt"}, "line 1 names the image 'x.jpg', which is not there"),
    "class without a name": ({"names": ["cat"]}, "has the class '1', expected a whole number from 0 to 0"),
    "no labels": ({"train": "others/images"}, "none of the 1 images of train has labels, the first would have"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_content_is_told(folder, name):
    changes, said = BROKEN[name]
    (folder / "list.txt").write_text("x.jpg\n")
    (folder / "others/images").mkdir(parents=True)
    Image.fromarray(np.full((20, 30, 3), 7, np.uint8)).save(folder / "others/images/z.jpg")
    path = written(folder, **changes)
    with pytest.raises(UserError) as told:
        yolo_seg(path)[0]
    assert said in str(told.value)
    assert str(folder) in str(told.value)
    assert len(str(told.value)) < 1000


FILES = {
    "ZIP": (b"PK\x03\x04", "a ZIP archive"),
    "UTF-16": ("names: [a]".encode("utf-16"), "text in UTF-16"),
    "no YAML": (b"names: [a", "is no YAML"),
    "a list": (b"- a", "expected a mapping"),
    "empty": (b"", "is None, expected a mapping"),
    "bomb": (
        b"a: &a [x, x, x, x, x, x, x, x]\n"
        + b"".join(
            b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % ((i + 1, i + 1) + (i,) * 8) for i in range(97, 112)
        ),
        "is no YAML",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_another_kind_are_told(folder, name):
    content, said = FILES[name]
    (folder / "data.yaml").write_bytes(content)
    with pytest.raises(UserError, match=said):
        yolo_seg(str(folder / "data.yaml"))


def test_arguments_that_contradict_each_other_are_refused(folder):
    path = written(folder)
    with pytest.raises(ConfigError, match=r"data of yolo_seg tells images, labels and classes"):
        yolo_seg(path, classes=["a"])
    with pytest.raises(ConfigError, match=r"part of yolo_seg is 'test', but .* has train, val"):
        yolo_seg(path, "test")
    with pytest.raises(ConfigError, match="yolo_seg needs data"):
        yolo_seg(images="images")
