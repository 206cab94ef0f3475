"""Datasets that a YAML declares as ``labelme``; broken files are told with their places."""

import copy
import json

import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.data.annotation_files import labelme
from instance_segmentation_pipeline.detection.instances import from_musket
from instance_segmentation_pipeline.errors import UserError

HEIGHT, WIDTH = 30, 40


def shape(label, points, kind="polygon", group=None):
    return {"label": label, "points": points, "shape_type": kind, "group_id": group}


def whole():
    return {
        "imagePath": "..\\pictures\\a.png",
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
        "imageData": None,
        "shapes": [
            shape("dog", [[5, 5], [15, 5], [15, 12], [5, 12]]),
            shape("cat", [[30, 25], [20, 20]], "rectangle", 1),
            shape("cat", [[1, 20], [5, 20], [5, 25], [1, 25]], group=1),
            shape("__ignore__", [[1, 1], [9, 9], [1, 9]]),
            shape("cat", [[30, 10], [30, 14]], "circle"),
        ],
    }


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "labels").mkdir()
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 7, np.uint8)).save(tmp_path / "pictures/a.png")
    return tmp_path / "labels"


def written(folder, content):
    (folder / "a.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder)


def read(dataset):
    item = dataset[0]
    return from_musket(item.y, *item.x.shape[:2], classes=len(dataset.class_names))


def test_polygons_rectangles_circles_and_groups(folder):
    dataset = labelme(written(folder, whole()))
    assert dataset.meta() == {"CLASSES": ["cat", "dog"]}
    assert dataset[0].id == "a.png"
    found = read(dataset)
    assert found.labels.tolist() == [1, 0, 0]
    masks = found.masks.to_dense().astype(bool)
    expected = np.zeros((3, HEIGHT, WIDTH), bool)
    expected[0, 5:12, 5:15] = True
    expected[1, 20:25, 20:30] = expected[1, 20:25, 1:5] = True
    assert (masks[:2] == expected[:2]).all()
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    disc = np.hypot(rows - 10, columns - 30) < 4
    assert (masks[2] ^ disc).sum() <= 0.1 * disc.sum()


def test_classes_choose_the_order_and_an_image_may_lie_beside(folder):
    (folder.parent / "pictures/a.png").rename(folder / "a.png")
    dataset = labelme(written(folder, whole()), classes=["dog", "cat"])
    assert read(dataset).labels.tolist() == [0, 1, 1]
    assert read(labelme(str(folder), ignore=["cat", "__ignore__"])).labels.tolist() == [0]


def test_only_some_files(folder):
    written(folder, whole())
    (folder / "b.json").write_text("broken")
    assert len(labelme(str(folder), only=["a.json"])) == 1


BROKEN = {
    "no shapes": (lambda one: one.pop("shapes"), "has no list shapes"),
    "no label": (lambda one: one["shapes"][0].pop("label"), "shapes[0] is"),
    "label no text": (lambda one: one["shapes"][0].update(label=3), "expected a mapping with a label"),
    "no points": (lambda one: one["shapes"][0].pop("points"), "has points None"),
    "two points": (lambda one: one["shapes"][0].update(points=[[1, 2], [3, 4]]), "polygon of 4 numbers"),
    "points flat": (lambda one: one["shapes"][0].update(points=[1, 2, 3, 4, 5, 6]), "expected pairs of x and y"),
    "text in points": (lambda one: one["shapes"][0]["points"].__setitem__(0, ["1", 2]), "expected numbers"),
    "NaN": (lambda one: one["shapes"][0]["points"].__setitem__(0, [float("nan"), 2]), "holds NaN"),
    "line": (lambda one: one["shapes"][0].update(shape_type="line"), "has shape_type 'line'"),
    "rectangle of 3": (
        lambda one: one["shapes"][0].update(shape_type="rectangle", points=[[1, 1], [9, 1], [9, 9]]),
        "rectangle of 3 points, expected 2",
    ),
    "group": (lambda one: one["shapes"][0].update(group_id=[1]), "has group_id [1]"),
    "far outside": (lambda one: one["shapes"][0]["points"].__setitem__(0, [9e9, 2]), "far outside the image"),
    "no imagePath": (lambda one: one.pop("imagePath"), "has imagePath None"),
    "image is gone": (lambda one: one.update(imagePath="C:\\x\\b.png"), "which is not there"),
    "another size": (lambda one: one.update(imageHeight=40, imageWidth=30), "is annotated at 40 x 30"),
    "size no number": (lambda one: one.update(imageHeight="30"), "has imageHeight '30'"),
    "unknown label": (lambda one: one["shapes"][0].update(label="dogs"), "not among classes (did you mean 'dog'?)"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_content_is_told_with_its_place(folder, name):
    change, said = BROKEN[name]
    content = copy.deepcopy(whole())
    change(content)
    written(folder, content)
    with pytest.raises(UserError) as told:
        labelme(str(folder), classes=["cat", "dog"])[0]
    assert said in str(told.value)
    assert str(folder) in str(told.value)


def test_folders_without_files_or_objects_are_told(folder):
    with pytest.raises(UserError, match=r"has no JSON"):
        labelme(str(folder))
    written(folder, {**whole(), "shapes": []})
    with pytest.raises(UserError, match="has an object: give classes"):
        labelme(str(folder))
    assert len(read(labelme(str(folder), classes=["cat"]))) == 0
    with pytest.raises(UserError, match="ignore of labelme is 'cat', expected a list"):
        labelme(str(folder), ignore="cat")


def test_two_files_of_one_image_are_told(folder):
    written(folder, whole())
    (folder / "b.json").write_text((folder / "a.json").read_text())
    with pytest.raises(UserError, match=r"a.json and b.json are both of an image 'a.png'"):
        labelme(str(folder))


def test_images_of_one_name_in_different_folders_are_named_by_their_files(folder):
    written(folder, whole())
    (folder.parent / "others").mkdir()
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 9, np.uint8)).save(folder.parent / "others/a.png")
    (folder / "b.json").write_text(json.dumps({**whole(), "imagePath": "../others/a.png"}))
    dataset = labelme(str(folder))
    assert [dataset[row].id for row in range(2)] == ["a.png", "b.png"]
    assert [int(dataset[row].x[0, 0, 0]) for row in range(2)] == [7, 9]
