"""The flags of tasks act on devices, or are refused by name."""

import os
import shutil

import pytest
import yaml

from instance_segmentation_pipeline.cli import task

TASK = """
import os
from pathlib import Path
from musket_core import model, tasks

@tasks.task
def where(m: model.ConnectedModel):
    import time
    if "fail" in os.getcwd():
        raise ValueError("not here")
    began = time.monotonic()
    there = Path(__file__).parent
    (there / f"began-{os.getpid()}").touch()
    while len(list(there.glob("began-*"))) < int(os.environ["TOGETHER"]):
        time.sleep(0.02)
    return {"process": os.getpid(), "device": m.executor().devices, "began": began, "ended": time.monotonic()}
"""


@pytest.fixture
def project(add_experiment, project):
    """Return a project with a task and three finished experiments."""
    (project / "modules" / "more.py").write_text(TASK)
    for name in ("a", "b", "fails"):
        path = add_experiment(name)
        (path.parent / "summary.yaml").write_text("completed: true\nfolds: [0]\n")
    return project


def results(project):
    return {
        name: yaml.safe_load((project / "experiments" / name / "where" / "result.yaml").read_text())
        for name in ("a", "b")
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_experiments_are_worked_with_at_the_same_time(project, capsys, monkeypatch, workers):
    monkeypatch.setenv("TOGETHER", "2" if workers == 3 else "1")
    arguments = ["--project", str(project), "--task", "where", "--num_gpus", "3", "--num_workers", str(workers)]
    assert task.main(arguments) == 1
    said = capsys.readouterr()
    assert "a: task where: done" in said.out
    assert "fails: task where failed: ValueError: not here" in said.err
    first, second = results(project).values()
    assert first["device"] == second["device"] == ["cpu"]
    assert len({os.getpid(), first["process"], second["process"]}) == (3 if workers == 3 else 1)
    assert (second["began"] < first["ended"]) == (workers == 3)
    shutil.rmtree(project / "experiments")


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--gpus_per_net", "2"], "--gpus_per_net 2: tasks predict, for which a net takes one device"),
        (["--allow_resume", "true"], "musket fit --allow_resume true"),
        (["--launch_tasks", "true"], "--launch_tasks true is for musket fit"),
        (["--num_gpus", "4096", "--num_workers", "4096"], "num_gpus is 4096, expected"),
    ],
)
def test_what_means_nothing_is_refused(project, capsys, flags, words):
    assert task.main(["--project", str(project), *flags]) == 2
    assert words in capsys.readouterr().err
    assert not list((project / "experiments").glob("*/where"))
