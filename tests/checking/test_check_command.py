"""``musket check`` on whole experiments: every fault is told, a page is written, and no split is made."""

import re

import numpy as np
import pytest
from musket_core import generic

from instance_segmentation_pipeline.checking.experiment_check import check_experiment
from instance_segmentation_pipeline.checking.findings import FAULT, WARNING
from instance_segmentation_pipeline.checking.page import MARK
from instance_segmentation_pipeline.cli import main
from tests.checking.test_item_checks import noisy
from tests.support.datasets import Items


def checked(path, dataset=None):
    cfg = generic.parse(str(path))
    if dataset is not None:
        cfg.use_dataset(dataset)
    return check_experiment(cfg, 0, with_step=False)


def told(found, kind):
    return [finding.text for section in found.sections for finding in section.findings if finding.kind == kind]


def test_a_sound_experiment_has_no_fault_and_keeps_no_split(add_experiment):
    path = add_experiment(extra="folds_count: 2\ntestSplit: 0.2\n")
    found = checked(path)
    assert not told(found, FAULT)
    assert [file.name for file in path.parent.iterdir()] == ["config.yaml"]
    assert len(found.scan) == 12
    rows = next(section.table for section in found.sections if section.title == "Classes and parts")
    assert rows[0][2:] == ["all", "fold 0 train", "fold 0 validation", "fold 1 train", "fold 1 validation", "holdout"]
    images = [int(cell) for cell in rows[-1][2:]]
    assert images[0] == images[1] + images[2] + images[5]


def test_faults_of_items_and_of_the_experiment_are_told_together(add_experiment):
    image, (labels, bboxes, masks) = noisy(3)
    pairs = [
        noisy(0),
        noisy(1),
        (image, (labels + 7, bboxes, masks)),
        noisy(0),
        (image[..., 0], (labels, bboxes, masks)),
    ]
    faults = told(checked(add_experiment(), Items(pairs)), FAULT)
    assert any("item2" in text for text in faults)
    assert any("item4" in text for text in faults)


WRONG = {
    "metric": ("primary_metric: nothing_known\n", "primary_metric"),
    "weights": ("weightsPath: gone.pth\n", "gone.pth"),
    "folds": ("folds_count: 40\n", "40"),
    "optimizer": ("optimizer: Adamm\n", "Adamm"),
    "option": ("validationSplit: 0.999\n", "validation"),
    "config": (None, "gone"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_a_run_would_refuse_is_a_fault(add_experiment, kind):
    extra, words = WRONG[kind]
    if extra is None:
        path = add_experiment(replace=[("configPath: ", "configPath: mmdet::gone/")])
    else:
        path = add_experiment(extra=extra)
    faults = told(checked(path), FAULT)
    assert any(words in text for text in faults), faults


def test_batches_of_one_image_and_objects_that_vanish(add_experiment):
    path = add_experiment(replace=[("imagesPerGpu: 4", "imagesPerGpu: 1")])
    pairs = [noisy(number, height=400, width=600, side=4) for number in range(6)]
    pairs = [(np.resize(image, (400, 600, 3)), y) for image, y in pairs]
    warned = told(checked(path, Items(pairs)), WARNING)
    assert any("BatchNorm" in text for text in warned)
    assert any("6 of the 6 objects are less than a pixel" in text for text in warned)


def test_the_command_writes_a_page_and_only_over_its_own(add_experiment, project, capsys):
    path = add_experiment()
    arguments = ["check", "--project", str(project), "--step", "false", "--num_workers", "1"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    page = path.parent / "check.html"
    assert "0 faults" in out
    assert str(page) in out
    text = page.read_text()
    assert MARK in text
    assert text.count("<img") >= 4
    assert not re.search(r'src="(?!data:)', text)
    assert main(arguments) == 0
    page.write_text("mine")
    capsys.readouterr()
    assert main(arguments) == 2
    assert "was not written by musket check" in capsys.readouterr().err
    assert page.read_text() == "mine"


FLAGS = {
    "no project": (("--project", "gone"), 2, "is no project"),
    "no such experiment": (("--name", "exp9"), 2, "is no experiment"),
    "a folder for the page": (("--name", "exp01", "--output", "{project}"), 2, "is a folder"),
    "the config for the page": (("--name", "exp01", "--output", "{config}"), 2, "was not written by musket check"),
    "an empty output": (("--output", ""), 2, "it is empty"),
    "one page for two": (("--output", "page.html"), 2, "names one page"),
    "no workers": (("--num_workers", "0"), 2, "whole number"),
    "a step in words": (("--step", "maybe"), 2, "neither true nor false"),
    "an unknown flag": (("--epochs", "1"), 2, "unrecognized"),
    "an unknown augmenter": (("--name", "odd", "--step", "false"), 1, "Flipplr"),
    "a broken config": (("--name", "broken", "--step", "false"), 1, "clases"),
    "a folder in place of the page": (
        ("--name", "exp01", "--step", "false", "--output", "{config}/x.html"),
        2,
        "x.html",
    ),
}


@pytest.mark.parametrize("kind", FLAGS)
def test_wrong_arguments_are_told(add_experiment, project, capsys, kind, tmp_path, monkeypatch):
    config = add_experiment()
    add_experiment("broken", extra="clases: 3\n")
    add_experiment("odd", extra="augmentation:\n  Flipplr: 0.5\n")
    monkeypatch.chdir(tmp_path)
    flags, status, words = FLAGS[kind]
    flags = [flag.format(project=project, config=config) for flag in flags]
    where = [] if "--project" in flags else ["--project", str(project)]
    try:
        ended = main(["check", *where, *flags])
    except SystemExit as error:
        ended = error.code
    err = capsys.readouterr().err
    assert ended == status
    assert words in err
    assert "Traceback" not in err
