"""Trackers of several seeds, and of a net that several processes train: a run for each seed, told by one process."""

import json
from types import SimpleNamespace

from musket_core import generic

from instance_segmentation_pipeline.experiment.tracking import tracked_run
from instance_segmentation_pipeline.launch.process_group import run_group
from instance_segmentation_pipeline.storage.experiment_files import StageFiles
from instance_segmentation_pipeline.training.hooks.tracking import Tracking
from instance_segmentation_pipeline.training.trackers.base import RunFacts, TrackedRun
from instance_segmentation_pipeline.training.trackers.mlflow import MlflowTracker
from instance_segmentation_pipeline.training.trackers.tensorboard import TensorBoardTracker

ROWS = [{"epoch": epoch, "loss": 1 / (epoch + 1)} for epoch in range(2)]


def runs_of(folder):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=folder.as_uri())
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return client, {run.data.tags["mlflow.runName"]: run.info.run_id for run in found}


def test_each_seed_has_its_run(project, add_experiment, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    path = add_experiment(extra="num_seeds: 2\ntrackers: [mlflow, tensorboard]\n")
    known = []
    for epochs in (1, 2):  # begun, and gone on with
        for number, seed in enumerate(generic.parse(str(path)).seeds()):
            run = tracked_run(seed, 0, 0)
            run.tell(ROWS[:epochs], [])
            run.close(finished=epochs == 2)
            told = json.loads((path.parent / str(number) / "trackers" / "0.0.json").read_text())
            known.append(told["mlflow"]["id"])
            assert told["mlflow"]["epochs"] == epochs
            assert len(list((path.parent / str(number) / "tensorboard" / "0.0").iterdir())) == 1
    client, runs = runs_of(project / "mlruns")
    assert len(runs) == 2
    assert sorted(runs.values()) == sorted(known[:2])
    assert known[:2] == known[2:]
    for run in runs.values():
        assert [one.step for one in client.get_metric_history(run, "loss")] == [0, 1]


def test_one_of_two_processes_tells(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")

    def train(device):
        trackers = {
            "tensorboard": TensorBoardTracker(tmp_path / "events"),
            "mlflow": MlflowTracker((tmp_path / "mlruns").as_uri(), None),
        }
        run = TrackedRun(RunFacts("e", "fold 0 stage 0", tmp_path), tmp_path / "told.json", trackers, print)
        log, runner = SimpleNamespace(rows=[]), SimpleNamespace(epoch=0, max_epochs=2)
        hook = Tracking(run, log, StageFiles(tmp_path, 0, 0))
        hook.before_train(runner)
        for row in ROWS:
            log.rows.append(row)
            runner.epoch += 1
            hook.after_val_epoch(runner)
        hook.after_train(runner)

    run_group(train, ["cpu", "cpu"])
    client, runs = runs_of(tmp_path / "mlruns")
    assert list(runs) == ["fold 0 stage 0"]
    assert [one.step for one in client.get_metric_history(runs["fold 0 stage 0"], "loss")] == [0, 1]
    assert len(list((tmp_path / "events").glob("events.*"))) == 1
