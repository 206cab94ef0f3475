"""A resumed run that is refused has moved and written nothing, whatever else it found missing."""

import pickle
import shutil

import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import UserError
from instance_segmentation_pipeline.experiment.fold_trainer import FoldOutcome, FoldTrainer
from instance_segmentation_pipeline.experiment.run_arguments import FoldRequest
from instance_segmentation_pipeline.launch.deadline import Deadline
from tests.support.folders import snapshot

pytestmark = pytest.mark.slow


@pytest.fixture
def copied(trained, tmp_path):
    """Return the YAML of a copy of the trained experiment, of which one stage has lost what going on takes."""
    root = tmp_path / "project"
    shutil.copytree(trained.parent.parent.parent, root)
    path = root / "experiments" / "exp01" / "config.yaml"
    weights = path.parent / "weights"
    (weights / "last-0.1.weights").unlink()
    (weights / "last-0.1.previous").unlink(missing_ok=True)
    rows = (path.parent / "metrics" / "metrics-0.1.csv").read_text().splitlines()
    (path.parent / "metrics" / "metrics-0.1.csv").write_text("\n".join(rows[:1]) + "\n")
    (path.parent / "summary.yaml").unlink()
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lr: 0.002", "lr: 0.004", "lr 0.002 there, 0.004 now"),
        ("imagesPerGpu: 4", "imagesPerGpu: 2", "batch"),
        ("shape: [64, 64]", "shape: [96, 96]", "train_pipeline"),
    ],
)
def test_what_was_changed_is_told_before_a_stage_is_put_aside(copied, old, new, words):
    """Fold 0 has a stage to put aside, and fold 1 settings that cannot be gone on with."""
    text = copied.read_text()
    assert old in text
    copied.write_text(text.replace(old, new))
    cfg = generic.parse(str(copied))
    cfg.setAllowResume(True)
    before = snapshot(copied.parent)
    with pytest.raises(UserError, match=rf"(?s)was trained with other settings.*{words}"):
        cfg.fit()
    assert snapshot(copied.parent) == before


def test_a_fold_that_is_finished_comes_back_as_what_any_process_can_send(trained, tmp_path):
    root = tmp_path / "project"
    shutil.copytree(trained.parent.parent.parent, root)
    cfg = generic.parse(str(root / "experiments" / "exp01" / "config.yaml"))
    cfg.setAllowResume(True)
    request = FoldRequest(1, 0)
    run = cfg.run
    outcome = FoldTrainer(cfg).train(request, cfg.executor(), Deadline())
    assert outcome == FoldOutcome(request, stopped=False) == pickle.loads(pickle.dumps(outcome))
    assert cfg.run is run
