"""``trackers`` in real trainings: a run for each fold and stage, the same one when it is gone on with."""

import pytest
from musket_core import generic
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from instance_segmentation_pipeline.storage.metrics_csv import read_rows

pytestmark = pytest.mark.slow

EXTRA = """folds_count: 2
verbose: 0
trackers: [tensorboard, mlflow]
description: small shapes
tags: {team: ours}
showDataExamples: true
"""


def runs_of(project):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(project / "mlruns").as_uri())
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return client, {run.data.tags["mlflow.runName"]: run for run in found}


def test_folds_side_by_side_each_have_their_run(project, add_experiment, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # of this process, which reads what others wrote
    path = add_experiment("group/exp01", EXTRA, replace=[("  - epochs: 1\n", "  - epochs: 2\n")])
    cfg = generic.parse(str(path))
    cfg.num_gpus = cfg.num_workers = 2
    cfg.expires = 0.0
    cfg.fit()
    _, before = runs_of(project)
    assert "fold 0 stage 0" in before, "fold 1 may not have begun when time was over"
    cfg = generic.parse(str(path))
    cfg.num_gpus = cfg.num_workers = 2
    cfg.setAllowResume(True)
    cfg.fit()
    client, after = runs_of(project)
    assert sorted(after) == ["fold 0 stage 0", "fold 1 stage 0"]
    assert {name: after[name].info.run_id for name in before} == {name: run.info.run_id for name, run in before.items()}
    for fold in range(2):
        files = cfg.files.stage(fold, 0)
        rows = read_rows(files.metrics)
        run = after[f"fold {fold} stage 0"]
        history = client.get_metric_history(run.info.run_id, "loss")
        assert sorted((one.step, one.value) for one in history) == [
            (row["epoch"], pytest.approx(row["loss"], rel=1e-4)) for row in rows
        ]
        assert run.info.status == "FINISHED"
        assert run.data.params["classes"] == "3"
        assert run.data.tags["team"] == "ours"
        assert "summary/coco_segm_mAP/mean" in run.data.metrics
        folders = {one.path for one in client.list_artifacts(run.info.run_id)}
        assert {"examples", "training", "learning curves", "reports"} <= folders
        events = EventAccumulator(str(files.event_files))
        events.Reload()
        assert [one.step for one in events.Scalars("val_loss")] == [0, 1]
        assert [one.step for one in events.Images("examples")] == [0, 1]
    cfg.generateReports()
    assert len(client.get_metric_history(after["fold 0 stage 0"].info.run_id, "summary/coco_segm_mAP/mean")) == 1
    fresh = generic.parse(str(path))
    fresh.refit, fresh.trackers = True, "tensorboard"
    fresh.fit(foldsToExecute=[0])
    assert list((path.parent / "previous").rglob("trackers/0.0.json"))
    assert list((path.parent / "previous").rglob("tensorboard/0.0/events*"))
    assert (path.parent / "tensorboard" / "1.0").exists()
    _, last = runs_of(project)
    assert len(last) == 2
