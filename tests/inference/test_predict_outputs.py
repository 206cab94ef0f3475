"""``musket predict`` with folders in folders, further formats, and a page of the pictures."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from musket_core import generic

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.cli.predict import parser
from instance_segmentation_pipeline.data.image_folder import Directory
from instance_segmentation_pipeline.errors import ConfigError, DatasetError
from instance_segmentation_pipeline.inference.folder_page import Shown, place_of_picture, write_page
from instance_segmentation_pipeline.inference.output_formats import check_outputs
from tests.support.datasets import shapes

STRANGE = os.fsdecode(b"caf\xe9 \xff.png")


def write(path, number=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", shapes(1, 64, number)[0].x[..., ::-1])[1].tobytes())


@pytest.fixture
def images(tmp_path):
    """Return a folder with folders, names of any bytes, a file that is no image, and a link that leads back."""
    folder = tmp_path / "images"
    for number, name in enumerate(("one.png", "day 1/one.png", f"day 1/{STRANGE}", "deep/er/three.png", "ünï/x.png")):
        write(folder / name, number)
    (folder / "day 1" / "broken.png").write_bytes(b"no image")
    (folder / "deep" / "notes.txt").write_text("no image either")
    (folder / "deep" / "back").symlink_to(folder)
    return folder


def test_folders_below_are_taken_on_demand_each_file_once(images):
    assert Directory(images).names == ["one.png"]
    folder = Directory(images, recursive=True)
    assert set(folder.names) == {
        "one.png", "day 1/one.png", f"day 1/{STRANGE}", "day 1/broken.png", "deep/er/three.png", "ünï/x.png",
    }  # fmt: skip
    seen = [name for name, _ in folder.images()]
    assert seen == [name for name in folder.names if "broken" not in name]
    assert list(folder.reasons) == ["day 1/broken.png"]
    assert "day 1/broken.png" in folder.remarks()[0]


def test_the_folder_of_the_output_is_left_out(images):
    write(images / "found" / "old" / "one.jpg.png")
    assert not any("old" in name for name in Directory(images, images / "found", recursive=True).names)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_listed_is_named(images):
    (images / "day 1").chmod(0)
    try:
        folder = Directory(images, recursive=True)
        assert "cannot be listed" in folder.reasons["day 1"]
    finally:
        (images / "day 1").chmod(0o755)


def test_no_image_in_any_folder_is_told(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(DatasetError, match="has no image"):
        Directory(tmp_path, recursive=True)
    for wrong in (tmp_path / "none", tmp_path / "file"):
        (tmp_path / "file").write_text("")
        with pytest.raises(DatasetError, match="is no folder"):
            Directory(wrong, recursive=True)


NO_FORMATS = [
    "voc",
    "COCO",
    "",
    ",",
    "yolo,",
    ",png",
    "yolo png",
    "yolo;png",
    "json",
    "xml",
    "png,jpeg",
    "coco,coco,x",
    " ",
]


@pytest.mark.parametrize("text", NO_FORMATS)
def test_a_format_that_is_none_ends_the_command(text, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["--input", "a", "--output", "b", "--format", text])
    assert ended.value.code == 2
    assert "is no format" in capsys.readouterr().err


BAD = [
    (("voc",), True, False, True, "is no format"),
    ("yolo", True, False, True, "expected a list"),
    (None, True, False, True, "expected a list"),
    ((1,), True, False, True, "is no format"),
    (("yolo",), True, False, False, "has none"),
    (("png",), True, False, False, "has none"),
    (("labelme",), True, False, False, "has none"),
    ((), "yes", False, True, "expected True or False"),
    ((), 1, False, True, "expected True or False"),
    ((), True, True, True, "leave one out"),
]


@pytest.mark.parametrize(("formats", "page", "arrays", "with_masks", "message"), BAD)
def test_what_cannot_be_written_is_told_first(formats, page, arrays, with_masks, message):
    with pytest.raises(ConfigError, match=message):
        check_outputs(formats, page, arrays, with_masks)


@pytest.mark.parametrize(
    "flags", [["--recursive=yes"], ["--html=a"], ["--recursve"], ["--format"], ["--recursive", "1"]]
)
def test_a_wrong_flag_ends_the_command(flags, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["--input", "a", "--output", "b", *flags])
    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_the_page_names_each_picture_and_what_is_left_out(tmp_path):
    images = [Shown("a/<b>&.png", 1, 2), Shown(STRANGE, 0, 0)]
    write_page(tmp_path / "index.html", images, [("c.png", "is damaged <x>")], "Predictions on <scans>")
    text = (tmp_path / "index.html").read_text()
    assert "2 images, 2 objects" in text
    assert "<b>" not in text
    assert "1 of 2 objects" in text
    assert "is damaged &lt;x&gt;" in text
    assert "<scans>" not in text
    assert str(place_of_picture("a/b.png")) == "a/b.png"
    assert ".." not in str(place_of_picture("../../etc/x.png"))


@pytest.mark.slow
def test_all_of_it_together(trained, images, tmp_path, capsys):
    target = tmp_path / "out"
    cfg = generic.parse(str(trained))
    cfg.threshold = 0.0
    project = str(trained.parents[2])
    (images / "predictions.png").write_bytes((images / "one.png").read_bytes())
    command = ["predict", "--project", project, "--name", "exp01", "--input", str(images), "--output", str(target)]
    here = Path.cwd()
    status = main([*command, "--recursive", "--html", "--format", "yolo,labelme,png,csv,coco"])
    os.chdir(here)
    captured = capsys.readouterr()
    assert status == 1, captured.err  # a file is no image
    assert "broken.png" in captured.err
    written = json.loads((target / "predictions.json").read_text())
    names = [image["file_name"] for image in written["images"]]
    assert sorted(names) == sorted(name for name in Directory(images, recursive=True).names if "broken" not in name)
    page = (target / "index.html").read_text()
    assert page.count("<figure>") == len(names)
    for name in names:
        assert (target / f"{place_of_picture(name)}.jpg").stat().st_size > 100
    assert len(list((target / "yolo").rglob("*.txt"))) == len(names)
    assert len(list((target / "labelme").rglob("*.json"))) == len(names)
    assert len(list((target / "png" / "masks").rglob("*.png"))) == len(names)
    assert (target / "csv" / "annotations.csv").stat().st_size
    for file in (target / "labelme").rglob("*.json"):
        assert (file.parent / json.loads(file.read_text())["imagePath"]).exists()
    ids = cv2.imread(str(next(iter((target / "png" / "masks").rglob("three*.png")))), cv2.IMREAD_UNCHANGED)
    assert isinstance(ids, np.ndarray)
    assert ids.shape[:2] == (64, 64)
