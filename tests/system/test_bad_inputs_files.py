"""A broken file of an experiment: of another one, it is passed over; of one's own, it is one sentence."""

import os
import shutil
import signal

import pytest

from instance_segmentation_pipeline.cli import main
from tests.support.project import SHAPES

pytestmark = pytest.mark.slow

CONFIG = """#%Musket MMDetection 1.0
configPath: mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py
pretrained: false
classes: 3
shape: [64, 64]
stages:
  - epochs: 1
dataset:
  get_shapes: {count: 12, size: 64}
"""
SUMMARY = """completed: true
cfgName: config.yaml
folds: [0]
subsample: 1.0
stages:
- loss: {mean: 1.0, max: 1.0, min: 1.0, std: 0.0}
allStages:
  coco_segm_mAP: {mean: 0.5, max: 0.5, min: 0.5, std: 0.0}
"""
TASK = """
from musket_core import model, tasks

@tasks.task
def look(m: model.ConnectedModel) -> dict:
    return {"looked": True}
"""
CSV = "epoch,lr,loss,val_loss,val_coco_segm_mAP\n0,0.1,1.0,1.0,0.5\n"

FILES = [
    "summary.yaml",
    "config.yaml",
    "fit.lock",
    "error.yaml",
    "inProgress.yaml",
    "metrics/metrics-0.0.csv",
    "config.yaml.folds_split",
    "config.yaml.holdout_split",
    "weights/best-0.0.weights",
]
KINDS = {
    "empty": b"",
    "binary": bytes(range(256)) * 4,
    "truncated": b"completed: {a: [1, 2",
    "a list": b"- 1\n- 2\n",
    "a number": b"17\n",
    "text": b"Error\n",
    "null": b"null\n",
    "not UTF-8": "grüße: größer\n".encode("latin-1"),
    "UTF-16": "completed: true\n".encode("utf-16"),
    "an alias bomb": b"a: &a [x, x, x]\nb: &b [*a, *a]\n" + b"c: [*b, *b]\n",
    "deep": b"[" * 30_000,
    "tags": b"!!python/object/apply:os.system ['true']\n",
    "control characters": b"completed: \x1b[31mtrue\n",
    "a folder": None,
    "a dead link": "nothing",
    "a loop": "",
    "unreadable": 0o000,
    "a pipe": "pipe",
}
COMMANDS = {
    "fit": ["fit", "--name", "good"],
    "task": ["task", "--task", "look", "--name", "good"],
    "predict": ["predict", "--name", "good", "--input", "{project}/images", "--output", "{project}/found"],
    "analize": ["analize", "--inputFolder", "{project}", "--html", "false"],
    "fit all": ["fit"],
    "task all": ["task", "--task", "look"],
    "report": ["fit", "--only_report", "true", "--name", "good"],
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project with a finished experiment, which nothing trained, and one beside it."""
    root = tmp_path / "project"
    for name in ("good", "neighbour"):
        folder = root / "experiments" / name
        (folder / "metrics").mkdir(parents=True)
        (folder / "weights").mkdir()
        (folder / "config.yaml").write_text(CONFIG)
        (folder / "summary.yaml").write_text(SUMMARY)
        (folder / "metrics" / "metrics-0.0.csv").write_text(CSV)
    (root / "modules").mkdir()
    (root / "modules" / "my_tasks.py").write_text(TASK)
    shutil.copy(SHAPES / "modules" / "shapes.py", root / "modules")
    (root / "images").mkdir()
    (root / "images" / "a.png").write_bytes(b"no image")
    from instance_segmentation_pipeline.experiment.pipeline_config import PipelineConfig

    monkeypatch.setattr(PipelineConfig, "fit", lambda self, *_, **__: None)
    monkeypatch.setattr(PipelineConfig, "generateReports", lambda self, *_, **__: None)
    monkeypatch.setattr(PipelineConfig, "check", lambda self, *_, **__: None)
    monkeypatch.setattr(PipelineConfig, "kfold", lambda self, *_, **__: None)
    return root


def spoil(path, kind):
    """Put something of a kind in a file's place."""
    content = KINDS[kind]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if content is None:
        path.mkdir()
    elif content == "pipe":
        os.mkfifo(path)
    elif isinstance(content, str):
        path.symlink_to(content or path.name)
    elif isinstance(content, int):
        path.write_text("completed: true\n")
        path.chmod(content)
    else:
        path.write_bytes(content)


def run(command, project, capsys):
    """Run a command here; return status, stdout and stderr."""
    handler = signal.getsignal(signal.SIGTERM)
    arguments = [part.format(project=project) for part in COMMANDS[command]]
    if command != "analize":
        arguments += ["--project", str(project)]
    try:
        status = main(arguments)
    finally:
        signal.signal(signal.SIGTERM, handler)
    out, err = capsys.readouterr()
    return status, out, err


def told_well(err):
    """Check that what is on stderr is a few bounded lines, without tracebacks and escape codes."""
    assert "Traceback" not in err
    assert "\x1b" not in err
    lines = err.splitlines()
    assert len(lines) <= 4, err
    assert all(len(line) < 1500 for line in lines), err


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_of_another_experiment(name, kind, project, capsys):
    spoil(project / "experiments" / "neighbour" / name, kind)
    for command in ("fit", "task all", "predict", "analize"):
        status, out, err = run(command, project, capsys)
        told_well(err)
        if command == "predict":
            assert "good" in err
            assert "neighbour" not in err
        elif command == "fit":
            assert status == 0, err
            assert "neighbour" not in err
        elif command == "analize":
            assert "good" in out
            assert status in (0, 1)
            assert status == 0 or "neighbour" in err
        else:
            assert status in (0, 1, 2)
            assert status == 0 or "neighbour" in err
        capsys.readouterr()
        shutil.rmtree(project / "experiments" / "good" / "look", ignore_errors=True)


OWN = {
    "config.yaml": ("fit", "task", "predict", "report"),
    "../../common.yaml": ("fit", "task", "predict", "report"),
    "summary.yaml": ("task all", "fit all", "report"),
    "metrics/metrics-0.0.csv": ("analize",),
}
HARMLESS = {
    "../../common.yaml": ("empty", "null"),
    "summary.yaml": ("empty", "null", "a dead link", "a list", "a number", "text", "UTF-16", "an alias bomb", "tags"),
    "metrics/metrics-0.0.csv": ("empty", "a dead link"),
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("unreadable", "control characters")])
@pytest.mark.parametrize("name", OWN)
def test_of_ones_own(name, kind, project, capsys):
    """It is one sentence that names the file, and the status tells; nothing is written over the file."""
    path = project / "experiments" / "good" / name
    path = path.parent.resolve() / path.name
    shutil.rmtree(project / "experiments" / "neighbour")
    spoil(path, kind)
    for command in OWN[name]:
        status, out, err = run(command, project, capsys)
        told_well(err)
        if status == 0:
            assert kind in HARMLESS.get(name, ()) or command == "report", (command, out)
        else:
            assert any(word in err for word in (path.name, "good", "no experiment of the project is finished")), err
    if not path.is_symlink() and isinstance(KINDS[kind], bytes) and name != "summary.yaml":
        assert path.read_bytes() == KINDS[kind]
