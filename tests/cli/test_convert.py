"""``musket convert``: what is written loads the same, nothing is overwritten unasked, what is left out is told."""

import json
import os
import re
import sqlite3
import subprocess

import numpy as np
import pytest
import yaml
from PIL import Image

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.data.annotation_files import PROVIDERS
from instance_segmentation_pipeline.data.formats.saving import WRITTEN
from instance_segmentation_pipeline.data.recognition.sources import recognise
from instance_segmentation_pipeline.storage.atomic import host_name
from tests.data.test_recognition import pictures, written
from tests.data.test_saved_formats import HEIGHT, WIDTH

FORMATS = list(WRITTEN)


def convert(*arguments):
    return main(["convert", *map(str, arguments)])


def read(dataset):
    """Return by image the names and masks of the objects; images by the last part of their names, without suffix."""
    found = {}
    for row in range(len(dataset)):
        item = dataset[row]
        stem = item.id.rpartition("/")[2].rpartition(".")[0] or item.id
        found[stem] = [
            (dataset.class_names[label - 1], rle["counts"]) for label, rle in zip(item.y[0], item.y[2], strict=True)
        ]
    return found


def declared(out):
    """Return the dataset that the printed line declares."""
    line = re.search(r"^  dataset: (.*)$", out, re.MULTILINE)[1]
    ((name, arguments),) = yaml.safe_load(line).items()
    return PROVIDERS[name](**arguments)


@pytest.mark.parametrize("before", FORMATS)
@pytest.mark.parametrize("after", FORMATS)
def test_every_format_becomes_every_other(tmp_path, before, after, capsys):
    written(tmp_path / "in", before, images="." if before == "labelme" else "images")
    (source,) = recognise(tmp_path / "in").sources
    dataset = next(iter(source.datasets.values()))
    part = ["--dataset", "train"] if before == "yolo" else []
    assert convert("--input", tmp_path / "in", "--format", after, "--output", tmp_path / "out", *part) == 0
    out, err = capsys.readouterr()
    assert "left out" not in err
    expected = read(dataset)
    assert f"{len(expected)} images, {sum(map(len, expected.values()))} objects" in out
    assert read(declared(out)) == expected


@pytest.mark.parametrize("images", ["reference", "link", "copy"])
@pytest.mark.parametrize("after", FORMATS)
def test_images_in_folders_are_named_linked_or_copied(tmp_path, after, images, capsys):
    for number, name in enumerate(("x", "y")):
        pictures(tmp_path / "in" / name / "images", ["a.png"])
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[number : number + 5, 3:9] = 255
        (tmp_path / "in" / name / "masks").mkdir()
        Image.fromarray(mask).save(tmp_path / "in" / name / "masks/0.png")
    status = convert("--input", tmp_path / "in", "--format", after, "--output", tmp_path / "o", "--images", images)
    out, err = capsys.readouterr()
    if images == "reference" and after in ("yolo", "ids"):
        assert status == 2
        assert "give link or copy" in err
        assert not (tmp_path / "o").exists()
        return
    assert status == 0
    dataset = declared(out)
    assert sorted(len(dataset[row].y[0]) for row in range(2)) == [1, 1]
    assert len({dataset[row].y[2][0]["counts"] for row in range(2)}) == 2
    there = [path for path in (tmp_path / "o").rglob("*.png") if "images" in path.parts]
    assert len(there) == (0 if images == "reference" else 2)
    assert all(path.is_symlink() == (images == "link") for path in there)


def test_nothing_is_overwritten_unless_it_is_asked_for(tmp_path, capsys):
    written(tmp_path / "in", "coco")
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    command = ["--input", tmp_path / "in", "--format", "coco", "--output", out]
    assert convert(*command) == 2
    assert "has files already: give another folder, or --overwrite true" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["mine.txt"]
    (out / "annotations.json").write_text("old")
    assert convert(*command, "--overwrite", "true") == 0
    assert "1 files that were there before are kept" in capsys.readouterr().err
    assert (out / "mine.txt").read_text() == "mine"
    assert len(json.loads((out / "annotations.json").read_text())["images"]) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_what_a_killed_conversion_left_is_removed(tmp_path):
    written(tmp_path / "in", "coco")
    gone = subprocess.Popen(["true"])
    gone.wait()
    for pid in (gone.pid, os.getpid()):
        (tmp_path / f".out.{host_name()}-{pid}-{'0' * 16}.tmp").mkdir()
    (tmp_path / f".other.{host_name()}-{gone.pid}-{'0' * 16}.tmp").mkdir()
    assert convert("--input", tmp_path / "in", "--format", "csv", "--output", tmp_path / "out") == 0
    left = sorted(path.name.split(".")[1] for path in tmp_path.glob(".*.tmp"))
    assert left == ["other", "out"]  # another's, and that of a process that lives


def test_what_cannot_be_read_is_left_out_and_told(tmp_path, capsys):
    written(tmp_path / "in", "yolo")
    (tmp_path / "in/labels/b.txt").write_text("0 1 1\n")
    (tmp_path / "in/images/c.jpg").write_bytes(b"broken")
    command = ["--input", tmp_path / "in", "--format", "coco", "--dataset", "train"]
    assert convert(*command, "--output", tmp_path / "out") == 1
    out, err = capsys.readouterr()
    assert "1 images," in out
    assert "2 images are left out" in err
    assert "images/b.jpg" in err
    assert "images/c.jpg" in err
    (tmp_path / "in/labels/a.txt").write_text("0 1 1\n")
    assert convert(*command, "--output", tmp_path / "none") == 2
    assert "no image could be converted" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_parts_become_folders(tmp_path, capsys):
    for part in ("train", "val"):
        written(tmp_path / "in" / part, "labelme", images=".")
    assert convert("--input", tmp_path / "in", "--format", "yolo", "--output", tmp_path / "out") == 0
    whole = PROVIDERS["yolo_seg"](str(tmp_path / "out/data.yaml"))
    assert whole.folds == [([0, 1, 2], [3, 4, 5])]
    assert read(PROVIDERS["yolo_seg"](str(tmp_path / "out/data.yaml"), "val")) == read(
        PROVIDERS["labelme"](str(tmp_path / "in/val"), classes=list(whole.class_names))
    )


REFUSED = {
    "nothing lies there": (["--input", "{}/empty"], "no annotations that are recognised"),
    "several": (["--input", "{}"], "has several: coco_json ("),
    "no provider": (["--input", "{}/coco", "--input_format", "coco"], "is no provider (did you mean 'coco_json'?)"),
    "arguments alone": (["--input", "{}/coco", "--arguments", "{a: 1}"], "give --input_format"),
    "arguments no mapping": (
        ["--input", "{}/coco", "--input_format", "coco_json", "--arguments", "[1"],
        "is no mapping such as",
    ),
    "unknown argument": (
        ["--input", "{}/coco", "--input_format", "coco_json", "--arguments", "{image: a}"],
        "no argument 'image' (did you mean 'images'?)",
    ),
    "part": (["--input", "{}/coco", "--dataset", "train"], "has no parts"),
    "experiment beside": (["--input", "{}/coco", "--name", "a"], "--name is for an experiment"),
    "predictions of files": (["--input", "{}/coco", "--predictions", "true"], "is for an experiment"),
    "threshold": (["--project", "{}", "--threshold", "0.5"], "choose predictions: give --predictions true"),
    "polygons": (["--input", "{}/coco", "--format", "csv", "--polygons", "true"], "is for --format coco"),
    "no project": (["--project", "{}"], "is no project"),
    "input_format alone": (["--project", "{}", "--input_format", "voc"], "say what --input is"),
    "a file in the way": (["--input", "{}/coco", "--output", "{}/coco/annotations.json"], "is no folder"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused(tmp_path, name, capsys):
    written(tmp_path / "coco", "coco")
    written(tmp_path / "labelme", "labelme", images=".")
    (tmp_path / "empty").mkdir()
    arguments, said = REFUSED[name]
    given = [
        "--format",
        "coco",
        "--output",
        f"{tmp_path}/out",
        *(one.format(tmp_path) if one.startswith("{}") else one for one in arguments),
    ]
    assert convert(*given) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_datasets_and_predictions_of_an_experiment(trained, tmp_path, musket):
    base = ["convert", "--project", trained.parents[2], "--name", "exp01"]
    done = musket(*base, "--format", "csv", "--output", tmp_path / "truth", "--dataset", "holdout", "--images", "copy")
    assert done.returncode == 0, done.stderr
    truth = declared(done.stdout)
    assert len(truth) == 2
    assert set(truth.class_names) == {"disc", "square", "triangle"}
    assert truth[0].x.shape == (64, 64, 3)
    objects = sum(len(truth[row].y[0]) for row in range(2))
    assert f"2 images, {objects} objects" in done.stdout
    done = musket(*base, "--format", "coco", "--output", tmp_path / "found", "--predictions", "true")
    assert done.returncode == 0, done.stderr
    whole = json.loads((tmp_path / "found/annotations.json").read_text())
    stores = (trained.parent / "predictions").glob("validation*")
    rows = [sqlite3.connect(path).execute("SELECT COUNT(*) FROM found").fetchone()[0] for path in stores]
    assert len(whole["images"]) in (sum(rows), 10)
    assert all("score" in one and "segmentation" in one for one in whole["annotations"])
    done = musket(*base, "--format", "yolo", "--output", tmp_path / "linked", "--predictions", "true")
    assert done.returncode == 2
    assert "lies in no file, its dataset makes it: give --images copy" in done.stderr
