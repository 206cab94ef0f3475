"""``musket new``: each format becomes an experiment that can be read, what cannot is told in one sentence, and stays."""

import json
import os
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.scaffold import survey
from instance_segmentation_pipeline.scaffold.choice import CPU_MODEL, LARGE_MODEL, SMALL_MODEL, plan
from instance_segmentation_pipeline.scaffold.machine import Machine
from instance_segmentation_pipeline.scaffold.survey import Survey
from tests.support.annotated_folders import FORMATS, NAMES, SIDE, coco, labelme, two_folders, voc, yolo


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    monkeypatch.setattr(survey, "SECONDS", 1e9)  # on a busy machine, too, all are read


def new(capsys, *arguments):
    status = main(["new", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


def yaml_of(project, name="first"):
    text = (project / "experiments" / name / "config.yaml").read_text()
    return text, yaml.safe_load(text)


def state(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_becomes_an_experiment(tmp_path, capsys, name):
    data, project = FORMATS[name](tmp_path / "data"), tmp_path / "project"
    before = state(data)
    status, out, err = new(capsys, project, "--from", data)
    assert (status, err) == (0, "")
    text, experiment = yaml_of(project)
    check_properties(experiment)
    keys = [line for line in text.split("\n")[1:] if line and not line.startswith((" ", "#"))]
    assert all("#" in line for line in keys), keys
    assert experiment["configPath"] == CPU_MODEL
    assert experiment["datasets_path"] == str(data)
    for words in (
        "images    6",
        "objects   12" if name in ("coco", "labelme", "nuclei") else "objects   about 12",
        f"{SIDE} x {SIDE}",
    ):
        assert words in out
    for command in ("check", "fit", "predict"):
        assert f"musket {command} --project {project}" in out
    assert [path.name for path in project.rglob("*") if path.is_file()] == ["config.yaml"]
    assert state(data) == before


def test_flags_choose(tmp_path, capsys):
    data = coco(tmp_path / "data", 8)
    wanted = ("--name", "one", "--model", "mask-rcnn_r50_fpn_1x_coco", "--folds", 4, "--classes", "bar")
    model = "mask_rcnn/mask-rcnn_r50_fpn_1x_coco"
    status, _, err = new(capsys, tmp_path / "p", "--from", data, *wanted[:2], "--model", model, *wanted[4:])
    assert status == 0, err
    _, experiment = yaml_of(tmp_path / "p", "one")
    assert experiment["configPath"] == experiment["weightsPath"] == f"mmdet::{model}.py"
    assert experiment["folds_count"] == 4
    assert experiment["classes"] == 1
    assert experiment["dataset"]["coco_json"]["classes"] == ["bar"]
    assert "validationSplit" not in experiment


def test_a_project_around_its_data_may_be_moved(tmp_path, capsys):
    labelme(tmp_path / "project" / "data")
    assert new(capsys, tmp_path / "project", "--from", tmp_path / "project" / "data")[0] == 0
    _, experiment = yaml_of(tmp_path / "project")
    assert experiment["datasets_path"] == "../../data"


def test_a_split_that_the_data_bring(tmp_path, capsys):
    for part in ("train", "val"):
        two_folders(tmp_path / "data" / part, 4)
    status, out, err = new(capsys, tmp_path / "p", "--from", tmp_path / "data")
    assert status == 0, err
    _, experiment = yaml_of(tmp_path / "p")
    assert set(experiment["dataset"]) == {"train", "validation"}
    assert "folds_count" not in experiment
    assert "4 train, 4 validation" in out
    status, _, err = new(capsys, tmp_path / "q", "--from", tmp_path / "data", "--folds", 2)
    assert status == 2
    assert "validation part" in err


def _empty(root):
    root.mkdir()


def _images_alone(root):
    shutil.rmtree(two_folders(root) / "masks")


def _text_for(name, text):
    def make(root):
        (FORMATS[name](root) / "annotations.json").write_text(text)

    return make


def _coco(change):
    def make(root):
        path = coco(root) / "annotations.json"
        whole = json.loads(path.read_text())
        change(whole)
        path.write_text(json.dumps(whole))

    return make


def _two_kinds(root):
    coco(root / "a")
    labelme(root / "b")


def _files_gone(root):
    for file in (coco(root) / "images").iterdir():
        file.unlink()


def _files_damaged(root):
    for file in (two_folders(root) / "images").iterdir():
        file.write_bytes(b"\xff\xd8 not a picture")


def _no_objects(root):
    for file in (two_folders(root) / "masks").iterdir():
        Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(file)


def _one_image(root):
    coco(root, 1)


def _other_sizes(root):
    for file in (two_folders(root) / "masks").iterdir():
        with Image.open(file) as image:
            smaller = image.resize((20, 20), 0)
        smaller.save(file)


def _labelme(change):
    def make(root):
        for file in labelme(root).glob("*.json"):
            whole = json.loads(file.read_text())
            change(whole)
            file.write_text(json.dumps(whole))

    return make


def _yolo(text):
    def make(root):
        for file in (yolo(root) / "labels").iterdir():
            file.write_text(text)

    return make


def _without(folder):
    return lambda root: shutil.rmtree(voc(root) / folder)


def _set(key, value):
    return lambda whole: [one.__setitem__(key, value) for one in whole["annotations"]]


BROKEN = {
    "nothing": (lambda root: None, "cannot be listed"),
    "an empty folder": (_empty, "no images and no annotations"),
    "images alone": (_images_alone, "nothing that tells their objects"),
    "two formats": (_two_kinds, "2 kinds of annotations"),
    "a JSON cut": (_text_for("coco", '{"images": [], "annotations": [], "categories": ['), "annotations.json"),
    "a zip for a JSON": (_text_for("coco", "PK\x03\x04"), "nothing that tells"),
    "a list for a JSON": (_text_for("coco", '["images", "annotations", "categories"]'), "annotations.json"),
    "no categories": (_coco(lambda whole: whole["categories"].clear()), "categor"),
    "no annotations": (_coco(lambda whole: whole["annotations"].clear()), "none of the 6 images"),
    "no images": (_coco(lambda whole: whole["images"].clear()), "image"),
    "ids twice": (_coco(lambda whole: whole["images"].append(whole["images"][0])), "id"),
    "category unknown": (_coco(_set("category_id", 9)), "9"),
    "image unknown": (_coco(_set("image_id", 99)), "99"),
    "polygon of two points": (_coco(_set("segmentation", [[1, 2, 3, 4]])), "polygon"),
    "polygon of words": (_coco(_set("segmentation", [["a"] * 6])), "polygon"),
    "polygon far outside": (_coco(_set("segmentation", [[900, 900, 990, 900, 990, 990]])), "far outside"),
    "polygon of shares": (_coco(_set("segmentation", [[0.1, 0.1, 0.5, 0.1, 0.5, 0.5]])), "0..1"),
    "RLE of another size": (_coco(_set("segmentation", {"size": [9, 9], "counts": [40, 41]})), "size"),
    "all are crowds": (_coco(_set("iscrowd", 1)), "none of the 6 images"),
    "files are gone": (_files_gone, "photo0.jpg"),
    "files are damaged": (_files_damaged, "none of the 6 images that were tried can be read"),
    "no objects": (_no_objects, "none of the 6 images that were read has an object"),
    "one image": (_one_image, "too few"),
    "masks of another size": (_other_sizes, "none of the 6 images that were tried can be read"),
    "LabelMe without points": (_labelme(lambda whole: whole["shapes"][0].pop("points")), "points"),
    "LabelMe of two points": (_labelme(lambda whole: whole["shapes"][0].update(points=[[1, 2], [3, 4]])), "point"),
    "LabelMe of another size": (_labelme(lambda whole: whole.update(imageHeight=9)), "9"),
    "LabelMe of no image": (_labelme(lambda whole: whole.update(imagePath="gone.jpg")), "gone.jpg"),
    "LabelMe of an odd shape": (_labelme(lambda whole: whole["shapes"][0].update(shape_type="blob")), "blob"),
    "YOLO of words": (_yolo("square 0.1 0.1 0.5 0.1 0.5 0.5"), "square"),
    "YOLO class 7": (_yolo("7 0.1 0.1 0.5 0.1 0.5 0.5"), "7"),
    "YOLO in pixels": (_yolo("0 10 10 50 10 50 50"), "none of the 6"),
    "VOC without classes": (_without("SegmentationClass"), "nothing that tells their objects"),
    "VOC without images": (_without("JPEGImages"), "nothing that tells their objects"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_become_a_project_is_told_in_a_sentence(tmp_path, capsys, kind):
    make, words = BROKEN[kind]
    make(tmp_path / "data")
    status, out, err = new(capsys, tmp_path / "project", "--from", tmp_path / "data")
    assert status == 2, out
    assert words in err
    assert err.startswith("musket new: ")
    assert err.count("\n") == 1
    assert len(err) < 1300
    assert "Traceback" not in err
    assert not (tmp_path / "project").exists()


FLAGS = {
    "no arguments": ((), "required"),
    "no --from": (("p",), "required"),
    "an empty --from": (("p", "--from", ""), "it is empty"),
    "an empty project": (("", "--from", "data"), "it is empty"),
    "--from a file that is none": (("p", "--from", "gone.json"), "gone.json"),
    "--from an image": (("p", "--from", "data/images/photo0.jpg"), "photo0.jpg"),
    "--from a mask": (("p", "--from", "data/masks/photo0.png"), "photo0.png"),
    "--folds 0": (("p", "--from", "data", "--folds", "0"), "whole number"),
    "--folds -1": (("p", "--from", "data", "--folds", "-1"), "whole number"),
    "--folds 1.5": (("p", "--from", "data", "--folds", "1.5"), "whole number"),
    "--folds many": (("p", "--from", "data", "--folds", "101"), "1 to 100"),
    "--folds in words": (("p", "--from", "data", "--folds", "five"), "whole number"),
    "more folds than images": (("p", "--from", "data", "--folds", "7"), "too few for 7 folds"),
    "--model unknown": (("p", "--from", "data", "--model", "mask_rcnn_r50"), "not in MMDetection's zoo"),
    "--model empty": (("p", "--from", "data", "--model", ""), "empty"),
    "--model of ours unknown": (("p", "--from", "data", "--model", "musket::huge"), "musket::"),
    "--model up and out": (("p", "--from", "data", "--model", "mmdet::../../etc/passwd"), "--model"),
    "--classes empty": (("p", "--from", "data", "--classes", ""), "empty name"),
    "--classes twice": (("p", "--from", "data", "--classes", "a,a"), "twice"),
    "--classes too many": (("p", "--from", "data", "--classes", "a,b,c"), "--classes"),
    "--name empty": (("p", "--from", "data", "--name", ""), "no name of a folder"),
    "--name up": (("p", "--from", "data", "--name", ".."), "no name of a folder"),
    "--name within": (("p", "--from", "data", "--name", "a/b"), "no name of a folder"),
    "--name of two": (("p", "--from", "data", "--name", "a,b"), "no name of a folder"),
    "--name too long": (("p", "--from", "data", "--name", "a" * 300), "no name of a folder"),
    "--name with a break": (("p", "--from", "data", "--name", "a\nb"), "no name of a folder"),
    "an unknown flag": (("p", "--from", "data", "--copy"), "unrecognized"),
    "the project is a file": (("data/images/photo0.jpg", "--from", "data"), "is a file"),
    "below a file": (("data/images/photo0.jpg/p", "--from", "data"), "is no folder"),
    "a project is there": (("there", "--from", "data"), "is a project already"),
    "modules are there": (("modular", "--from", "data"), "is a project already"),
    "an experiment is there": (("there/experiments/e", "--from", "data"), "is an experiment's folder"),
}


@pytest.mark.parametrize("kind", FLAGS)
def test_wrong_arguments_are_told_and_change_nothing(tmp_path, capsys, monkeypatch, kind):
    arguments, words = FLAGS[kind]
    two_folders(tmp_path / "data")
    (tmp_path / "there" / "experiments" / "e").mkdir(parents=True)
    (tmp_path / "there" / "experiments" / "e" / "config.yaml").write_text("mine")
    (tmp_path / "modular" / "modules").mkdir(parents=True)
    before = state(tmp_path)
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["new", *arguments])
    except SystemExit as ended:
        status = ended.code
    _, err = capsys.readouterr()
    assert status == 2
    assert words in err
    assert "Traceback" not in err
    assert state(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_may_not_be_written_to(tmp_path, capsys):
    (tmp_path / "locked").mkdir(mode=0o500)
    status, _, err = new(capsys, tmp_path / "locked" / "p", "--from", coco(tmp_path / "data"))
    assert status == 2
    assert "may not be written to" in err


def found(images=100, width=640, height=480, size=60.0, count=10):
    side = np.full(8, 1.0)
    return Survey(
        {"": images}, images * count, NAMES, {0: 5, 1: 5}, side * width, side * height, side * count, side * size, ()
    )


CPU, GPU = Machine(0, 0.0, 2), Machine(1, 24.0, 8)


def test_what_is_chosen_suits_machine_and_images():
    assert plan(found(), CPU).model == CPU_MODEL
    assert plan(found(), GPU).model == plan(found(), GPU).weights == LARGE_MODEL
    assert plan(found(width=256, height=256), GPU).model == SMALL_MODEL
    assert plan(found(size=15), CPU).side > plan(found(size=60), CPU).side
    assert plan(found(width=4000, height=3000, size=10), CPU).side == 512
    assert plan(found(width=4000, height=3000, size=10), GPU).side == 1024
    assert plan(found(width=64, height=64, size=8), CPU).side == 128
    assert plan(found(count=300), CPU).detections == 300
    assert plan(found(count=100), CPU).detections is None
    assert plan(found(images=100_000), CPU).validation < 0.02


@pytest.mark.parametrize("images", [2, 3, 10, 60, 300, 2000, 50_000, 1_000_000])
@pytest.mark.parametrize("size", [3.0, 12.0, 100.0])
@pytest.mark.parametrize("machine", [CPU, GPU, Machine(0, 0.0, 64), Machine(8, 6.0, 4)])
def test_every_choice_can_be_trained(images, size, machine):
    chosen = plan(found(images, size=size), machine)
    assert chosen.side % 32 == 0
    assert 2 <= chosen.batch <= 16
    assert 1 <= chosen.epochs <= 100
    assert chosen.most_steps is None or chosen.most_steps >= 1
    if not machine.gpus:
        assert chosen.minutes < 20
    steps = chosen.epochs * min(-(-images // chosen.batch), chosen.most_steps or 10**9)
    assert steps >= min(60, images * 25)


def test_a_limit_of_objects_is_raised_by_a_key_that_is_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(survey.Survey, "most", 240)
    assert new(capsys, tmp_path / "p", "--from", coco(tmp_path / "data"))[0] == 0
    _, experiment = yaml_of(tmp_path / "p")
    assert experiment["maxDetections"] == 400
    queries = ("--model", "mask2former/mask2former_r50_8xb2-lsj-50e_coco")
    assert new(capsys, tmp_path / "q", "--from", tmp_path / "data", *queries)[0] == 0
    assert "maxDetections" not in yaml_of(tmp_path / "q")[1]
