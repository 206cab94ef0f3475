"""``trackers: [wandb]`` with the real client: runs kept offline and read back, servers that are gone, logins."""

import contextlib
import json
import os
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.experiment.tracking import check_trackers
from instance_segmentation_pipeline.training.trackers import base
from instance_segmentation_pipeline.training.trackers.base import RunFacts, TrackedRun
from tests.support.terminals import shown_on_terminal
from tests.support.wandb_files import offline_runs

wandb = pytest.importorskip("wandb")

pytestmark = pytest.mark.filterwarnings("ignore:::wandb")

ROWS = [
    {"epoch": epoch, "lr": 0.1 / (epoch + 1), "loss": 1 / (epoch + 1), "val_coco_segm_mAP": epoch / 10, "val_x": np.nan}
    for epoch in range(4)
]


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def place(tmp_path):
    """Return what makes the tracker of one run anew, as each start of a training does, and the lines that were said."""
    from instance_segmentation_pipeline.training.trackers.wandb import WandbTracker

    facts = RunFacts(
        "group/exp01", "fold 0 stage 1", tmp_path, "of coins", {"team": "a", "b": "true"}, {"stages.0.lr": "1"}
    )
    said = []

    def made(mode="offline"):
        trackers = {"wandb": WandbTracker(tmp_path / "wandb" / "0.1", "a/project", None, mode)}
        return TrackedRun(facts, tmp_path / "trackers" / "0.1.json", trackers, said.append)

    for epoch in range(4):
        Image.fromarray(np.full((8, 8, 3), 60 * epoch, np.uint8)).save(tmp_path / f"{epoch}.jpg")
    pictures = [("examples", tmp_path / f"{epoch}.jpg", epoch) for epoch in range(4)]
    return tmp_path, made, pictures, said


def losses(run):
    return [(row["_step"], row["loss"]) for row in run["rows"]]


@pytest.mark.parametrize("cut", [None, 2])
def test_a_run_has_each_epoch_once(place, cut):
    """One that is gone on with after a kill keeps its id, and is one folder, which ``wandb sync`` sends whole."""
    folder, made, pictures, said = place
    run = made()
    for epoch in range(1, 5):
        run.tell(ROWS[:epoch], pictures[:epoch])
        if epoch == cut:
            known = json.loads((folder / "trackers" / "0.1.json").read_text())["wandb"]["id"]
            wandb.teardown(exit_code=1)
            run = made()
            run.tell(ROWS[:epoch], pictures[:epoch])
    run.close(finished=False)
    run = made()  # the summary is told by another process
    run.tell(ROWS, pictures)
    run.tell_summary({"coco_segm_mAP/mean": 0.25, "nothing": float("nan")}, [("reports/a", folder / "3.jpg")], 4)
    run.close(finished=True)
    (found,) = offline_runs(folder / "wandb")
    assert losses(found) == [(row["epoch"], row["loss"]) for row in ROWS]
    assert all("examples/path" in row and "val_x" not in row for row in found["rows"])
    assert found["summary"]["summary/coco_segm_mAP/mean"] == 0.25
    assert "summary/nothing" not in found["summary"]
    assert found["summary"]["reports/a"]["_type"] == "image-file"
    assert len(found["files"]) == 5
    assert (found["name"], found["group"], found["project"]) == ("fold 0 stage 1", "group/exp01", "a-project")
    assert (found["notes"], sorted(found["tags"])) == ("of coins", ["b", "team: a"])
    assert found["config"] == {"stages.0.lr": "1"}
    assert found["exit"] == 0
    assert found["id"] == json.loads((folder / "trackers" / "0.1.json").read_text())["wandb"]["id"]
    assert cut is None or found["id"] == known
    assert not said


def test_a_server_that_is_gone_costs_a_line(place, monkeypatch):
    folder, made, pictures, said = place
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    run = made("online")
    for epoch in range(1, 3):
        run.tell(ROWS[:epoch], pictures[:epoch])
    run.close(finished=False)
    assert len(said) == 1
    assert "fold 0 stage 1: wandb cannot be told" in said[0]
    assert "is in use" not in said[0]
    later = made("offline")  # what it has missed is told
    later.tell(ROWS, pictures)
    later.close(finished=True)
    assert losses(offline_runs(folder / "wandb")[0]) == [(row["epoch"], row["loss"]) for row in ROWS]


@pytest.mark.parametrize("killed_after", [1, 2, 4])
def test_a_service_that_was_killed_is_started_anew(place, killed_after):
    """Also one that is missed at the end only: rows are handed to it without an answer."""
    folder, made, pictures, said = place
    run = made()
    for epoch in range(1, 5):
        run.tell(ROWS[:epoch], pictures[:epoch])
        if epoch == killed_after:
            end_services()
    run.tell_summary({"coco_segm_mAP/mean": 0.25}, [], 4)
    run.close(finished=True)
    assert len(said) == 1
    assert "wandb cannot be told" in said[0]
    (found,) = offline_runs(folder / "wandb")
    assert losses(found) == [(row["epoch"], row["loss"]) for row in ROWS]
    assert found["summary"]["summary/coco_segm_mAP/mean"] == 0.25


def end_services():
    """Kill the processes of wandb's that this process has started."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"wandb-core" in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def test_a_login_that_is_gone_costs_a_line(place):
    _, made, pictures, said = place
    run = made("online")
    run.tell(ROWS, pictures)
    run.close(finished=True)
    assert len(said) == 1
    assert "there is no login" in said[0]


def test_without_a_login_training_does_not_begin(tmp_path, monkeypatch):
    for given in ({}, {"mode": "online"}):
        with pytest.raises(ConfigError, match="has no login: run `wandb login`, set WANDB_API_KEY, or .*offline"):
            check_trackers([{"wandb": given}])
    check_trackers([{"wandb": {"mode": "offline"}}])
    host = urlsplit(wandb.setup().settings.base_url).hostname
    (tmp_path / "logins").write_text(f"machine {host}\n  login user\n  password " + "a" * 40 + "\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "logins"))
    check_trackers([{"wandb": {}}])
    (tmp_path / "logins").write_text("machine\n")
    with pytest.raises(ConfigError, match="has no login"):
        check_trackers([{"wandb": {}}])
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    check_trackers([{"wandb": {}}])
    monkeypatch.setenv("WANDB_API_KEY", "a b")
    with pytest.raises(ConfigError, match="wandb cannot log in .*: run `wandb login`"):
        check_trackers([{"wandb": {}}])
    monkeypatch.delenv("WANDB_API_KEY")
    wandb.teardown()  # it reads its environment variables once
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_trackers([{"wandb": {}}])
    with pytest.raises(ConfigError, match="has no login"):
        check_trackers([{"wandb": {"mode": "online"}}])


def test_one_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda name: None if name == "wandb" else object())
    with pytest.raises(ConfigError, match="wandb is not installed: pip install wandb"):
        check_trackers([{"tensorboard": {}}, {"wandb": {}}])


def test_nothing_is_asked_at_a_terminal(place):
    """Neither the check nor a run that begins asks a process that has a terminal for a login."""
    _, made, _, said = place

    def work():
        with pytest.raises(ConfigError):
            check_trackers([{"wandb": {}}])
        made("online").tell(ROWS, [])
        assert "there is no login" in said[0]

    assert shown_on_terminal(work) == ""
