"""Datasets of images and mask images: ids, classes, colours, VOC's pairs, a file an object; broken ones are told."""

import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.data.annotation_files import id_masks, object_masks, voc
from instance_segmentation_pipeline.data.formats.mask_images import read_values
from instance_segmentation_pipeline.detection.instances import from_musket
from instance_segmentation_pipeline.errors import DatasetError, UserError

HEIGHT, WIDTH = 30, 40


def ids_of():
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    ids[2:8, 3:10] = 300
    ids[15:20, 20:40] = 7
    ids[25:28, 20:22] = 7  # one object in two regions
    return ids


def save(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def picture(path):
    return save(path, np.full((HEIGHT, WIDTH, 3), 9, np.uint8))


def palette(path, values):
    image = Image.fromarray(values.astype(np.uint8), mode="P")
    image.putpalette([200, 0, 0] * 256)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def read(dataset, row=0):
    item = dataset[row]
    return from_musket(item.y, *item.x.shape[:2], classes=len(dataset.class_names))


def dense(found):
    return found.masks.to_dense()


@pytest.fixture
def folder(tmp_path):
    picture(tmp_path / "images/a.jpg")
    save(tmp_path / "masks/a.png", ids_of())
    return tmp_path


def ids(folder, **arguments):
    return id_masks(str(folder / "images"), str(folder / "masks"), **arguments)


def test_each_value_is_an_object(folder):
    found = read(ids(folder))
    assert (dense(found) == np.stack([ids_of() == 7, ids_of() == 300])).all()
    assert ids(folder).meta() == {"CLASSES": ["object"]}
    assert ids(folder).isPositive(0)


def test_values_that_are_classes_are_cut_into_regions(folder):
    classes = (ids_of() == 300) * 2 + (ids_of() == 7)
    save(folder / "masks/a.png", classes.astype(np.uint8))
    found = read(ids(folder, values="classes", classes=["strip", "box"]))
    assert found.labels.tolist() == [0, 0, 1]
    assert found.masks.areas().tolist() == [100, 6, 42]
    assert (dense(found).sum(0) == (ids_of() > 0)).all()


def test_of_one_class_all_values_are(folder):
    save(folder / "masks/a.png", (ids_of() > 0).astype(np.uint8) * 255)
    found = read(ids(folder, values="classes", classes=["leaf"]))
    assert found.masks.areas().tolist() == [42, 100, 6]
    assert found.labels.tolist() == [0, 0, 0]


def test_colours_are_objects_or_classes(folder):
    colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    colours[ids_of() == 7] = 255, 0, 3
    colours[ids_of() == 300] = 0, 128, 0
    save(folder / "masks/a.png", colours)
    assert read(ids(folder)).masks.areas().tolist() == [42, 106]
    found = read(ids(folder, values="classes", classes=["a", "b"], colours=[[255, 0, 3], [0, 128, 0]]))
    assert sorted(zip(found.labels.tolist(), found.masks.areas().tolist(), strict=True)) == [(0, 6), (0, 100), (1, 42)]
    assert read(ids(folder, ignore=[[255, 0, 3]])).masks.areas().tolist() == [42]


def test_background_and_ending(folder):
    (folder / "masks/a.png").rename(folder / "masks/a_mask.png")
    found = read(ids(folder, background=7, ignore=[0], ending="_mask"))
    assert found.masks.areas().tolist() == [42]


def test_an_image_without_objects(folder):
    save(folder / "masks/a.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    assert len(read(ids(folder))) == 0
    assert not ids(folder).isPositive(0)


def test_pairs_of_pascal_voc(tmp_path):
    objects = np.where(ids_of() == 300, 2, ids_of())
    objects[0] = 255
    classes = (ids_of() == 300) * 15 + (ids_of() == 7) * 20
    classes[0] = 255
    for name in ("b", "a", "without_masks"):
        picture(tmp_path / f"JPEGImages/{name}.jpg")
    for name in ("b", "a"):
        palette(tmp_path / f"SegmentationObject/{name}.png", objects)
        palette(tmp_path / f"SegmentationClass/{name}.png", classes)
    dataset = voc(str(tmp_path))
    assert [dataset[row].id for row in range(2)] == ["a.jpg", "b.jpg"]
    found = read(dataset)
    assert [dataset.class_names[label] for label in found.labels] == ["person", "tvmonitor"]
    assert (dense(found) == np.stack([objects == 2, objects == 7])).all()
    (tmp_path / "train.txt").write_text("b\n\n")
    assert voc(str(tmp_path), only=str(tmp_path / "train.txt")).files == [str(tmp_path / "JPEGImages/b.jpg")]
    (tmp_path / "names.txt").write_text("_background_\n" + "".join(f"c{number}\n" for number in range(1, 21)))
    assert voc(str(tmp_path), classes=str(tmp_path / "names.txt")).class_names[14] == "c15"


def test_a_folder_an_image_and_a_file_an_object(tmp_path):
    picture(tmp_path / "x/images/x.png")
    save(tmp_path / "x/masks/1.png", (ids_of() == 7).astype(np.uint8) * 255)
    save(tmp_path / "x/masks/2.png", ids_of() == 300)
    picture(tmp_path / "y/images/y.png")
    dataset = object_masks(str(tmp_path), classes=["nucleus"])
    assert [dataset[row].id for row in range(2)] == ["x", "y"]
    assert (dense(read(dataset)) == np.stack([ids_of() == 7, ids_of() == 300])).all()
    assert len(read(dataset, 1)) == 0
    assert [dataset.isPositive(row) for row in range(2)] == [True, False]


ARGUMENTS = {
    "values": ({"values": "no"}, "values of id_masks is 'no'"),
    "two classes": ({"classes": ["a", "b"]}, "nothing tells which object is of which"),
    "both": ({"values": "classes", "class_masks": "masks"}, "give one of them"),
    "colours of objects": ({"colours": [[1, 2, 3]]}, "colours of id_masks are those of classes"),
    "too few colours": ({"values": "classes", "classes": ["a", "b"], "colours": [1]}, "1 values for 2 classes"),
    "colour twice": ({"values": "classes", "classes": ["a", "b"], "colours": [1, 1]}, "all different"),
    "colour no colour": ({"values": "classes", "colours": [[1, 2]]}, "colours is [1, 2], expected a whole number"),
    "background is a class": ({"values": "classes", "colours": [0]}, "none that is background"),
    "background": ({"background": -1}, "background is -1, expected"),
    "ignore no list": ({"ignore": 255}, "ignore of id_masks is 255, expected a list"),
    "classes twice": ({"values": "classes", "classes": ["a", "a"]}, "has 'a' twice"),
    "only unknown": ({"only": ["z"]}, "has no image 'z'"),
    "only twice": ({"only": ["a", "a.jpg"]}, "names 'a' twice"),
    "only no list": ({"only": 3}, "expected a file with a name a line"),
    "ending": ({"ending": "_m"}, "expected files that end in _m.png"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_wrong_arguments_are_told(folder, name):
    arguments, said = ARGUMENTS[name]
    with pytest.raises(UserError) as told:
        ids(folder, **arguments)
    assert said in str(told.value)


def _truncated(path):
    path.write_bytes(path.read_bytes()[:60])


BROKEN = {  # what is done to the mask image, and what is said
    "another size": (lambda path: save(path, ids_of()[:, :20]), "but its mask"),
    "no image": (lambda path: path.write_text("mask"), "is no image of PNG"),
    "empty": (lambda path: path.write_bytes(b""), "which is empty"),
    "cut off": (_truncated, "cannot be read"),
    "a ZIP": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "is no image of PNG"),
    "JPEG named PNG": (lambda path: save(path, ids_of().astype(np.uint8), format="JPEG"), "a JPEG, which changes"),
    "floating point": (lambda path: save(path, ids_of().astype(np.float32), format="TIFF"), "floating-point"),
    "a photograph": (
        lambda path: save(path, np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH)),
        "different values",
    ),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    "gone": (lambda path: path.unlink(), "cannot be read"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_masks_are_told_with_their_files(folder, name, monkeypatch):
    monkeypatch.setattr("instance_segmentation_pipeline.data.formats.mask_images.MOST_OBJECTS", 1000)
    change, said = BROKEN[name]
    dataset = ids(folder)
    change(folder / "masks/a.png")
    with pytest.raises(UserError) as told:
        dataset[0]
    assert said in str(told.value)
    assert str(folder / "masks/a.png") in str(told.value)


def test_a_bomb_is_not_decoded(folder, monkeypatch):
    path = folder / "masks/a.png"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DatasetError, match="more than 200 pixels"):
        read_values(path)


def test_classes_without_a_name_are_told(folder):
    with pytest.raises(UserError, match="has the class 7 in .*a.png, expected one of 1, 2: correct classes"):
        ids(folder, values="classes", classes=["a", "b"])[0]
    with pytest.raises(UserError, match="has the class 7 in .*a.png, expected one of 300: correct classes"):
        ids(folder, values="classes", colours=[300])[0]
    save(folder / "classes/a.png", np.full((HEIGHT, WIDTH), 255, np.uint8))
    with pytest.raises(UserError, match="gives no class"):
        ids(folder, class_masks=str(folder / "classes"), ignore=[255])[0]


def test_folders_that_do_not_fit_are_told(folder):
    picture(folder / "images/b.jpg")
    with pytest.raises(UserError, match="has no file for 1 of 2 images, the first 'b.jpg'"):
        ids(folder)
    picture(folder / "images/a.png")
    with pytest.raises(UserError, match=r"has a.jpg and a.png: of one name"):
        ids(folder)
    with pytest.raises(UserError, match="is no folder"):
        id_masks(str(folder / "none"), str(folder / "masks"))
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="has no image"):
        id_masks(str(folder / "empty"), str(folder / "masks"))


def test_folders_of_objects_that_do_not_fit_are_told(tmp_path):
    with pytest.raises(UserError, match="has no folders"):
        object_masks(str(tmp_path))
    picture(tmp_path / "x/images/x.png")
    picture(tmp_path / "x/images/y.png")
    with pytest.raises(UserError, match="has 2 images, expected one"):
        object_masks(str(tmp_path))
    (tmp_path / "x/images/y.png").unlink()
    save(tmp_path / "x/masks/1.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(UserError, match=r"has the mask .*1.png, which is empty"):
        object_masks(str(tmp_path))[0]
    with pytest.raises(UserError, match="has 2 names, expected one"):
        object_masks(str(tmp_path), classes=["a", "b"])
    (tmp_path / "x/images/x.png").unlink()
    with pytest.raises(UserError, match="has no image"):
        object_masks(str(tmp_path))
