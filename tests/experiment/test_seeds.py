"""One experiment trained with several seeds: folders, summary, blend, side by side, resuming."""

import json

import numpy as np
import pytest
import yaml
from musket_core import generic
from musket_core.model import AverageBlend, FoldsAndStages
from musket_core.projects import Project
from musket_core.tools import ModelSpec

from instance_segmentation_pipeline.cli import analize, fit
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.storage.yaml_files import read_yaml

pytestmark = pytest.mark.slow

SEEDS = "num_seeds: 2\nfolds_count: 2\ntestSplit: 0.25\nstorage_threshold: 0.0\n"


def first_tensor(path):
    return next(iter(read_checkpoint(path)["state_dict"].values())).numpy()


def test_an_experiment_of_two_seeds(add_experiment, project, capfd):
    path = add_experiment("twice", extra=SEEDS, replace=[("count: 12", "count: 24")])
    relative = path.parent.parent.parent / "native.py"
    relative.write_text(f"_base_ = {str(generic.parse(str(path)).configPath)!r}\n")
    text = path.read_text().replace(f"configPath: {generic.parse(str(path)).configPath}", "configPath: ../../native.py")
    path.write_text(text)
    arguments = ["--project", str(project), "--name", "twice"]
    assert fit.main([*arguments, "--num_gpus", "2", "--num_workers", "2"]) == 0
    out, _ = capfd.readouterr()
    assert "seed 1 0 " in out  # a row of the table
    cfg = generic.parse(str(path))
    first, second = cfg.members()
    assert (first.seed, second.seed) == (0, 1)
    assert first.files.root == path.parent / "0"
    assert [list(fold[1]) for fold in first.kfold().folds] == [list(fold[1]) for fold in second.kfold().folds]
    weights = [member.files.stage(1, 0).best_weights for member in (first, second)]
    assert not np.array_equal(first_tensor(weights[0]), first_tensor(weights[1]))

    summary = read_yaml(path.parent / "summary.yaml")
    ones = [read_yaml(member.files.summary) for member in (first, second)]
    assert summary["seeds"] == [0, 1]
    losses = [one["stages"][0]["loss"]["mean"] for one in ones]
    assert summary["stages"][0]["loss"]["mean"] == np.float64(np.mean(losses)).round(6)
    assert "coco_segm_mAP_holdout" in summary["allStages"]

    blend = cfg.predictions("holdout")
    assert len(json.loads(blend.fingerprint)["members"]) == 4
    assert len(cfg.predictions("validation")) == 18
    assert len(cfg.load_model([0, 1]).members) == 4

    experiment = Project(str(project)).byName("twice")
    assert [one.files.root.name for one in experiment.apply(True)] == ["0", "1"]
    assert all(one.isCompleted() for one in experiment.concrete())
    spec = ModelSpec(hasSeeds=True, seeds="MANUAL", seed_numbers=[1])
    chosen = spec.wrap(experiment.parse_config(), experiment)
    assert isinstance(chosen, FoldsAndStages)
    assert chosen.wrapped.seed == 1
    spec.seed_numbers = [0, 1]
    assert isinstance(spec.wrap(experiment.parse_config(), experiment), AverageBlend)

    assert analize.main(["--inputFolder", str(project)]) == 0
    assert "twice" in (project / "report.csv").read_text()
    assert "No pictures" not in (project / "report.html").read_text()

    stamp = weights[0].stat().st_mtime_ns
    (second.files.root / "weights" / "last-1.0.weights").unlink()
    (path.parent / "summary.yaml").unlink()
    assert fit.main([*arguments, "--allow_resume", "true"]) == 0
    assert weights[0].stat().st_mtime_ns == stamp
    assert yaml.safe_load((path.parent / "summary.yaml").read_text())["completed"]
