"""Datasets that a YAML declares as ``csv_rle``; broken tables are told with their lines."""

import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.data.annotation_files import csv_rle
from instance_segmentation_pipeline.detection.instances import from_musket
from instance_segmentation_pipeline.errors import UserError

HEIGHT, WIDTH = 4, 5
TABLE = "ImageId,EncodedPixels,Height,Width,ClassId\na.png,1 2 6 1,4,5,cat\nb,,4,5,\na.png,20 1,4,5,big_dog\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 7, np.uint8)).save(tmp_path / "images" / name)
    return tmp_path


def read(folder, content=TABLE, **arguments):
    (folder / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return csv_rle(str(folder / "t.csv"), str(folder / "images"), **arguments)


def objects(dataset, row=0):
    return from_musket(dataset[row].y, HEIGHT, WIDTH, classes=len(dataset.class_names))


def test_rows_are_objects(folder):
    dataset = read(folder)
    assert dataset.meta() == {"CLASSES": ["big_dog", "cat"]}
    assert [dataset[row].id for row in range(2)] == ["a.png", "b"]
    assert [dataset.isPositive(row) for row in range(2)] == [True, False]
    found = objects(dataset)
    assert found.labels.tolist() == [1, 0]
    expected = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    expected[0, [0, 1, 1], [0, 0, 1]] = expected[1, 3, 4] = 1
    assert (found.masks.to_dense() == expected).all()
    assert dataset.object_count() == 2


@pytest.mark.parametrize(
    ("content", "arguments", "classes"),
    [
        ("ImageId_ClassId,EncodedPixels\na.png_3,1 2\na.png_12,5 1\n", {}, ["3", "12"]),
        ("ImageId;EncodedPixels;ClassId\na.png;1 2;6_12_45\n", {}, ["6"]),
        ("img\trle\na.png\t1 2\n", {"image_column": "img", "mask_column": "rle"}, ["object"]),
        ("ImageId,EncodedPixels,kind\na.png,1 2,1.0\n", {"class_column": "kind"}, ["1"]),
        ("\ufeff" + TABLE.replace("\n", "\r\n"), {}, ["big_dog", "cat"]),
        ("ImageId,EncodedPixels\na.png,-1\n", {"classes": ["nucleus"]}, ["nucleus"]),
        ('ImageId,EncodedPixels,ClassId\na.png,1 2,"a, b"\n', {}, ["a, b"]),
    ],
)
def test_forms_of_tables(folder, content, arguments, classes):
    assert list(read(folder, content, **arguments).class_names) == classes


def test_classes_order_relative_starts_only_and_missing_images(folder):
    assert objects(read(folder, classes=["cat", "x", "big_dog"])).labels.tolist() == [0, 2]
    relative = read(folder, "ImageId,EncodedPixels\na.png,2 2 1 1\n", relative=True)
    assert objects(relative).masks.run_lengths(0).tolist() == [2, 2, 1, 1, 14]
    assert len(read(folder, only=["a.png"])) == 1
    assert len(read(folder, TABLE + "c.png,1 2,4,5,cat\n", missing="skip")) == 2


BROKEN = {
    "empty": ("", {}, "is empty"),
    "no rows": ("ImageId,EncodedPixels\n", {}, "has no rows"),
    "no column": ("ImageID,EncodedPixels\n", {}, "has no column 'ImageId' (did you mean 'ImageID'?)"),
    "no class column": (TABLE, {"class_column": "kind"}, "has no column 'kind'"),
    "missing image": (TABLE + "c.png,1 2,4,5,cat\n", {}, "names 3 images, of which 1 are not in"),
    "image of Windows": ("ImageId,EncodedPixels\nC:\\x\\c.png,1 2\n", {}, "of which 1 are not in"),
    "no name": ("ImageId,EncodedPixels\n,1 2\n", {}, "line 2 has no ImageId"),
    "no class": ("ImageId,EncodedPixels,ClassId\na.png,1 2,\n", {}, "line 2 has a mask, but no ClassId"),
    "unknown class": (TABLE, {"classes": ["cat", "dog"]}, "line 4 has ClassId 'big_dog', which is not among"),
    "no object": ("ImageId,EncodedPixels,ClassId\na.png,,\n", {}, "has no object: give classes"),
    "cells too few": ("ImageId,EncodedPixels\na.png\n", {}, "line 2 has 1 cells, expected 2"),
    "quote open": ('ImageId,EncodedPixels\n"a.png,1 2\n', {}, "is no table: line 2"),
    "odd numbers": ("ImageId,EncodedPixels\na.png,1 2 3\n", {}, "line 2, whose mask has 3 numbers"),
    "text": ("ImageId,EncodedPixels\na.png,1 x\n", {}, "expected pairs of start and length"),
    "NaN": ("ImageId,EncodedPixels\na.png,nan\n", {}, "expected pairs of start and length"),
    "outside": ("ImageId,EncodedPixels\na.png,20 2\n", {}, "a mask of 4 x 5 has 20 pixels"),
    "absurd": ("ImageId,EncodedPixels\na.png,1 99999999999999999999\n", {}, "expected pairs of start and length"),
    "negative": ("ImageId,EncodedPixels\na.png,1 -2\n", {}, "a run of length -2"),
    "another size": (TABLE.replace("4,5", "5,4"), {}, "has Height 5 and Width 4 in the table"),
    "two sizes": (TABLE + "a.png,1 1,9,9,cat\n", {}, "line 5 tells another Height and Width"),
    "size no number": (TABLE.replace("4,5", "x,5"), {}, "has Height 'x' and Width '5'"),
    "ZIP": (b"PK\x03\x04", {}, "a ZIP archive"),
    "UTF-16": (TABLE.encode("utf-16"), {}, "text in UTF-16"),
    "cp1251": (TABLE.replace("cat", "кот").encode("cp1251"), {}, "no text in UTF-8"),
    "relative no boolean": (TABLE, {"relative": "yes"}, "expected true or false"),
    "missing unknown": (TABLE, {"missing": "no"}, "expected error or skip"),
    "column no name": (TABLE, {"image_column": 3}, "expected a column's name"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tables_are_told_with_their_place(folder, name):
    content, arguments, said = BROKEN[name]
    with pytest.raises(UserError) as told:
        read(folder, content, **arguments)[0]
    assert said in str(told.value)
    assert len(str(told.value)) < 1000
