"""Datasets that a YAML declares as ``yolo_seg``; broken lines and files are told with their places."""

import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.data.annotation_files import yolo_seg
from instance_segmentation_pipeline.detection.instances import from_musket
from instance_segmentation_pipeline.errors import UserError

HEIGHT, WIDTH = 30, 40
BOX = "0.125 0.2 0.375 0.2 0.375 0.4 0.125 0.4"


@pytest.fixture
def folder(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for name in ("a.jpg", "b.png"):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 7, np.uint8)).save(tmp_path / "images" / name)
    (tmp_path / "labels/a.txt").write_text(f"1 {BOX}\n\n0 0 0 1.0005 0 1 0.5 0 0.5\n")
    return tmp_path


def labelled(folder, **arguments):
    given = {"images": str(folder / "images"), "labels": str(folder / "labels"), "classes": ["cat", "dog"]}
    return yolo_seg(**{**given, **arguments})


def test_lines_are_objects(folder):
    dataset = labelled(folder)
    assert dataset.meta() == {"CLASSES": ["cat", "dog"]}
    assert [dataset[row].id for row in range(2)] == ["a.jpg", "b.png"]
    assert [dataset.isPositive(row) for row in range(2)] == [True, False]
    found = from_musket(dataset[0].y, HEIGHT, WIDTH, classes=2)
    expected = np.zeros((2, HEIGHT, WIDTH), bool)
    expected[0, 6:12, 5:15] = True
    expected[1, :15] = True
    assert found.labels.tolist() == [1, 0]
    assert (found.masks.to_dense() == expected).all()
    assert len(from_musket(dataset[1].y, HEIGHT, WIDTH, classes=2)) == 0
    assert len(labelled(folder, only=["a"])) == 1


LINES = {
    "a box": ("0 0.5 0.5 0.1 0.1", "is a box"),
    "two points": ("0 0.1 0.1 0.2 0.2 0.3", "has 5 numbers after the class"),
    "half a point": (f"0 {BOX} 0.5", "has 9 numbers after the class"),
    "class alone": ("0", "has 0 numbers after the class"),
    "pixels": ("0 10 10 20 10 20 20", "expected shares of 0..1"),
    "negative": ("0 -0.5 0 1 0 1 1", "expected shares of 0..1"),
    "class without a name": (f"2 {BOX}", "has the class '2', expected a whole number from 0 to 1"),
    "class negative": (f"-1 {BOX}", "has the class '-1'"),
    "class a name": (f"cat {BOX}", "has the class 'cat'"),
    "class a float": (f"1.0 {BOX}", "has the class '1.0'"),
    "commas": ("0,0.1,0.1,0.2,0.1,0.2,0.2", "has the class '0,0.1"),
    "NaN": ("0 nan 0.1 0.2 0.1 0.2 0.2", "expected finite numbers"),
    "text": ("0 x 0.1 0.2 0.1 0.2 0.2", "expected numbers"),
}


@pytest.mark.parametrize("name", LINES)
def test_broken_lines_are_told_with_their_place(folder, name):
    line, said = LINES[name]
    (folder / "labels/a.txt").write_text(f"0 {BOX}\n{line}\n")
    with pytest.raises(UserError) as told:
        labelled(folder)[0]
    assert said in str(told.value)
    assert f"line 2 of {folder / 'labels/a.txt'}" in str(told.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"PK\x03\x04", "a ZIP archive"), ("0 é".encode("latin-1"), "no text in UTF-8"), (b"\xff\xfe0", "UTF-16")],
)
def test_files_of_another_kind_are_told(folder, content, said):
    (folder / "labels/a.txt").write_bytes(content)
    with pytest.raises(UserError, match=said):
        labelled(folder)[0]


def test_folders_that_do_not_fit_are_told(folder):
    (folder / "labels/a.txt").rename(folder / "labels/c.txt")
    with pytest.raises(UserError, match="has no text of the name of an image"):
        labelled(folder)
    with pytest.raises(UserError, match="is no folder"):
        labelled(folder, labels=str(folder / "none"))
