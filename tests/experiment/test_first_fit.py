"""A fit in a folder that the user works in: his files stay, and what was trained before is kept."""

import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError, WeightsError
from tests.support.folders import put, snapshot
from tests.support.project import TWO_STAGES

pytestmark = pytest.mark.slow

MINE = [
    "examples/photo.jpg",
    "examples/0/0/notes.txt",
    "logs/server.log",
    "logs/0.0/notes.txt",
    "reports/thesis.tex",
    "metrics/a.csv",
]
MINE += ["predictions/mine.json", "weights/start.pth", "weights/notes.txt", ".draft.tmp", "data/.cache.tmp.npy"]


@pytest.fixture
def folder(trained, add_experiment):
    """An experiment with two stages that starts from ``weights/start.pth``, in a folder with files of the user's."""
    path = add_experiment(extra="weightsPath: weights/start.pth\n", replace=[TWO_STAGES[0]])
    put(path.parent, MINE)
    (path.parent / "weights/start.pth").write_bytes((trained.parent / "weights/best-0.0.weights").read_bytes())
    return path


def mine(path):
    return {name: content for name, content in snapshot(path.parent).items() if name in MINE}


def without_split(path):
    return {name: content for name, content in snapshot(path.parent).items() if not name.startswith("config.yaml.")}


def fit(path, **options):
    cfg = generic.parse(str(path))
    cfg.refit = True
    cfg.fit(**options)


def test_a_folder_of_the_users_own(folder):
    before = mine(folder)
    fit(folder)
    assert mine(folder) == before
    first = snapshot(folder.parent)
    fit(folder)
    assert mine(folder) == before
    (kept,) = (folder.parent / "previous").iterdir()
    ours = {name for name in first if name not in MINE and name != ".musket-run.json"}
    assert set(snapshot(kept)) == ours
    assert snapshot(kept)["weights/best-0.1.weights"] == first["weights/best-0.1.weights"]

    second = snapshot(folder.parent)
    fit(folder, start_from_stage=1)
    kept = max((folder.parent / "previous").iterdir())
    assert snapshot(kept)["weights/best-0.1.weights"] == second["weights/best-0.1.weights"]
    assert snapshot(kept)["summary.yaml"] == second["summary.yaml"]
    now = snapshot(folder.parent)
    assert now["weights/best-0.0.weights"] == second["weights/best-0.0.weights"]
    assert now["metrics/metrics-0.0.csv"] == second["metrics/metrics-0.0.csv"]
    assert mine(folder) == before


def test_what_a_run_cannot_do_moves_nothing(trained, folder):
    own = folder.parent / "weights" / "best-0.0.weights"
    text = folder.read_text()
    for name, options, error, words in (
        ("weights/config-0.0.py", {"start_from_stage": 1}, WeightsError, "fold 0 stage 0 is not trained"),
        ("weights/best-0.0.weights", {}, ConfigError, "best-0.0.weights would be written by this run"),
        ("reports/confusion.png", {}, ConfigError, "confusion.png would be written by this run"),
    ):
        put(folder.parent, [name])
        before = without_split(folder)
        with pytest.raises(error, match=words):
            fit(folder, **options)
        assert without_split(folder) == before
        (folder.parent / name).unlink()
    put(folder.parent, ["weights/config-0.0.py", "weights/config-0.1.py"])  # as of an earlier version
    own.write_bytes((trained.parent / "weights/best-0.0.weights").read_bytes())
    folder.write_text(text.replace("weights/start.pth", "weights/best-0.0.weights"))
    with pytest.raises(ConfigError, match="weightsPath weights/best-0.0.weights was trained here.*copy it"):
        fit(folder)
    assert own.exists()


def test_a_fold_alone_with_another_split(trained, project):
    import shutil

    path = project / "experiments" / "exp01" / "config.yaml"
    shutil.copytree(trained.parent, path.parent)
    path.write_text(path.read_text().replace("testSplit: 0.2", "testSplit: 0.3"))
    before = snapshot(path.parent)
    with pytest.raises(ConfigError, match="fold 1 was trained on it: train all folds anew"):
        fit(path, foldsToExecute=[0])
    assert snapshot(path.parent) == before
    (path.parent / "weights" / "best-1.0.weights").unlink()
    (path.parent / "weights" / "last-1.0.weights").unlink()
    (path.parent / "weights" / "best-1.1.weights").unlink()
    (path.parent / "weights" / "last-1.1.weights").unlink()
    fit(path, foldsToExecute=[0])
    (kept,) = (path.parent / "previous").iterdir()
    assert "config.yaml.folds_split" in snapshot(kept)
