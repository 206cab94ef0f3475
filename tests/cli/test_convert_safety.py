"""``musket convert`` loses nothing: no image of the user's, no image or class without a word."""

import json
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.data.annotation_files import PROVIDERS, coco_json

HEIGHT, WIDTH = 20, 30


def coco(folder, names, classes=("cat",), further=()):
    """Write a COCO JSON, an object an image, of classes in turn; pixels of each image differ."""
    images, annotations = [], []
    for number, name in enumerate((*names, *further)):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 10 * number, np.uint8)).save(path)
        if name in further:
            continue
        polygon = [number, 1, number + 6, 1, number + 6, 9, number, 9]
        category = number % len(classes)
        annotations.append({"id": number, "image_id": number, "category_id": category, "segmentation": [polygon]})
        images.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH})
    categories = [{"id": number, "name": name} for number, name in enumerate(classes)]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(whole))
    return folder


def convert(folder, after, output, *further):
    arguments = json.dumps({"images": str(folder / "images")})
    command = [
        "convert",
        "--input",
        folder / "annotations.json",
        "--input_format",
        "coco_json",
        "--arguments",
        arguments,
    ]
    return main([*map(str, command), "--format", after, "--output", str(output), *further])


def declared(out):
    ((name, arguments),) = yaml.safe_load(re.search(r"^  dataset: (.*)$", out, re.MULTILINE)[1]).items()
    return PROVIDERS[name](**arguments)


def objects(dataset):
    """Return what each image has, in the order of the dataset: class and mask."""
    items = [dataset[row] for row in range(len(dataset))]
    return [
        [(dataset.class_names[label - 1], rle["counts"])]
        for one in items
        for label, rle in zip(one.y[0], one.y[2], strict=True)
    ]


def contents(folder):
    return {path: (path.is_symlink(), path.read_bytes()) for path in sorted(folder.rglob("*.png"))}


@pytest.mark.parametrize("images", ["link", "copy"])
@pytest.mark.parametrize("after", ["coco", "yolo", "labelme", "ids", "csv"])
def test_images_stay_where_a_conversion_writes_beside_them(tmp_path, after, images, capsys):
    folder = coco(tmp_path / "d", ["a.png", "b.png"])
    before = contents(folder / "images")
    output = folder if images == "link" else tmp_path / "link"
    (tmp_path / "link").symlink_to(folder)
    assert convert(folder, after, output, "--images", images, "--overwrite", "true") == 0
    assert contents(folder / "images") == before
    if after == "labelme":
        (folder / "annotations.json").unlink()  # a JSON that is none of LabelMe's
    assert len(objects(declared(capsys.readouterr().out))) == 2


@pytest.mark.parametrize("images", ["link", "copy"])
def test_an_image_that_would_take_the_place_of_another_is_refused(tmp_path, images, capsys):
    folder = coco(tmp_path / "d", ["x/a.png", "a.png"])  # YOLO's images lie in one folder, so this becomes images/a.png
    before = contents(tmp_path)
    assert convert(folder, "yolo", folder, "--images", images, "--overwrite", "true") == 2
    assert "images/a.png is an image of the dataset itself: give another folder" in capsys.readouterr().err
    assert contents(tmp_path) == before
    assert sorted(path.name for path in folder.iterdir()) == ["annotations.json", "images"]


def test_links_of_a_conversion_before_are_made_again(tmp_path):
    folder = coco(tmp_path / "d", ["x/a.png", "a.png"])
    for _ in range(2):
        assert convert(folder, "yolo", tmp_path / "o", "--overwrite", "true") == 0
    assert [path.resolve() for path in sorted((tmp_path / "o/images").iterdir())] == [
        folder / "images/a.png", folder / "images/x/a.png",
    ]  # fmt: skip


def test_masks_of_some_images_of_a_folder_are_read_beside_the_others(tmp_path, capsys):
    folder = coco(tmp_path / "d", ["my a.png", "b.png", "c.png"], further=["y.png"])
    (folder / "images/c.png").write_bytes(b"broken")
    assert convert(folder, "ids", tmp_path / "o") == 1
    found = declared(capsys.readouterr().out)
    assert [image.name for image in found.images] == ["my a.png", "b.png"]
    assert objects(found) == [objects_of(folder, row) for row in (0, 1)]


def objects_of(folder, row):
    item = coco_json(str(folder / "annotations.json"), images=str(folder / "images"))[row]
    return [("cat", item.y[2][0]["counts"])]


@pytest.mark.parametrize("names", [["a.png", "a.jpg"], ["a.png", "A.png"], [" a.png"], [".a.png"], ["a\nb.png"]])
def test_names_that_no_mask_beside_an_image_can_have_are_refused(tmp_path, names, capsys):
    folder = coco(tmp_path / "d", names)
    assert convert(folder, "ids", tmp_path / "o") == 2
    assert "give link or copy" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
    assert convert(folder, "ids", tmp_path / "o", "--images", "link") == 0
    assert len(declared(capsys.readouterr().out)) == len(names)


def test_other_names_are_told(tmp_path, capsys):
    folder = coco(tmp_path / "d", ["a.png", "a.jpg", "b.png"])
    assert convert(folder, "yolo", tmp_path / "o") == 0
    assert "1 images have other names there, the first a.jpg is a-2.jpg" in capsys.readouterr().err


def test_a_name_that_a_table_would_change_is_left_out_and_told(tmp_path, capsys):
    folder = coco(tmp_path / "d", [" a.png", "caf\udce9.png", "b.png"])
    assert convert(folder, "csv", tmp_path / "o") == 1
    out, err = capsys.readouterr()
    assert "2 images are left out:" in err
    assert "a name that a table cannot hold" in err
    assert [image.name for image in declared(out).images] == ["b.png"]


ODD = [
    "ü: #x",
    "-y",
    "[z]",
    "{q",
    "yes",
    "null",
    "1",
    "1.0",
    "6_12",
    "a,b",
    '"q"',
    "a\tb",
    "_background_",
    "__ignore__",
]


@pytest.mark.parametrize("after", ["coco", "yolo", "labelme", "ids", "csv"])
def test_classes_of_odd_names_stay_what_they_are(tmp_path, after, capsys):
    folder = coco(tmp_path / "d", [f"{number:02}.png" for number in range(len(ODD))], ODD)
    assert convert(folder, after, tmp_path / "o", "--images", "link") == 0
    found = declared(capsys.readouterr().out)
    assert list(found.class_names) == ODD
    assert [names[0][0] for names in objects(found)] == ODD


@pytest.mark.parametrize("after", ["coco", "yolo", "labelme", "ids", "csv"])
@pytest.mark.parametrize("name", [" x", "x ", "x\ny", "x\u2028y", "x\x85y"])
def test_a_class_whose_name_a_format_would_change_is_refused(tmp_path, after, name, capsys):
    folder = coco(tmp_path / "d", ["a.png"], [name])
    status = convert(folder, after, tmp_path / "o", "--images", "link")
    out, err = capsys.readouterr()
    if status == 2:
        assert re.search(rf"class '.*' (begins or ends with a blank|has a line break), which {after} cannot hold", err)
        assert not (tmp_path / "o").exists()
    else:
        assert declared(out).class_names == (name,)
