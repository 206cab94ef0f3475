"""``completed`` in ``summary.yaml``: all folds are trained to their end, in however many runs."""

import pytest
import yaml

from instance_segmentation_pipeline.cli import fit, predict
from tests.support.project import SMALL_CONFIG

pytestmark = pytest.mark.slow


@pytest.fixture
def train(project, add_experiment):
    """Return a function that runs ``musket fit`` on an experiment of two folds, and gives back its summary."""

    def make(extra="", replace=()):
        path = add_experiment(extra=f"folds_count: 2\n{extra}", replace=replace)

        def run(*flags):
            assert fit.main(["--project", str(project), "--name", "exp01", *flags]) == 0
            summary = path.parent / "summary.yaml"
            return yaml.safe_load(summary.read_text()) if summary.exists() else None

        return path, run

    return make


TWO_EPOCHS = [("- epochs: 1", "- epochs: 2")]
RESUME = ("--allow_resume", "true")


@pytest.mark.parametrize("resume", [(), RESUME], ids=["anew", "resumed"])
@pytest.mark.parametrize("extra", ["", "num_seeds: 2\n"], ids=["one", "seeds"])
def test_folds_in_runs_of_their_own(train, project, tmp_path, extra, resume, capsys):
    path, run = train(extra)
    first = run("--folds", "0")
    assert (first["completed"], first["folds"]) == (False, [0])
    weights = sorted(path.parent.rglob("best-0.0.weights"))
    before = [file.stat().st_mtime_ns for file in weights]
    both = run("--folds", "1", *resume)
    assert (both["completed"], both["folds"]) == (True, [0, 1])
    assert [file.stat().st_mtime_ns for file in weights] == before
    capsys.readouterr()
    assert fit.main(["--project", str(project)]) == 0
    assert "nothing to train" in capsys.readouterr().out
    (tmp_path / "images").mkdir()
    assert (
        predict.main(
            ["--project", str(project), "--input", str(tmp_path / "images"), "--output", str(tmp_path / "found")]
        )
        != 1
    )
    assert "none" not in capsys.readouterr().err


def test_a_fold_that_was_trained_otherwise_is_not_reported_with_others(train):
    path, run = train()
    run("--folds", "0")
    path.write_text(path.read_text().replace("- epochs: 1", "- epochs: 1\n    lr: 0.0123"))
    summary = run("--folds", "1")
    assert (summary["completed"], summary["folds"]) == (False, [1])


def test_a_report_of_folds_that_time_ended(train):
    _, run = train(replace=TWO_EPOCHS)
    assert run("--folds", "0", "--time", "0") is None
    assert run("--folds", "1", "--time", "0", *RESUME) is None
    report = run("--only_report", "true")
    assert (report["completed"], report["folds"]) == (False, [0, 1])
    whole = run(*RESUME)
    assert (whole["completed"], whole["folds"]) == (True, [0, 1])
    assert run("--only_report", "true")["completed"]


def test_a_hook_that_ends_a_stage_completes_it(train):
    native = SMALL_CONFIG.with_name("early.py")
    path, run = train(replace=[*TWO_EPOCHS, ("- epochs: 2", "- epochs: 5")])
    native = path.parent / "early.py"
    native.write_text(
        f"_base_ = {str(SMALL_CONFIG)!r}\n"
        "custom_hooks = [dict(type='EarlyStoppingHook', monitor='loss', rule='less', patience=1, min_delta=100.0)]\n"
    )
    path.write_text(path.read_text().replace(str(SMALL_CONFIG), "early.py"))
    assert run()["completed"]
    rows = (path.parent / "metrics" / "metrics-0.0.csv").read_text()
    assert len(rows.splitlines()) < 6
    assert run("--only_report", "true")["completed"]
    assert run(*RESUME)["completed"]
    assert (path.parent / "metrics" / "metrics-0.0.csv").read_text() == rows
