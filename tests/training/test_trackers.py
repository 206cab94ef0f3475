"""Trackers with real stores: TensorBoard's event files read back, and a MLflow store of files."""

import json
import socket

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.training.trackers import base
from instance_segmentation_pipeline.training.trackers.base import RunFacts, TrackedRun, check_installed
from instance_segmentation_pipeline.training.trackers.mlflow import MlflowTracker
from instance_segmentation_pipeline.training.trackers.tensorboard import TensorBoardTracker

ROWS = [
    {"epoch": epoch, "lr": 0.1 / (epoch + 1), "loss": 1 / (epoch + 1), "val_coco_segm_mAP": epoch / 10, "val_x": np.nan}
    for epoch in range(4)
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return what makes the trackers of one run anew, as each start of a training does, and the lines that were said."""
    facts = RunFacts(
        "group/exp01", "fold 0 stage 1", tmp_path, "of coins", {"team": "a", "é?": "b"}, {"stages.0.lr": "1"}
    )
    said = []

    def made(store=None):
        store = store or (tmp_path / "mlruns").as_uri()
        trackers = {"tensorboard": TensorBoardTracker(tmp_path / "events"), "mlflow": MlflowTracker(store, None)}
        return TrackedRun(facts, tmp_path / "trackers" / "0.1.json", trackers, said.append)

    for epoch in range(4):
        Image.fromarray(np.full((8, 8, 3), 60 * epoch, np.uint8)).save(tmp_path / f"{epoch}.jpg")
    pictures = [("examples", tmp_path / f"{epoch}.jpg", epoch) for epoch in range(4)]
    return tmp_path, made, pictures, said


def of_tensorboard(folder):
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {name: [(one.step, round(one.value, 5)) for one in events.Scalars(name)] for name in tags["scalars"]}
    images = {name: [one.step for one in events.Images(name)] for name in tags["images"]}
    texts = " ".join(events.Tensors(name)[0].tensor_proto.string_val[0].decode() for name in tags["tensors"])
    return scalars, images, texts


def of_mlflow(folder):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(folder / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("group/exp01")
    runs = client.search_runs([experiment.experiment_id])
    (run,) = runs
    names = list(run.data.metrics)
    history = {
        name: sorted((one.step, round(one.value, 5)) for one in client.get_metric_history(run.info.run_id, name))
        for name in names
    }
    artifacts = [one.path for one in client.list_artifacts(run.info.run_id, "examples")]
    return run, history, artifacts


LOSSES = [(row["epoch"], round(row["loss"], 5)) for row in ROWS]


@pytest.mark.parametrize("cut", [None, 1, 2, 3])
def test_nothing_is_twice_and_nothing_missing(place, cut):
    """A training that was killed after any epoch, and gone on with, is one run with each epoch once."""
    folder, made, pictures, said = place
    run = made()
    for epoch in range(1, 5):
        run.tell(ROWS[:epoch], pictures[:epoch])
        if epoch == cut:
            state = folder / "trackers" / "0.1.json"
            told = json.loads(state.read_text())
            told["mlflow"]["epochs"] -= 1  # killed between the answer of the server and the note of it
            state.write_text(json.dumps(told))
            run = made()
            run.tell(ROWS[:epoch], pictures[:epoch])
    run.tell_summary({"coco_segm_mAP/mean": 0.25, "nothing": float("nan")}, [], 4)
    run.tell_summary({"coco_segm_mAP/mean": 0.25, "nothing": float("nan")}, [], 4)
    run.close(finished=True)
    scalars, images, texts = of_tensorboard(folder / "events")
    assert scalars["loss"] == LOSSES
    assert set(scalars) == {"loss", "lr", "val_coco_segm_mAP", "summary/coco_segm_mAP/mean"}
    assert scalars["summary/coco_segm_mAP/mean"] == [(4, 0.25)]
    assert images == {"examples": [0, 1, 2, 3]}
    for words in ("of coins", "team: a", "stages.0.lr"):
        assert words in texts
    tracked, history, artifacts = of_mlflow(folder)
    assert history["loss"] == LOSSES
    assert history["summary/coco_segm_mAP/mean"] == [(4, 0.25)]
    assert len(artifacts) == 4
    assert tracked.info.status == "FINISHED"
    assert tracked.data.params == {"stages.0.lr": "1"}
    assert tracked.data.tags["team"] == "a"
    assert tracked.data.tags["mlflow.note.content"] == "of coins"
    assert not said


def test_a_server_that_is_gone_costs_a_line(place):
    folder, made, pictures, said = place
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{free.getsockname()[1]}"
    run = made(gone)
    for epoch in range(1, 3):
        run.tell(ROWS[:epoch], pictures[:epoch])
    assert len(said) == 1
    assert "fold 0 stage 1: mlflow cannot be told" in said[0]
    assert "the training goes on" in said[0]
    assert of_tensorboard(folder / "events")[0]["loss"] == LOSSES[:2]
    run.close(finished=False)
    later = made()  # it is there again: what it has missed is told
    later.tell(ROWS, pictures)
    later.close(finished=True)
    assert of_mlflow(folder)[1]["loss"] == LOSSES


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"mlflow": 5}', '{"mlflow": {"id": "x"}}', "\0"])
def test_a_damaged_note_begins_a_run(place, content):
    folder, made, pictures, said = place
    (folder / "trackers").mkdir()
    (folder / "trackers" / "0.1.json").write_text(content)
    run = made()
    run.tell(ROWS, pictures)
    run.close(finished=True)
    assert of_mlflow(folder)[1]["loss"] == LOSSES
    assert not said


def test_a_run_that_the_store_has_lost_begins_anew(place):
    folder, made, pictures, said = place
    (folder / "trackers").mkdir()
    known = {"mlflow": {"id": "0" * 32, "epochs": 0, "pictures": [], "summary": None}}
    (folder / "trackers" / "0.1.json").write_text(json.dumps(known))
    run = made()
    run.tell(ROWS, pictures)
    run.close(finished=True)
    assert of_mlflow(folder)[1]["loss"] == LOSSES
    assert not said


def test_one_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda name: None if name == "mlflow" else object())
    check_installed([{"tensorboard": {}}])
    with pytest.raises(ConfigError, match="mlflow is not installed: pip install mlflow-skinny"):
        check_installed([{"tensorboard": {}}, {"mlflow": {}}])
