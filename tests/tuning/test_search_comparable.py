"""Scores of a search's trials can be compared: one metric, the same folds and items, finite, and of what was written."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from musket_core import generic

from instance_segmentation_pipeline.config.search_space import space_of
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.tuning.search_config import SearchConfig
from tests.support.played_trials import EPOCHS, SPACE, Play, fitted, load, play_trials, told
from tests.support.project import SMALL_CONFIG

REAL = SearchConfig.trial_config


@pytest.fixture(autouse=True)
def played(monkeypatch):
    play_trials(monkeypatch)


@pytest.fixture
def search(add_experiment):
    def make(extra):
        return add_experiment("s", SPACE + extra, replace=[("- epochs: 1", f"- epochs: {EPOCHS}")])

    return make


@pytest.mark.parametrize(
    ("first", "then", "words"),
    [
        ({"folds": [0]}, {"folds": [1]}, r"trained with folds \[0\], and folds \[1\] is asked for"),
        ({"folds": [0]}, {}, r"trained with folds \[0\], and folds \[0, 1\] is asked for"),
        ({}, {"folds": [1]}, r"trained with folds \[0, 1\]"),
    ],
)
def test_search_is_gone_on_with_on_its_folds_and_items(search, first, then, words):
    path = search("max_evals: 2\nfolds_count: 2\n")
    fitted(path, **first)
    before = (path.parent / "hyperopt.scores").read_bytes()
    with pytest.raises(ConfigError, match=words):
        fitted(path, resume=True, **then)
    assert (path.parent / "hyperopt.scores").read_bytes() == before
    fitted(path, resume=True, **first)
    assert len(told(path)) == 2


def test_search_is_gone_on_with_on_its_share_of_items(search):
    path = search("max_evals: 2\n")
    generic.parse(str(path)).fit(subsample=0.5)
    with pytest.raises(ConfigError, match="trained with subsample 0.5, and subsample 1.0 is asked for"):
        fitted(path, resume=True)


@pytest.mark.parametrize("score", [math.inf, -math.inf, math.nan])
def test_trial_without_a_finite_score_fails_alone(search, monkeypatch, score):
    path = search("max_evals: 2\n")
    monkeypatch.setattr(Play, "result_of", lambda play, summary: score if play.files.trial == 1 else 0.5)
    fitted(path)
    assert [trial.state for trial in told(path)] == ["done", "failed"]
    assert f"is {score}" in told(path)[1].error
    fitted(path, resume=True)  # the record can be read


def test_search_that_is_made_again_is_that_of_its_yaml_not_of_the_trial_that_was_best(search):
    path = search("max_evals: 2\n")
    fitted(path)
    path.write_text(
        path.read_text()
        + "folds_count: 3\nrandom_state: 7\nprimary_metric: loss\nexperiment_result: coco_bbox_mAP\nthreshold: 0.3\n"
    )
    cfg = generic.parse(str(path))
    assert cfg.threshold == 0.5  # it answers as what was trained
    cfg.forget_best()
    names = ("folds_count", "random_state", "primary_metric", "experiment_result", "threshold")
    assert [getattr(cfg, name) for name in names] == [3, 7, "loss", "coco_bbox_mAP", 0.3]
    before = told(path)
    cfg = generic.parse(str(path))
    cfg.threshold = 0.4
    cfg.run = replace(cfg.run, replace_finished=True)
    cfg.fit()
    assert [one.parameters for one in told(path)] != [one.parameters for one in before]  # from another seed
    own = generic.parse(str(path.parent / "trial0" / "config.yaml"))
    assert (own.folds_count, own.threshold) == (3, 0.4) and len(own.kfold().folds) == 3


def test_models_of_different_default_metrics_are_not_compared(add_experiment, monkeypatch):
    monkeypatch.setattr(Play, "primary", lambda play: REAL(play.search, play.files, play.properties).primary())
    boxes = "mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py"
    text = f"hyperparameters:\n  net: {{enum: ['{SMALL_CONFIG}', '{boxes}']}}\nmax_evals: 6\nrandom_state: 1\n"
    path = add_experiment("s", text, replace=[(f"configPath: {SMALL_CONFIG}", "configPath: net")])
    fitted(path)
    masks, without = ([t for t in told(path) if (t.parameters["net"] == boxes) is which] for which in (False, True))
    assert {trial.state for trial in masks} == {"done"} and {trial.state for trial in without} == {"failed"}
    assert all("set primary_metric" in trial.error for trial in without)
    path.write_text(path.read_text() + "primary_metric: coco_bbox_mAP\n")
    fitted(path)
    assert {trial.state for trial in told(path)} == {"done"}


@pytest.mark.parametrize(
    ("key", "value", "plain"),
    [
        ("augmentation", {"Fliplr": np.float64(0.5)}, {"Fliplr": 0.5}),
        ("augmentation", {"Affine": {"rotate": (np.int64(-5), 5)}}, {"Affine": {"rotate": [-5, 5]}}),
        ("description", np.str_("larger"), "larger"),
        ("configOptions", {"model.x": np.array([1, 2])}, {"model.x": [1, 2]}),
        ("shape", (64, 64), [64, 64]),
        ("shape", np.array([64, 64]), [64, 64]),
        ("imagesPerGpu", np.int64(2), 2),
        ("threshold", torch.tensor(0.25), 0.25),
    ],
)
@pytest.mark.parametrize("seeds", [False, True])
def test_attributes_of_numpys_kinds_reach_the_yaml_of_trials_and_seeds(search, key, value, plain, seeds):
    path = search("max_evals: 1\n")
    if seeds:
        path.write_text(path.read_text().partition("hyperparameters")[0] + "num_seeds: 1\n")
    cfg = generic.parse(str(path))
    setattr(cfg, key, value)
    if seeds:
        written = cfg.seeds()[0].files.config
    else:
        cfg.fit()
        written = path.parent / "trial0" / "config.yaml"
    assert load(written)[key] == plain


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ({"quniform": [1, 10, 4]}, {4, 8}),
        ({"quniform": [3, 17, 8]}, {8, 16}),
        ({"quniform": [-5, 5, 3]}, {-3, 0, 3}),
        ({"quniform": [0.1, 0.3, 0.1]}, {0.1, 0.2, 0.3}),
        ({"qloguniform": [1, 100, 40]}, {40, 80}),
    ],
)
def test_stepped_values_are_multiples_at_the_ends_too(declared, values):
    one = space_of({"x": declared})["x"]
    low, high = declared[next(iter(declared))][:2]
    drawn = {one.of_number(low + (high - low) * part / 50) for part in range(51)}
    assert drawn == values and set(one.ends()) == {min(values), max(values)}


@pytest.mark.parametrize(
    ("kind", "values"), [("float", [0.001, 1e-4]), ("integer", [1000, 20]), ("string", ["1e-3", "1e-4"])]
)
def test_numbers_that_yaml_reads_as_text_have_the_type_that_is_asked_for(kind, values):
    given = {"float": ["1e-3", "1e-4"], "integer": ["1e3", 20], "string": ["1e-3", "1e-4"]}[kind]
    found = space_of({"x": {"enum": given, "type": kind}})["x"].choices
    assert list(map(repr, found)) == list(map(repr, values))
