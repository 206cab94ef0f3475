"""A resume compares what was trained with what is asked for: it goes on, or says what differs; nothing is ignored."""

import math
import shutil

import pytest
import torch
from mmengine.config import Config
from musket_core import generic

from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.experiment.stage_work import dataset_settings
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.models.finished_config import FinishedConfig
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from instance_segmentation_pipeline.training.stage_settings import META_KEY, differences, resumption, settings_of

pytestmark = pytest.mark.slow

CHANGES = {
    "lr of a stage": ("lr: 0.002", "lr: 0.0002", "lr 0.002 there, 0.0002 now"),
    "lr": (
        "shape:",
        "optimizer: {type: AdamW, weight_decay: 0.5}\nshape:",
        "optimizer.weight_decay 0.05 there, 0.5 now",
    ),
    "optimizer": ("shape:", "optimizer: SGD\nshape:", "optimizer.type 'AdamW' there, 'SGD' now"),
    "epochs of an earlier stage": ("epochs: 2", "epochs: 3", "epochs 2 there, 3 now"),
    "fewer epochs": ("epochs: 2", "epochs: 1", "epochs 2 there, 1 now"),
    "shape": ("shape: [64, 64]", "shape: [96, 96]", "shape '[64, 64]' there, '[96, 96]' now"),
    "shapes": ("shape: [64, 64]", "shape: [[64, 64], [96, 96]]", "shape '[64, 64]' there, '[[64, 64], [96, 96]]' now"),
    "multiscaleMode": (
        "shape: [64, 64]",
        "shape: [[64, 64], [96, 96]]\nmultiscaleMode: range",
        "multiscaleMode None there, 'range' now",
    ),
    "manualResize": ("shape:", "manualResize: true\nshape:", "manualResize None there, True now"),
    "augmentation": ("shape:", "nativePipeline: false\nshape:", "train_pipeline"),
    "batch": ("imagesPerGpu: 4", "imagesPerGpu: 2", "batch 4 there, 2 now"),
    "option of the model": (
        "configOptions:",
        "configOptions:\n  model.bbox_head.loss_cls.loss_weight: 2.0",
        "model.bbox_head.loss_cls.loss_weight 1.0 there, 2.0 now",
    ),
    "dataset": ("size: 64", "size: 64, seed: 3", "dataset.get_shapes.seed None there, 3 now"),
    "metric": (
        "shape:",
        "primary_metric: val_coco_bbox_mAP\nshape:",
        "primary_metric 'val_coco_segm_mAP (auto)' there",
    ),
}


@pytest.fixture
def copy(trained, tmp_path):
    """Return a function that gives the config.yaml of a copy of the trained project, with a part replaced."""

    def make(*changes):
        root = tmp_path / "copy"
        shutil.copytree(trained.parents[2], root, ignore=shutil.ignore_patterns("__pycache__"))
        path = root / "experiments" / "exp01" / "config.yaml"
        text = path.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path.write_text(text)
        return path

    return make


def resumed(path):
    cfg = generic.parse(str(path))
    cfg.setAllowResume(True)
    cfg.fit()
    return cfg


def contents(path):
    return {file.name: file.read_bytes() for file in (path.parent / "weights").iterdir()}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_named_and_refused(name, copy):
    old, new, message = CHANGES[name]
    path = copy((old, new))
    before = contents(path)
    with pytest.raises(WeightsError, match="train anew without --allow_resume") as error:
        resumed(path)
    assert message in str(error.value)
    assert "last-0.0.weights was trained with other settings" in str(error.value)
    assert len(str(error.value)) <= 1200
    assert contents(path) == before


@pytest.mark.parametrize(
    "change", [("imagesPerGpu: 4", "imagesPerGpu: 4\nworkersPerGpu: 1\ninference_batch: 2"), ("classes: 3\n", "")]
)
def test_what_decides_nothing_may_differ_and_the_project_may_move(change, copy):
    path = copy(change)
    before = contents(path)
    resumed(path)
    assert contents(path) == before


PREPARED = FinishedConfig(
    Config({"optim_wrapper": {"optimizer": {}}, "train_dataloader": {"batch_size": 1}, "train_cfg": {}, "model": {}}),
    train_pipeline=[],
    val_pipeline=[],
    needs_masks=True,
    decisions=[],
)

DATASETS = [
    ("get_a", {"get_a": None}, True),
    ({"get_a": {}}, {"get_a": None}, True),
    ({"get_a": {"folder": "/here/cells"}}, {"get_a": {"folder": "/there/cells"}}, True),
    ({"train": {"get_a": {}}, "holdout": {"get_b": {}}}, {"train": {"get_a": {}}, "holdout": {"get_c": {}}}, True),
    ([{"get_a": {"n": 1}}, "cache"], {"get_a": {"n": 1}}, True),
    ([{"get_a": {}}, "grey"], [{"get_a": {}}, {"disk-cache": None}, "grey"], True),
    ("get_a", "get_b", False),
    ({"get_a": {"folder": "cells"}}, {"get_a": {"folder": "clean/cells"}}, False),
    ({"get_a": {"parts": [{"x": 1}]}}, {"get_a": {"parts": [{"x": 2}]}}, False),
    ({"train": {"get_a": None}}, {"train": {"get_b": None}}, False),
    ([{"get_a": {"n": 1}}, "grey"], [{"get_a": {"n": 2}}, "grey"], False),
    ({"train": ["get_a", "grey"]}, {"train": ["get_b", "grey"]}, False),
    (None, {"get_a": {"n": 1}}, True),
    ({"get_a": {"n": 1}}, None, True),
]
"""How a dataset was declared, how it is now (``None``: given from Python), and whether training goes on."""


@pytest.mark.parametrize(("before", "now", "goes_on"), DATASETS)
def test_what_of_a_declared_dataset_decides(before, now, goes_on, tmp_path):
    trained, asked = (settings_of(PREPARED, 1, 0.1, 1, **dataset_settings(one)) for one in (before, now))
    if goes_on:
        assert resumption({META_KEY: trained}, asked, tmp_path / "last", True).note == ""
    else:
        with pytest.raises(WeightsError, match="trained with other settings: dataset"):
            resumption({META_KEY: trained}, asked, tmp_path / "last", True)


def test_other_initial_weights_are_refused(copy):
    path = copy(("shape:", "weightsPath: start.pth\nshape:"))
    shutil.copy(path.parent / "weights" / "best-1.1.weights", path.parent / "start.pth")
    with pytest.raises(WeightsError, match="weightsPath None there, 'a file of SHA-256 "):
        resumed(path)


def test_a_stage_of_a_finished_experiment_is_compared_too(copy):
    path = copy(("lr: 0.0005", "lr: 0.0004"))
    with pytest.raises(WeightsError, match=r"last-0\.1\.weights was .* lr 0\.0005 there, 0\.0004 now"):
        resumed(path)


def test_checkpoints_without_settings_are_told(copy, capsys):
    path = copy()
    for file in (path.parent / "weights").glob("*.weights"):
        checkpoint = read_checkpoint(file)
        del checkpoint["meta"][META_KEY]
        torch.save(checkpoint, file)
    before = contents(path)
    resumed(path)
    out = capsys.readouterr().out
    assert "last-0.0.weights does not tell what it was trained with: nothing could be compared" in out
    assert contents(path) == before


def test_more_epochs_of_the_last_stage_train_on_with_a_schedule_of_that_length(add_experiment, capsys):
    path = add_experiment(replace=[("epochs: 1", "epochs: 2\n    lr: 0.002")])
    generic.parse(str(path)).fit()
    first = read_rows(path.parent / "metrics" / "metrics-0.0.csv")
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 4"))
    capsys.readouterr()
    resumed(path)
    assert "4 epochs in place of 2: it goes on after epoch 2" in capsys.readouterr().out
    rows = read_rows(path.parent / "metrics" / "metrics-0.0.csv")
    assert rows[:2] == first
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    whole = path.parents[1] / "whole" / "config.yaml"
    whole.parent.mkdir()
    whole.write_text(path.read_text())
    generic.parse(str(whole)).fit()
    uninterrupted = read_rows(whole.parent / "metrics" / "metrics-0.0.csv")
    for row, other in zip(rows[2:], uninterrupted[2:], strict=True):
        assert math.isclose(row["lr"], other["lr"], rel_tol=1e-9)
    last = read_checkpoint(path.parent / "weights" / "last-0.0.weights")
    like = read_checkpoint(whole.parent / "weights" / "last-0.0.weights")
    assert last["meta"][META_KEY] == like["meta"][META_KEY]
    for one, other in zip(last["param_schedulers"], like["param_schedulers"], strict=True):
        assert {key: one[key] for key in ("last_step", "_global_step", "end")} == {
            key: other[key] for key in ("last_step", "_global_step", "end")
        }


def test_only_the_last_stage_takes_more_epochs(tmp_path):
    meta = {"epoch": 2, META_KEY: {"epochs": 2, "lr": 0.1}}
    assert resumption(meta, {"epochs": 3, "lr": 0.1}, tmp_path / "last", True).longer
    for asked, is_last in (({"epochs": 3, "lr": 0.1}, False), ({"epochs": 1, "lr": 0.1}, True), ({"epochs": 3}, True)):
        with pytest.raises(WeightsError, match="epochs 2 there"):
            resumption(meta, asked, tmp_path / "last", is_last)


def test_many_differences_are_counted(tmp_path):
    trained = {f"model.part{number}": "x" * 10_000 for number in range(500)}
    with pytest.raises(WeightsError, match="and 495 more") as error:
        resumption({META_KEY: trained}, {}, tmp_path / "last", True)
    assert len(str(error.value)) <= 1200
    assert differences({"a": 1}, {"a": 1.0}) == []


def test_a_later_stage_starts_only_from_what_the_config_says(copy):
    path = copy(("epochs: 2", "epochs: 3"))
    before = sorted(str(one) for one in path.parent.rglob("*"))
    cfg = generic.parse(str(path))
    cfg.refit = True
    with pytest.raises(
        WeightsError, match=r"epochs 2 there, 3 now.*leave start_from_stage out, which trains all stages"
    ):
        cfg.fit(start_from_stage=1)
    assert sorted(str(one) for one in path.parent.rglob("*")) == before
