"""``musket clean``: what it shows, what it removes, and what it never touches."""

import io
import sqlite3

import pytest

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.storage.experiment_files import ExperimentFiles
from instance_segmentation_pipeline.storage.run_lock import only_run
from instance_segmentation_pipeline.storage.run_manifest import RunManifest

HEADER = "#%Musket MMDetection 1.0\nconfigPath: none.py\nstages: [{epochs: 1}]\n"
OF_RUN = {
    "weights/best-0.0.weights": "weights",
    "weights/last-0.0.weights": "weights",
    "weights/config-0.0.py": "weights",
    "metrics/metrics-0.0.csv": "metrics",
    "metrics/metrics-0.0.png": "pictures",
    "examples/0/0/0.jpg": "pictures",
    "reports/confusion.png": "pictures",
    "logs/0.0/20260101_000000/20260101_000000.log": "logs",
    "predictions/all-12345678-s0-f0.sqlite": "predictions",
    "summary.yaml": "summaries",
    "config.yaml.folds_split": "splits",
}
OF_USER = ["notes.txt", "logs/mine.txt", "predictions/mine.csv", "weights/mine.pth", "previous/mine/weights/best-0.0.weights",
           "export_predictions/validation.json", "visualizations/index.csv", "previous/20260101-000000/notes.txt"]  # fmt: skip
SAMPLE = {"summary.yaml": "completed: true\n", "config.yaml.folds_split": "# made from x\n"}


def write(path, text="x" * 1000):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".sqlite":
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE a (b)")
        connection.commit()
        connection.close()
    else:
        path.write_text(text)


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    for name in ("exp01", "exp02"):
        folder = root / "experiments" / name
        write(folder / "config.yaml", HEADER)
        for name_of_file in OF_RUN:
            write(folder / name_of_file, SAMPLE.get(name_of_file, "x" * 1000))
            if name_of_file not in SAMPLE:
                write(folder / "previous" / "20260101-000000" / name_of_file)
        write(folder / "previous" / "20260101-000000" / "config.yaml", HEADER)
        RunManifest(ExperimentFiles(folder / "config.yaml")).claim(OF_RUN)
        for name_of_file in OF_USER:
            write(folder / name_of_file)
    write(root / ".cache" / "shapes-0123456789abcdef.sqlite")
    write(root / ".cache" / "mine-0123456789abcdef.sqlite.txt")
    write(root / ".cache" / "notes.txt")
    (root / "modules").mkdir()
    return root


def there(root):
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


def clean(root, *flags):
    return main(["clean", "--project", str(root), *flags])


AGAIN = {"logs", "predictions"}
PICTURES = AGAIN | {"pictures"}


def expected(kinds, previous):
    now = {name for name, kind in OF_RUN.items() if kind in kinds}
    return now | {
        f"previous/20260101-000000/{name}" for name, kind in OF_RUN.items() if kind in previous and name not in SAMPLE
    }


def test_what_can_be_made_again_is_removed_and_all_else_stays(project, capfd):
    before = there(project)
    assert clean(project, "--yes") == 0
    gone = {f"experiments/{one}/{name}" for one in ("exp01", "exp02") for name in expected(AGAIN, PICTURES)}
    assert before - there(project) == gone | {".cache/shapes-0123456789abcdef.sqlite"}
    assert there(project) <= before
    assert not (project / "experiments" / "exp01" / "logs" / "0.0").exists()
    said = capfd.readouterr().out
    assert "exp01: logs: 1 files, 1.0 KB" in said
    assert "were freed" in said
    assert clean(project) == 0
    assert "there is nothing to remove" in capfd.readouterr().out


def test_a_dry_run_removes_nothing(project, capfd):
    before = there(project)
    assert clean(project, "--dry_run", "--yes") == 0
    said = capfd.readouterr().out
    assert there(project) == before
    assert "would be removed; nothing was" in said
    assert f"{project / '.cache'}: caches: 1 files" in said


def test_sizes_are_those_of_the_files(project, capfd):
    assert clean(project, "--name", "exp01", "--what", "weights,metrics", "--dry_run") == 0
    said = capfd.readouterr().out
    assert "exp01: weights: 3 files, 3.0 KB" in said
    assert "exp01: metrics: 1 files, 1.0 KB" in said
    assert "4 files, 4.0 KB, would be removed" in said


@pytest.mark.parametrize("kind", ["logs", "predictions", "pictures", "weights", "metrics", "splits", "summaries"])
def test_kinds_by_name(project, kind):
    before = there(project)
    assert clean(project, "--name", "exp02", "--what", kind, "--yes") == 0
    assert before - there(project) == {f"experiments/exp02/{name}" for name in expected({kind}, ())}


def test_all_of_previous_where_it_is_named(project):
    before = there(project)
    assert clean(project, "--name", "exp01", "--what", "previous-all", "--yes") == 0
    folder = "experiments/exp01/previous/20260101-000000"
    gone = {f"experiments/exp01/{name}" for name in expected((), set(OF_RUN.values()))}
    assert before - there(project) == gone | {f"{folder}/config.yaml"}
    assert (project / folder / "notes.txt").exists()


def test_caches_are_shared_and_stay_where_experiments_are_named(project):
    assert clean(project, "--name", "exp01,exp02", "--yes") == 0
    assert clean(project, "--cache", "false", "--yes") == 0
    assert (project / ".cache" / "shapes-0123456789abcdef.sqlite").exists()
    assert clean(project, "--name", "exp01", "--what", "caches", "--yes") == 0
    assert there(project / ".cache") == {"mine-0123456789abcdef.sqlite.txt", "notes.txt"}


def test_an_experiment_that_a_run_holds_is_left_alone(project, capfd):
    before = there(project / "experiments" / "exp01")
    with only_run(project / "experiments" / "exp01"):
        assert clean(project, "--yes") == 1
    said = capfd.readouterr().err
    assert "exp01: left alone: " in said
    assert "is being trained by process" in said
    assert there(project / "experiments" / "exp01") == before
    assert not (project / "experiments" / "exp02" / "logs" / "0.0").exists()
    assert (project / ".cache" / "shapes-0123456789abcdef.sqlite").exists()


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("YES\n", 0), ("\n", 2), ("no\n", 2), ("", 2)])
def test_it_asks(project, monkeypatch, answer, status):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    before = there(project)
    assert clean(project) == status
    assert (there(project) == before) == (status == 2)


def test_links_are_removed_and_not_followed(project, tmp_path):
    outside = tmp_path / "outside"
    write(outside / "logs" / "0.0" / "20260101_000000" / "20260101_000000.log")
    write(outside / "store.sqlite")
    folder = project / "experiments" / "exp01"
    (folder / "predictions" / "all-12345678-s1-f0.sqlite").symlink_to(outside / "store.sqlite")
    (folder / "previous" / "20260102-000000").symlink_to(outside)
    (project / ".cache" / "linked-0123456789abcdef.sqlite").symlink_to(outside / "store.sqlite")
    before = there(outside)
    assert clean(project, "--yes") == 0
    assert there(outside) == before
    assert (folder / "previous" / "20260102-000000").is_symlink()


BAD = [
    (["--what", "weight"], 2, "--what 'weight' is no kind of files (did you mean 'weights'?)"),
    (["--what", "everything"], 2, "is no kind of files"),
    (["--what", "caches", "--cache", "false"], 2, "--what names caches, which --cache false keeps"),
    (["--name", "exp03"], 2, "'exp03' is no experiment of"),
    ([], 2, "nothing was removed, since nobody can be asked: give --yes"),
    (["--what", ""], 2, "empty name"),
    (["--what", "logs,logs"], 2, "twice"),
    (["--cache", "maybe"], 2, "neither true nor false"),
    (["--force"], 2, "unrecognized arguments"),
]


@pytest.mark.parametrize(("flags", "status", "words"), BAD)
def test_what_means_nothing_is_refused(project, capfd, flags, status, words):
    before = there(project)
    try:
        found = clean(project, *flags)
    except SystemExit as end:
        found = end.code
    assert found == status
    assert words in capfd.readouterr().err
    assert there(project) == before


def test_a_manifest_that_cannot_be_read_is_passed_over(project, capfd):
    (project / "experiments" / "exp01" / ".musket-run.json").write_text("[]")
    before = there(project / "experiments" / "exp01")
    assert clean(project, "--yes") == 1
    assert "exp01: passed over: " in capfd.readouterr().err
    assert there(project / "experiments" / "exp01") == before


def test_experiments_of_other_dialects_are_left_alone(project, capfd):
    write(project / "experiments" / "other" / "config.yaml", "#%Musket Segmentation 1.0\nbackbone: x\n")
    write(project / "experiments" / "other" / "predictions" / "all-s0-f0.sqlite")
    before = there(project / "experiments" / "other")
    assert clean(project, "--yes") == 0
    assert clean(project, "--name", "other", "--yes") == 2
    assert "does not begin with #%Musket MMDetection 1.0: it is left alone" in capfd.readouterr().err
    assert there(project / "experiments" / "other") == before
