"""A resume with something missing: it is made again, or the stage is trained anew; no fold vanishes."""

import shutil

import pytest
import yaml
from musket_core import generic
from musket_core.projects import Project

from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from tests.support.folders import snapshot

pytestmark = pytest.mark.slow

BEST, LAST, CSV = "weights/best-1.1.weights", "weights/last-1.1.weights", "metrics/metrics-1.1.csv"


@pytest.fixture
def path(trained, tmp_path):
    shutil.copytree(trained.parents[2], tmp_path / "project")
    return tmp_path / "project" / "experiments" / "exp01" / "config.yaml"


def resume(path):
    experiment = Project(str(path.parents[2])).byName("exp01")
    experiment.allowResume = True
    experiment.fit()
    return yaml.safe_load((path.parent / "summary.yaml").read_text())


def cut(file):
    file.write_bytes(file.read_bytes()[:-7])


@pytest.mark.parametrize(
    ("gone", "torn"),
    [
        ([CSV], []),
        ([], [CSV]),
        ([LAST], []),
        ([BEST], []),
        (["summary.yaml"], []),
        (["config.yaml.folds_split", "config.yaml.holdout_split", "summary.yaml"], []),
        ([BEST, CSV], []),
        (["predictions/", "reports/", "logs/", "examples/"], []),
    ],
)
def test_what_can_be_made_again(path, gone, torn):
    """Its last stage has one epoch, which is the best: nothing has to be trained."""
    before = snapshot(path.parent)
    for name in gone:
        shutil.rmtree(path.parent / name) if name.endswith("/") else (path.parent / name).unlink()
    for name in torn:
        cut(path.parent / name)
    summary = resume(path)
    assert summary["folds"] == [0, 1]
    assert summary["completed"] is True
    now = snapshot(path.parent)
    assert {name for name in before if name.startswith(("metrics/", "weights/best"))} <= set(now)
    kept = {name: content for name, content in before.items() if name.startswith("weights/") and name not in gone}
    assert kept == {name: now[name] for name in kept}
    assert before[CSV] == now[CSV]
    assert not (path.parent / "previous").exists()
    assert read_checkpoint(path.parent / BEST)["state_dict"].keys()


def test_what_cannot_be_made_again_is_trained_anew(path, capsys):
    files = generic.parse(str(path)).files.stage(0, 0)
    rows = read_rows(files.metrics)
    assert len(rows) == 2
    files.best_weights.unlink()
    files.metrics.unlink()
    last = files.last_weights.read_bytes()
    checkpoint = read_checkpoint(files.last_weights)
    del checkpoint["meta"]["rows"]  # as an earlier version wrote it
    import torch

    torch.save(checkpoint, files.last_weights)
    assert len(last) > 0
    summary = resume(path)
    assert summary["folds"] == [0, 1]
    assert "fold 0 stage 0 is trained anew, metrics-0.0.csv is missing or damaged" in capsys.readouterr().out
    assert read_rows(files.metrics) == rows
    assert files.best_weights.exists()
    (kept,) = (path.parent / "previous").iterdir()
    assert "weights/last-0.0.weights" in snapshot(kept)


def test_the_advice_about_damaged_checkpoints_works(path):
    files = generic.parse(str(path)).files.stage(1, 1)
    files.previous_weights.unlink(missing_ok=True)
    cut(files.last_weights)
    with pytest.raises(WeightsError, match="delete it to train that stage anew"):
        resume(path)
    files.last_weights.unlink()
    assert resume(path)["folds"] == [0, 1]


def test_a_fold_alone_does_not_complete_the_experiment(trained, path):
    for number in (0, 1):
        (path.parent / "weights" / f"best-1.{number}.weights").unlink()
    experiment = Project(str(path.parents[2])).byName("exp01")
    experiment.onlyReports = True
    experiment.fit()
    assert not experiment.isCompleted()
    assert yaml.safe_load((path.parent / "summary.yaml").read_text())["folds"] == [0]
    cfg = generic.parse(str(path))
    with pytest.raises(WeightsError, match="fold 1 stage 0 is not trained"):
        cfg.generateReports([0, 1])
