"""Putting aside what earlier runs trained: only what a run wrote is ever moved or removed, and nothing is lost."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.storage import archive as archive_module
from instance_segmentation_pipeline.storage.archive import archive, finish, forget_predictions
from instance_segmentation_pipeline.storage.experiment_files import ExperimentFiles
from instance_segmentation_pipeline.storage.leftovers import remove_leftovers
from instance_segmentation_pipeline.storage.run_manifest import NAME, RunManifest, RunNames
from tests.support.folders import put, snapshot

RUN = RunNames([0, 1], [2, 1], "net.py")
LOGS = ["logs/0.0/20260101_120000/20260101_120000.log", "logs/0.0/20260101_120000/vis_data/scalars.json"]
STATE = {
    "summary.yaml": b"completed: true\n",
    "error.yaml": b"errors:\n- type: x\n",
    "config.yaml.folds_split": b"# made from {}\n[]\n",
    "predictions/validation0-s0-f0.sqlite": b"SQLite format 3\0...",
}
FOLDERS = ["", "weights", "metrics", "examples", "examples/0", "examples/0/0", "logs", "logs/0.0", "reports"]
FOLDERS += ["predictions", "previous", "previous/20260101-120000/weights", "data", "data/examples", "modules"]
FILES = ["start.pth", "best-0.0.weights", "best-7.0.weights", "best-0.0.weights.bak", "best.weights", "config-0.0.py"]
FILES += [
    "notes.txt",
    "0.jpg",
    "07.jpg",
    "photo.jpg",
    "metrics-0.0.csv",
    "metrics-0.0.xlsx",
    "confusion.png",
    ".hidden",
]
FILES += [".notes.tmp", ".a.99999999.tmp", ".best-0.0.99999999.tmp.weights.txt", "validation0-s0-f0.sqlite", "x.sqlite"]
FILES += ["20260101_120000/mine.txt", "my.py", "summary.yaml", "error.yaml", "config.yaml.folds_split"]


def experiment(root):
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    (root / "config.yaml").write_text("#%Musket MMDetection 1.0\n")
    return ExperimentFiles(root / "config.yaml")


def run_wrote(files, run=RUN):
    """Claim the names of a run, and write its files."""
    RunManifest(files).claim(run.all())
    put(files.root, [*run.all(), *LOGS], b"run")
    for name, content in STATE.items():
        put(files.root, [name], content)
    return {*run.all(), *LOGS, *STATE}


def of_user(taken=()):
    names = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(FILES)).map(lambda two: "/".join(filter(None, two)))
    return st.sets(names, max_size=25).map(lambda found: {name for name in found if name not in taken})


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=of_user({*RUN.all(), *STATE}),
    after=of_user({*RUN.all(), *STATE, *LOGS}),
    chosen=st.sampled_from([None, [0]]),
)
def test_a_fresh_run_never_touches_what_no_run_wrote(tmp_path, before, after, chosen):
    files = experiment(tmp_path / "exp")
    put(files.root, before)
    run_wrote(files)
    put(files.root, after)
    mine = {name: content for name, content in snapshot(files.root).items() if content == b"own"}
    written = {name for name, content in snapshot(files.root).items() if name not in mine and name != NAME}

    kept = archive(files, chosen)
    remove_leftovers(files)

    now = snapshot(files.root)
    assert {name: content for name, content in now.items() if content == b"own"} == mine
    moved = {name for name in written if (kept / name).is_file()}
    assert {name for name in written if (files.root / name).is_file()} | moved == written  # nothing of the run is lost
    assert "weights/best-0.0.weights" in moved
    assert ("weights/best-1.0.weights" in moved) is (chosen is None)
    assert (kept / "config.yaml").read_text() == files.config.read_text()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(there=of_user({"config-0.0.py", "weights/config-0.0.py"}))
def test_a_first_run_touches_nothing(tmp_path, there):
    files = experiment(tmp_path / "exp")
    put(files.root, there)
    before = snapshot(files.root)
    assert archive(files) is None
    remove_leftovers(files)
    forget_predictions(files)
    assert snapshot(files.root) == before


def test_empty_folders_of_the_user_stay(tmp_path):
    files = experiment(tmp_path / "exp")
    for name in ("examples", "logs/0.0", "weights"):
        (files.root / name).mkdir(parents=True)
    run_wrote(files, RunNames([0], [1]))
    (files.root / "reports/mine").mkdir()
    archive(files)
    assert (files.root / "reports/mine").is_dir()


def test_an_experiment_of_a_version_without_manifest_is_known_by_its_configs(tmp_path):
    files = experiment(tmp_path / "exp")
    put(files.root, [*RUN.all(), *LOGS], b"run")
    for name, content in STATE.items():
        put(files.root, [name], content)
    mine = ["weights/start.pth", "weights/best-5.0.weights", "examples/photo.jpg", "reports/table.csv", "logs/x.log"]
    put(files.root, mine)
    kept = archive(files)
    assert {name for name in snapshot(files.root) if not name.startswith("previous")} == {*mine, "config.yaml", NAME}
    assert set(snapshot(kept)) == {*RUN.all(), *LOGS, *STATE, "config.yaml"}


def test_another_folds_run_keeps_knowing_what_a_version_without_manifest_wrote(tmp_path):
    files = experiment(tmp_path / "exp")
    put(files.root, RUN.all(), b"run")
    archive(files, [1])
    RunManifest(files).claim(RunNames([1], [2, 1]).all())
    assert "weights/best-0.0.weights" in RunManifest(files).owned()


def test_only_later_stages_are_put_aside(tmp_path):
    files = experiment(tmp_path / "exp")
    run_wrote(files)
    kept = archive(files, None, 1)
    assert (files.root / "weights/best-0.0.weights").exists()
    assert files.folds_split.exists()
    assert {"weights/best-0.1.weights", "weights/best-1.1.weights", "summary.yaml"} <= set(snapshot(kept))
    assert not (kept / "weights/best-0.0.weights").exists()


@pytest.mark.parametrize("kept", ["metrics/metrics-0.0.csv", "weights/last-0.0.weights", "weights/best-1.0.weights"])
def test_results_without_weights_are_kept_too(tmp_path, kept):
    files = experiment(tmp_path / "exp")
    RunManifest(files).claim(RUN.all())
    put(files.root, [kept], b"run")
    assert (archive(files) / kept).read_bytes() == b"run"


def test_what_is_not_worth_keeping_goes(tmp_path):
    files = experiment(tmp_path / "exp")
    RunManifest(files).claim(RUN.all())
    put(files.root, ["weights/config-0.0.py", *LOGS], b"run")
    put(files.root, ["error.yaml"], STATE["error.yaml"])
    assert archive(files) is None
    assert set(snapshot(files.root)) == {"config.yaml", NAME}


@pytest.mark.parametrize("after", [0, 1, 5, 17])
def test_a_move_that_was_killed_is_completed(tmp_path, monkeypatch, after):
    files = experiment(tmp_path / "exp")
    written = run_wrote(files)
    put(files.root, ["weights/start.pth"])
    left = [after]
    original = archive_module._move

    def move(source, place):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        original(source, place)

    monkeypatch.setattr(archive_module, "_move", move)
    with pytest.raises(KeyboardInterrupt):
        archive(files)
    monkeypatch.undo()
    finish(files)
    (kept,) = (files.root / "previous").iterdir()
    assert set(snapshot(kept)) == {*written, "config.yaml"}
    assert {name for name in snapshot(files.root) if "previous" not in name} == {
        "config.yaml",
        "weights/start.pth",
        NAME,
    }
    finish(files)  # nothing is left to do
    assert RunManifest(files).moving is None


def test_a_file_in_the_way_is_named_and_left(tmp_path):
    files = experiment(tmp_path / "exp")
    put(files.root, ["reports/confusion.png", "metrics/metrics-0.0.csv"])
    with pytest.raises(ConfigError, match=r"metrics/metrics-0.0.csv, reports/confusion.png would be written"):
        RunManifest(files).check(RUN.all())


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"files": 3}',
        '{"files": [1]}',
        '{"files": [], "moving": 3}',
        "\0",
        '{"files": [], "moving": {}}',
    ],
)
def test_a_damaged_manifest_is_named(tmp_path, content):
    files = experiment(tmp_path / "exp")
    (files.root / NAME).write_text(content)
    with pytest.raises(ConfigError, match=r"musket-run\.json.*delete it"):
        archive(files)


@pytest.mark.parametrize(
    "name", ["config.yaml", "../other.txt", "modules/mine.py", "weights/start.pth", "reports/../a"]
)
def test_an_edited_manifest_moves_nothing_of_the_user(tmp_path, name):
    files = experiment(tmp_path / "exp")
    put(files.root, ["modules/mine.py", "weights/start.pth", "../other.txt", "a", "reports/x"])
    (files.root / NAME).write_text(json.dumps({"files": [name], "moving": {"to": "../../x", "files": [name]}}))
    before = {name: content for name, content in snapshot(tmp_path).items() if NAME not in name}
    finish(files)
    archive(files)
    assert before.items() <= snapshot(tmp_path).items()


def test_predictions_are_forgotten_by_name_and_content(tmp_path):
    files = experiment(tmp_path / "exp")
    seed = files.of_seed(0)
    put(files.root, ["0/config_concrete.yaml", "predictions/mine.sqlite", "predictions/a-s0-f0.sqlite"])
    put(files.root, ["predictions/b-s0s1-f0f1-tta-abc.sqlite", "0/predictions/b-s0-f0.sqlite"], b"SQLite format 3\0")
    forget_predictions(files)
    names = {"0/config_concrete.yaml", "config.yaml", "predictions/a-s0-f0.sqlite", "predictions/mine.sqlite"}
    assert set(snapshot(files.root)) == names
    assert not (seed.root / "predictions").exists()


def test_leftovers_of_the_dead_go_and_all_else_stays(tmp_path):
    import os

    files = experiment(tmp_path / "exp")
    dead, alive = 4_194_303, os.getpid()
    gone = [
        f"weights/.best-0.0.{dead}.tmp.weights",
        f"metrics/.metrics-0.0.{dead}.tmp.csv",
        f".summary.{dead}.tmp.yaml",
    ]
    gone += [f"weights/.last-0.0.previous.{dead}.tmp", f"predictions/.a-s0-f0.sqlite.{dead}.tmp"]
    gone += [f"examples/0/0/.0.{dead}.tmp.jpg", f".fit.lock.{dead}.tmp", f".config.yaml.{dead}.tmp.folds_split"]
    stay = [f"weights/.best-0.0.{alive}.tmp.weights", f"weights/.notes.{dead}.tmp.txt", ".a.tmp", ".tmp", "b.tmp"]
    stay += [f"weights/.best-0.0.elsewhere-{dead}-0123456789abcdef.tmp.weights", f"data/.best-0.0.{dead}.tmp.weights"]
    stay += [f".venv/.summary.{dead}.tmp.yaml", f"weights/.best-0.0.{dead}x.tmp.weights", f".mine.{dead}.tmp"]
    put(files.root, [*gone, *stay])
    remove_leftovers(files)
    assert set(snapshot(files.root)) == {*stay, "config.yaml"}


def test_links_are_not_followed(tmp_path):
    files = experiment(tmp_path / "exp")
    put(tmp_path / "elsewhere", ["0/0/0.jpg", "mine.txt"])
    (files.root / "examples").symlink_to(tmp_path / "elsewhere")
    RunManifest(files).claim(RunNames([1], [1]).all())
    put(files.root, ["weights/best-1.0.weights"], b"run")
    archive(files)
    assert set(snapshot(tmp_path / "elsewhere")) == {"0/0/0.jpg", "mine.txt"}
    assert Path(files.root / "examples").is_symlink()
