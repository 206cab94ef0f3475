"""``musket new`` of CVAT's XML: recognised by its elements, however it is written and wherever its images lie."""

import numpy as np
import pytest
import yaml
from PIL import Image

from instance_segmentation_pipeline.cli import main
from tests.support.annotated_folders import coco

HEIGHT, WIDTH = 60, 80
HEAD = "<version>1.1</version><meta><task><labels>{labels}</labels></task></meta>"
LABELS = "".join(f"<label><name>{name}</name></label>" for name in ("dog", "cat"))
SHAPE = '<polygon label="dog" occluded="0" points="5,5;25,5;25,22;5,22" z_order="0"></polygon>'


def write(root, folder="images", name="photo {}.png", labels=LABELS, shape=SHAPE, count=4):
    """Write an XML, and its images into a folder beside it."""
    images = ""
    for number in range(count):
        path = root / folder / name.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), number, np.uint8)).save(path)
        written = name.format(number).replace("&", "&amp;")
        images += f'<image id="{number}" name="{written}" width="{WIDTH}" height="{HEIGHT}">\n{shape}</image>\n'
    whole = f"<annotations>\n{HEAD.format(labels=labels)}\n{images}</annotations>\n"
    (root / "annotations.xml").write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{whole}')
    return root


def edited(root, *pairs):
    path = root / "annotations.xml"
    text = path.read_text()
    for before, after in pairs:
        text = text.replace(before, after)
    path.write_text(text)
    return root


def also_above(root):
    (write(root, folder=".") / "images").mkdir()
    return root


WRITTEN = {
    "beside": (write, None),
    "in another folder": (lambda root: write(root, "frames"), "frames"),
    "beside an empty folder images": (also_above, ""),
    "with an ampersand": (lambda root: write(root, "frames", "a & b {}.png"), "frames"),
    "in single quotes": (lambda root: edited(write(root, "frames"), ('"', "'")), "frames"),
    "after a long head": (lambda root: write(root, labels=LABELS + f"<note>{'x' * 200_000}</note>"), None),
    "with attributes of the root": (lambda root: edited(write(root), ("<annotations>", '<annotations a="1">')), None),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_each_way_to_write_it_becomes_an_experiment(tmp_path, capsys, kind):
    make, images = WRITTEN[kind]
    make(tmp_path / "data")
    assert main(["new", str(tmp_path / "project"), "--from", str(tmp_path / "data")]) == 0
    assert capsys.readouterr().out.startswith("CVAT XML: annotations.xml has")
    text = (tmp_path / "project" / "experiments" / "first" / "config.yaml").read_text()
    place = {} if images is None else {"images": images or "."}
    assert yaml.safe_load(text)["dataset"] == {"cvat": {"file": "annotations.xml", **place}}


def test_the_parts_of_a_split(tmp_path, capsys):
    for part in ("train", "val"):
        write(tmp_path / "data" / part)
    assert main(["new", str(tmp_path / "project"), "--from", str(tmp_path / "data")]) == 0
    assert "8 (4 train, 4 validation)" in capsys.readouterr().out
    text = (tmp_path / "project" / "experiments" / "first" / "config.yaml").read_text()
    assert yaml.safe_load(text)["dataset"] == {
        "train": {"cvat": {"file": "train/annotations.xml"}},
        "validation": {"cvat": {"file": "val/annotations.xml"}},
    }


def tracks(root):
    image = '<image id="0" '
    return edited(write(root), (image, f'<track id="0" label="dog"></track>{image}'))


REFUSED = {
    "tracks": (tracks, "tracks of a video"),
    "document type": (
        lambda root: edited(write(root), ("<annotations>", "<!DOCTYPE annotations>\n<annotations>")),
        "type",
    ),
    "cut short": (lambda root: edited(write(root), ("</annotations>", "")), "no XML"),
    "no objects": (lambda root: write(root, shape=""), "has an object"),
    "two kinds": (lambda root: write(coco(root)), "CVAT XML (--from {}/annotations.xml)"),
    "images gone": (lambda root: edited(write(root), ('name="photo', 'name="gone')), "4 are not in"),
    "another XML": (lambda root: edited(write(root), ("annotations>", "annotation>")), "nothing that tells"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_told(tmp_path, capsys, kind):
    make, words = REFUSED[kind]
    make(tmp_path / "data")
    assert main(["new", str(tmp_path / "project"), "--from", str(tmp_path / "data")]) == 2
    error = capsys.readouterr().err
    assert words.format(tmp_path / "data") in error
    assert "Traceback" not in error
    assert not (tmp_path / "project").exists()
