"""Folders of Pascal VOC, of a folder an image, and of LabelMe that are broken, one way each: one sentence with the file."""

import shutil

import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.data.annotation_files import PROVIDERS
from instance_segmentation_pipeline.errors import UserError
from tests.data.test_recognition import boxes, masks, pictures, written
from tests.data.test_saved_formats import HEIGHT, WIDTH

OTHER_SIZE = np.zeros((HEIGHT, WIDTH + 1), np.uint8)


def voc(folder):
    pictures(folder / "JPEGImages")
    values = [boxes((1, 2, 2)), boxes((1, 2, 2), (2, 9, 9)), boxes()]
    masks(folder / "SegmentationObject", values)
    masks(folder / "SegmentationClass", [np.where(one > 0, 15, 0).astype(np.uint8) for one in values])
    (folder / "list.txt").write_text("a\nb\n")
    return {"root": str(folder)}


def object_masks(folder):
    for name in "xy":
        pictures(folder / name / "images", [f"{name}.png"])
        masks(folder / name / "masks", [boxes((255, 2, 2)), boxes((255, 9, 9))], ["1.png", "2.png"])
    return {"folder": str(folder)}


def labelme(folder):
    written(folder, "labelme", images=".")
    return {"folder": str(folder)}


def saved(values, **options):
    return lambda path: Image.fromarray(values).save(path, **options)


def bytes_of(content):
    return lambda path: path.write_bytes(content)


def gone(path):
    (shutil.rmtree if path.is_dir() else type(path).unlink)(path)


A, ZIP, PNG = "SegmentationObject/a.png", b"PK\x03\x04" + bytes(60), b"\x89PNG\r\n\x1a\n" + bytes(60)
VOC = {
    "no images": ("JPEGImages", gone, {}, "images {}/JPEGImages is no folder"),
    "no objects": ("SegmentationObject", gone, {}, "masks {}/SegmentationObject is no folder"),
    "no classes": ("SegmentationClass", gone, {}, "class_masks {}/SegmentationClass is no folder"),
    "a mask without an image": ("JPEGImages/a.jpg", gone, {}, "has no image 'a'"),
    "an object without classes": ("SegmentationClass/a.png", gone, {}, "SegmentationClass has no file for 1 of 3"),
    "another size": (A, saved(OTHER_SIZE), {}, "but its mask {}/SegmentationObject/a.png"),
    "classes of another size": ("SegmentationClass/a.png", saved(OTHER_SIZE), {}, "SegmentationClass/a.png"),
    "a ZIP": (A, bytes_of(ZIP), {}, "SegmentationObject/a.png, which is no image of PNG"),
    "cut off": (A, bytes_of(PNG), {}, "SegmentationObject/a.png"),
    "empty": (A, bytes_of(b""), {}, "which is empty"),
    "JPEG": (A, saved(boxes((9, 2, 2)), format="JPEG"), {}, "a JPEG, which changes values"),
    "no class": ("SegmentationClass/a.png", saved(boxes((255, 2, 2))), {}, "gives no class"),
    "class without a name": ("SegmentationClass/a.png", saved(boxes((99, 2, 2))), {}, "has the class 99"),
    "image cut off": ("JPEGImages/a.jpg", bytes_of(b"\xff\xd8\xff"), {}, "image 'a.jpg' is no image"),
    "list gone": ("list.txt", gone, {"only": "{}/list.txt"}, "{}/list.txt does not exist"),
    "list a ZIP": ("list.txt", bytes_of(ZIP), {"only": "{}/list.txt"}, "{}/list.txt is a ZIP archive"),
    "list in UTF-16": ("list.txt", bytes_of("a".encode("utf-16")), {"only": "{}/list.txt"}, "text in UTF-16"),
    "list names another": ("list.txt", bytes_of(b"z\n"), {"only": "{}/list.txt"}, "has no image 'z'"),
    "list names one twice": ("list.txt", bytes_of(b"a\nb\na\n"), {"only": "{}/list.txt"}, "names 'a' twice"),
    "list empty": ("list.txt", bytes_of(b"\n"), {"only": "{}/list.txt"}, "names no image"),
    "classes twice": ("list.txt", bytes_of(b"a\na\n"), {"classes": "{}/list.txt"}, "has 'a' twice"),
    "classes empty": ("list.txt", bytes_of(b""), {"classes": "{}/list.txt"}, "names no class"),
}
ONE = "x/masks/1.png"
OBJECTS = {
    "no folders": ("", lambda path: (gone(path), path.mkdir()), {}, "has no folders"),
    "no image": ("x/images/x.png", gone, {}, "x/images has no image"),
    "two images": ("x/images/y.png", saved(boxes()), {}, "x/images has 2 images, expected one"),
    "two of one name": ("x/images/x.jpg", saved(boxes()), {}, "has x.jpg and x.png: of one name"),
    "images gone": ("x/images", gone, {}, "x/images is no folder"),
    "another size": (ONE, saved(OTHER_SIZE), {}, "but its mask {}/x/masks/1.png"),
    "empty mask": (ONE, saved(boxes()), {}, "x/masks/1.png, which is empty: remove the file"),
    "a ZIP": (ONE, bytes_of(ZIP), {}, "x/masks/1.png, which is no image"),
    "no bytes": (ONE, bytes_of(b""), {}, "x/masks/1.png, which is empty"),
    "cut off": (ONE, bytes_of(PNG), {}, "x/masks/1.png"),
    "JPEG": (ONE, saved(boxes((9, 2, 2)), format="JPEG"), {}, "a JPEG, which changes values"),
    "floating point": (ONE, saved(boxes((9, 2, 2)).astype(np.float32), format="TIFF"), {}, "floating-point"),
    "image broken": ("x/images/x.png", bytes_of(PNG), {}, "image 'x' is"),
    "only another": ("x", lambda path: None, {"only": ["z"]}, "has no image 'z'"),
    "two classes": ("x", lambda path: None, {"classes": ["a", "b"]}, "has 2 names, expected one"),
    "folder's name no text": ("x", lambda path: None, {"images": 3}, "images of object_masks is 3"),
}
LABELME = {
    "a ZIP": ("a.json", bytes_of(ZIP), {}, "{}/a.json is a ZIP archive"),
    "empty": ("a.json", bytes_of(b""), {}, "{}/a.json is empty"),
    "cut off": ("a.json", bytes_of(b'{"shapes": ['), {}, "{}/a.json is no JSON: Expecting value in line 1"),
    "Latin-1": ("a.json", bytes_of('{"é": 1}'.encode("latin-1")), {}, "{}/a.json is no text in UTF-8"),
    "UTF-16": ("a.json", bytes_of('{"a": 1}'.encode("utf-16")), {}, "text in UTF-16"),
    "another JSON": ("a.json", bytes_of(b'{"images": []}'), {}, "has no list shapes"),
    "an image": ("a.json", bytes_of(PNG), {}, "{}/a.json is a PNG image"),
    "deep": ("a.json", bytes_of(b"[" * 100_000), {}, "cannot be read as JSON"),
    "a folder": ("a.json", lambda path: (gone(path), path.mkdir()), {}, "{}/a.json is no file, but a folder"),
    "a link to nothing": ("a.json", lambda path: (gone(path), path.symlink_to("none")), {}, "{}/a.json "),
}
CASES = (
    [(voc, name) for name in VOC] + [(object_masks, name) for name in OBJECTS] + [(labelme, name) for name in LABELME]
)
TABLES = {"voc": VOC, "object_masks": OBJECTS, "labelme": LABELME}


@pytest.mark.parametrize(("write", "name"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_what_is_broken_is_told_with_its_file(tmp_path, write, name):
    given = write(tmp_path / "data")
    root = tmp_path / "data"
    file, change, arguments, said = TABLES[write.__name__][name]
    change(root / file if file else root)
    filled = {key: value.format(root) if isinstance(value, str) else value for key, value in arguments.items()}
    with pytest.raises(UserError) as told:
        dataset = PROVIDERS[write.__name__](**{**given, **filled})
        [dataset[row] for row in range(len(dataset))]
    message = str(told.value)
    assert said.format(root) in message
    assert len(message) < 1000
    assert "\n" not in message


def test_a_mark_of_byte_order_is_no_fault(tmp_path):
    given = labelme(tmp_path)
    before = len(PROVIDERS["labelme"](**given)[0].y[0])
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(PROVIDERS["labelme"](**given)[0].y[0]) == before
