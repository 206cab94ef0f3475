"""What of a project is copied to a machine that does not see it, links of all kinds included."""

import os
import time
from pathlib import Path

import pytest

from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.launch import project_sync
from instance_segmentation_pipeline.launch.project_sync import ProjectServer, synced_copy


@pytest.fixture
def experiment(tmp_path):
    """Return the YAML of an experiment in a project with data."""
    root = tmp_path / "project"
    config = write(root / "experiments" / "exp" / "config.yaml")
    write(root / "data" / "one.png")
    return config


def write(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def copied(experiment):
    """Return a function that copies the project, and returns the names of all files in the copy, links followed once."""

    def copy():
        root = experiment.parents[2]
        courier = ProjectServer(str(root), str(experiment))
        with synced_copy(courier.pack(), courier.where(), {}.__setitem__) as path:
            assert path.read_bytes() == b"x"
            there = path.parents[2]
            found = {}
            for folder, folders, files in os.walk(there):
                for name in [*files, *folders]:
                    entry = os.path.join(folder, name)
                    if os.path.isfile(entry):
                        found[os.path.relpath(entry, there)] = Path(entry).read_bytes()
                    elif os.path.islink(entry):
                        found[os.path.relpath(entry, there)] = sorted(os.listdir(entry))
            return found

    return copy


@pytest.mark.parametrize("name", ["examples", "reports", "logs", "predictions", "previous", "weights", ".hidden"])
def test_no_folder_of_data_is_left_behind(experiment, copied, name):
    root = experiment.parents[2]
    for folder in ("data", "data/deeper", "modules"):
        write(root / folder / name / "a.png")
    write(experiment.parent / "data" / name / "a.png")
    found = copied()
    assert {f"{folder}/{name}/a.png" for folder in ("data", "data/deeper", "modules", "experiments/exp/data")} <= set(
        found
    )


def test_what_can_be_made_anew_is_left_behind(experiment, copied):
    root = experiment.parents[2]
    for name in (*project_sync.LEFT_OUT[:-1], ".cache"):
        write(experiment.parent / name / "a.png")
    write(experiment.parent / "weights" / "best-0.0.weights")
    write(experiment.parent / "weights" / ".best-0.0.weights.tmp-1")
    write(experiment.parent / "fit.lock")
    write(root / "experiments" / "other" / "config.yaml")
    write(root / ".venv" / "python")
    write(root / "modules" / "__pycache__" / "a.pyc")
    assert set(copied()) == {
        "experiments/exp/config.yaml",
        "experiments/exp/weights/best-0.0.weights",
        "data/one.png",
    }


def circle(root, tmp_path):
    (root / "data" / "again").symlink_to(root / "data")


def circle_of_two(root, tmp_path):
    (root / "data" / "a").mkdir()
    (root / "data" / "b").mkdir()
    (root / "data" / "a" / "to_b").symlink_to("../b")
    (root / "data" / "b" / "to_a").symlink_to("../a")


def itself(root, tmp_path):
    (root / "data" / "self").symlink_to("self")


def to_nothing(root, tmp_path):
    (root / "data" / "gone.png").symlink_to(tmp_path / "gone.png")


def to_the_project(root, tmp_path):
    (root / "data" / "top").symlink_to(root)


def circle_outside(root, tmp_path):
    write(tmp_path / "store" / "two.png")
    (tmp_path / "store" / "again").symlink_to(tmp_path / "store")
    (root / "data" / "store").symlink_to(tmp_path / "store")


def pipe(root, tmp_path):
    os.mkfifo(root / "data" / "pipe")


@pytest.mark.parametrize(
    "trouble",
    [circle, circle_of_two, itself, to_nothing, to_the_project, circle_outside, pipe],
    ids=lambda one: one.__name__,
)
def test_links_end(experiment, copied, tmp_path, trouble):
    trouble(experiment.parents[2], tmp_path)
    found = copied()
    assert found["data/one.png"] == b"x"
    assert len(found) < 8


def test_links_lead_to_the_same(experiment, copied, tmp_path):
    """Into the project they stay links; what lies outside, or is left out, is copied in their place."""
    root = experiment.parents[2]
    write(tmp_path / "store" / "set" / "two.png", b"two")
    write(experiment.parent / "predictions" / "three.png", b"three")
    (root / "data" / "twin.png").symlink_to("one.png")
    (root / "data" / "store").symlink_to(tmp_path / "store")
    (root / "data" / "stored.png").symlink_to(tmp_path / "store" / "set" / "two.png")
    (root / "data" / "found.png").symlink_to(experiment.parent / "predictions" / "three.png")
    write(root / "other" / "four.png", b"four")
    (root / "data" / "other").symlink_to(root / "other")
    (root / "data" / "twice").symlink_to(tmp_path / "store")
    found = copied()
    assert found["data/twin.png"] == b"x"
    assert found["data/store/set/two.png"] == found["data/twice/set/two.png"] == found["data/stored.png"] == b"two"
    assert found["data/found.png"] == b"three"
    assert found["data/other"] == ["four.png"]


def test_an_experiment_that_is_a_link(experiment, tmp_path):
    write(tmp_path / "elsewhere" / "config.yaml", b"linked")
    root = experiment.parents[2]
    (root / "experiments" / "linked").symlink_to(tmp_path / "elsewhere")
    courier = ProjectServer(str(root), str(root / "experiments" / "linked" / "config.yaml"))
    with synced_copy(courier.pack(), courier.where(), {}.__setitem__) as path:
        assert path.read_bytes() == b"linked"
        assert not (path.parents[1] / "exp").exists()


def test_a_link_to_what_holds_the_project_is_told(experiment, tmp_path):
    root = experiment.parents[2]
    (root / "data" / "up").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match=r"data/up leads to .*, which holds the project itself"):
        ProjectServer(str(root), str(experiment)).pack()


def test_what_is_too_large_ends_early(experiment, monkeypatch):
    root = experiment.parents[2]
    monkeypatch.setattr(project_sync, "LIMIT", 1_000_000)
    with (root / "data" / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ConfigError, match="put it on storage that all nodes share"):
        ProjectServer(str(root), str(experiment)).pack()


def test_what_was_not_taken_is_sent_again(experiment, monkeypatch):
    monkeypatch.setattr(project_sync, "INTERVAL", 0.01)
    server = ProjectServer(str(experiment.parents[2]), str(experiment))
    came, failures = {}, [OSError("the other side is busy"), OSError("still")]

    def take(name, content):
        if failures:
            raise failures.pop()
        came[name] = content

    with synced_copy(server.pack(), server.where(), take) as path:
        write(path.parent / "weights" / "last-0.0.weights", b"first")
        while "experiments/exp/weights/last-0.0.weights" not in came:
            time.sleep(0.01)
    assert came == {"experiments/exp/weights/last-0.0.weights": b"first"}
    with pytest.raises(OSError, match="gone"), synced_copy(server.pack(), server.where(), lambda *_: gone()) as path:
        write(path.parent / "weights" / "last-0.0.weights", b"second")


def gone():
    raise OSError("the other side is gone")
