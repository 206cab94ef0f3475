"""``cfg.lr_find`` and ``musket lr_find``: the rates, where they end, and that nothing is touched by looking for them."""

import contextlib
import io
import math
import shutil

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from musket_core import generic
from musket_core.lr_finder import LRFinder

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.errors import ConfigError, WeightsError
from instance_segmentation_pipeline.experiment.rate_finder import RateRequest
from instance_segmentation_pipeline.training import rng_state
from instance_segmentation_pipeline.tuning.rate_suggestion import FEWEST, suggested_rate
from tests.support.project import FAST, SHAPES, SMALL_CONFIG

TWO_STAGES = ("  - epochs: 1\n", "  - epochs: 1\n  - epochs: 1\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("rates")
    shutil.copytree(SHAPES / "modules", root / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    return root / "experiments"


def written(folder, name, extra="", stages=("", "")):
    path = folder / name / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FAST.format(config=SMALL_CONFIG, extra=extra).replace(*stages))
    return path


def files_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def states():
    return rng_state.take()


def weights(path):
    return torch.load(path, weights_only=False)["state_dict"]


@pytest.fixture(scope="module")
def looked(folder):
    """An experiment that rates were looked for on, twice, and then trained; and its folder and states before."""
    path = written(folder, "looked", "folds_count: 2\n")
    cfg = generic.parse(str(path))
    torch.manual_seed(3)
    before = files_in(folder), states()
    finders = [cfg.lr_find(foldsToExecute=[1], start_lr=1e-5, end_lr=1e-2, epochs=2) for _ in range(2)]
    after = files_in(folder), states()
    cfg.fit(foldsToExecute=[1])
    return path, before, after, finders


def test_finder_is_musket_cores_and_its_plots_work(looked):
    finder = looked[3][0]
    assert type(finder) is LRFinder
    for plot in (finder.plot_loss, finder.plot_loss_change):
        figure = plt.figure()
        plot(n_skip_beginning=1, n_skip_end=1)
        assert len(figure.axes[0].lines[0].get_xdata()) == len(finder.lrs) - 2
        plt.close(figure)


def test_rates_rise_by_a_factor_over_all_batches(looked):
    finder = looked[3][0]
    batches = len(finder.lrs)
    assert len(finder.losses) == batches and batches % 2 == 0
    assert finder.lrs == pytest.approx([1e-5 * (1e-2 / 1e-5) ** (number / batches) for number in range(batches)])
    assert finder.best_loss == min(finder.losses)


def test_no_file_and_no_random_state_is_touched(looked):
    _, before, after, finders = looked
    assert before[0] == after[0]
    assert str(before[1]) == str(after[1])
    assert torch.equal(before[1]["torch"], after[1]["torch"])
    assert torch.equal(before[1]["numpy"][1], after[1]["numpy"][1])
    assert finders[0].losses == finders[1].losses


def test_what_is_trained_afterwards_has_the_same_bits(looked, folder):
    other = written(folder, "other", "folds_count: 2\n")
    generic.parse(str(other)).fit(foldsToExecute=[1])
    first, second = (weights(path.parent / "weights" / "last-1.0.weights") for path in (looked[0], other))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_later_stage_starts_from_what_is_trained(looked, folder):
    path = written(folder, "untrained", "", TWO_STAGES)
    with pytest.raises(WeightsError, match="train that stage first"):
        generic.parse(str(path)).lr_find(stage=1, epochs=1)
    assert not (path.parent / "weights").exists()
    shutil.copytree(looked[0].parent / "weights", path.parent / "weights")
    (path.parent / "weights" / "best-1.0.weights").rename(path.parent / "weights" / "best-0.0.weights")
    trained = generic.parse(str(path)).lr_find(stage=1, epochs=1, start_lr=1e-9, end_lr=1e-8)
    fresh = generic.parse(str(path)).lr_find(stage=0, epochs=1, start_lr=1e-9, end_lr=1e-8)
    assert trained.losses != fresh.losses


def test_loss_of_four_times_the_lowest_ends_it(folder):
    path = written(folder, "diverging", "optimizer: SGD\n")
    finder = generic.parse(str(path)).lr_find(start_lr=1e-3, end_lr=1000, epochs=8)
    last = finder.losses[-1]
    assert len(finder.losses) < 24
    assert not math.isfinite(last) or last > 4 * min(finder.losses)


def test_gradients_are_clipped(folder):
    path = written(folder, "clipped", "optimizer: SGD\nclipnorm: 0.000000001\n")
    finder = generic.parse(str(path)).lr_find(start_lr=1e-3, end_lr=100, epochs=2)
    assert len(finder.losses) % 2 == 0 and math.isfinite(finder.losses[-1])


def test_gradients_are_accumulated(folder):
    """Within an epoch whose batches make one step, the loss does not depend on the rate."""
    path = written(folder, "accumulated", "optimizer: SGD\naccumulation: 100\n")
    low, high = (
        generic.parse(str(path)).lr_find(start_lr=rate, end_lr=rate * 2, epochs=1).losses for rate in (1e-9, 10.0)
    )
    assert len(low) > 1 and low == high


REQUEST = {"folds": None, "stage": 0, "subsample": 1.0, "start_lr": 1e-6, "end_lr": 1.0, "epochs": 5, "stages": 2}
WRONG = {
    "folds": ["0", b"0", 0, [], [0, 1], [-1], [True], [0.5], ["0"], [None], {0}, {0: 1}],
    "stage": [-1, 2, 0.0, "0", None, True, [0]],
    "subsample": [0, -1, 1.5, "1", None, True, math.nan, [1]],
    "start_lr": [0, -1, 1.0, 2.0, 5000, "fast", "", None, True, math.nan, math.inf, [1], {}, "1" * 100],
    "end_lr": [0, -1, 1e-6, 1e-7, 5000, "fast", "", None, True, math.nan, math.inf, -math.inf, [1], {}],
    "epochs": [0, -1, 10_001, 1.5, "5", None, True, [5], math.nan],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_wrong_arguments_are_told_by_name(name, value):
    called = {"folds": "foldsToExecute"}.get(name, "_lr" if name.endswith("_lr") else name)
    with pytest.raises(ConfigError, match=called) as told:
        RateRequest.of(**{**REQUEST, name: value})
    assert "\n" not in str(told.value) and len(str(told.value)) < 400


@pytest.mark.parametrize("value", [1e-3, "1e-3", np.float32(1e-3), np.float64(1e-3)])
def test_rates_may_be_numbers_of_any_kind(value):
    assert RateRequest.of(**{**REQUEST, "start_lr": value}).rates.start == pytest.approx(1e-3)


def curve(steep, diverge, count=200, noise=0.0):
    """Return rates, and a loss that falls around ``steep`` and rises at ``diverge``."""
    lrs = np.geomspace(1e-6, 10, count)
    losses = 4 - 3 / (1 + (steep / lrs) ** 2) + (lrs / diverge) ** 4
    losses = losses + noise * np.random.default_rng(0).standard_normal(count)
    end = next((number for number, loss in enumerate(losses) if loss > 16), count - 1)
    return lrs[: end + 1].tolist(), losses[: end + 1].tolist()


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_suggestion_is_where_the_loss_falls_fastest(noise):
    suggestion = suggested_rate(*curve(1e-3, 1.0, noise=noise))
    assert 4e-4 < suggestion.rate < 2.5e-3
    assert suggestion.rate == suggestion.steepest and "falls fastest" in suggestion.reason
    assert 0.1 < suggestion.below_divergence < 0.3


def test_single_batches_without_objects_do_not_mislead_the_suggestion():
    lrs, losses = curve(1e-3, 1.0)
    losses[20] = losses[90] = 0.0
    assert 4e-4 < suggested_rate(lrs, losses).rate < 2.5e-3


def test_loss_that_only_diverges_speaks_for_a_tenth():
    lrs = np.geomspace(1e-6, 1, 100).tolist()
    losses = [1.0 + 0.001 * number for number in range(99)] + [math.nan]
    suggestion = suggested_rate(lrs, losses)
    assert suggestion.steepest is None
    assert suggestion.rate == pytest.approx(0.1) and "order of magnitude" in suggestion.reason


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([4.0] * (FEWEST - 1), "at least"),
        ([4.0, math.nan], "at least"),
        ([4.0] * 50, "neither fell nor diverged"),
        ([4.0 + 0.01 * number for number in range(50)], "neither fell nor diverged"),
    ],
)
def test_sweep_that_speaks_for_nothing_is_told(losses, words):
    with pytest.raises(ConfigError, match=words):
        suggested_rate(np.geomspace(1e-6, 1, len(losses)).tolist(), losses)


def told(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(["lr_find", *map(str, arguments)])
        except SystemExit as end:
            status = end.code
    return status, out.getvalue(), err.getvalue()


def test_command_writes_picture_and_suggestion(folder):
    path = written(folder, "command", "optimizer: SGD\n")
    status, out, err = told("--project", folder.parent, "--name", "command", "--epochs", 8, "--end_lr", 1000)
    assert status == 0, err
    assert "suggestion: lr: " in out
    assert {one.name for one in path.parent.iterdir()} == {"config.yaml", "lr_find.csv", "lr_find.png"}
    rows = (path.parent / "lr_find.csv").read_text().splitlines()
    assert rows[0] == "lr,loss" and float(rows[1].split(",")[0]) == 1e-6


def test_command_without_suggestion_returns_1(folder, tmp_path):
    written(folder, "command", "optimizer: SGD\n")
    picture = tmp_path / "rates.png"
    status, _, err = told("--project", folder.parent, "--name", "command", "--epochs", 1, "--output", picture)
    assert status == 1 and "no suggestion" in err
    assert picture.exists() and picture.with_suffix(".csv").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--start_lr", "0"],
        ["--start_lr", "fast"],
        ["--start_lr", "2"],
        ["--end_lr", "-1"],
        ["--end_lr", "1e-9"],
        ["--end_lr", "nan"],
        ["--epochs", "0"],
        ["--epochs", "1.5"],
        ["--epochs", ""],
        ["--fold", "-1"],
        ["--fold", "0,1"],
        ["--fold", "7"],
        ["--stage", "x"],
        ["--stage", "3"],
        ["--subsample", "0"],
        ["--subsample", "2"],
        ["--subsample", "half"],
        ["--output", "rates.jpg"],
        ["--output", "nowhere/rates.png"],
        ["--name", "nothing"],
        ["--folds", "0"],
    ],
    ids=" ".join,
)
def test_wrong_flags_return_2(folder, flags):
    path = written(folder, "flags")
    status, _, err = told("--project", folder.parent, *(["--name", "flags"] if "--name" not in flags else []), *flags)
    assert status == 2, err
    assert flags[0].lstrip("-").partition("s")[0] in err
    assert [one.name for one in path.parent.iterdir()] == ["config.yaml"]
