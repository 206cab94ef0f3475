"""``python -m musket_core.task`` and ``musket predict``: arguments, what functions get, results, exit status."""

import json
import sys

import cv2
import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.cli import task as task_program
from tests.support.datasets import shapes

pytestmark = pytest.mark.slow

TASKS = """
import os
import numpy as np
from musket_core import model, tasks
from musket_core.datasets import DataSet

@tasks.task
def measure2(m: model.ConnectedModel):
    return {"score": np.float32(0.5), "kind": type(m).__name__, "items": len(m.predictions("validation"))}

@tasks.task
def chosen(m: model.ConnectedModel):
    return [m.folds, m.stages]

@tasks.task
def with_dataset(m: model.ConnectedModel, ds: DataSet, count: int = 3):
    return [len(ds), count, os.path.basename(os.getcwd())]

@tasks.task
def quiet(m: "model.ConnectedModel"):
    open("here.txt", "w").write("x")

def no_task(m):
    return 1
"""
BROKEN = """
from musket_core import model, tasks

@tasks.task
def breaks(m: model.ConnectedModel):
    raise ValueError("no such thing")
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a project with a trained experiment and tasks, and one experiment that is not trained."""
    import shutil

    from musket_core import generic

    from tests.support.project import FAST, SHAPES, SMALL_CONFIG

    root = tmp_path_factory.mktemp("tasks") / "project"
    shutil.copytree(SHAPES / "modules", root / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "modules" / "our_tasks.py").write_text(TASKS)
    extra = "storage_threshold: 0.001\ndatasets:\n  others: {get_shapes: {count: 5, size: 64}}\n"
    low = ("configOptions:", "configOptions:\n  model.test_cfg.score_thr: 0.001")
    for name in ("exp01", "exp02"):
        folder = root / "experiments" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(FAST.format(config=SMALL_CONFIG, extra=extra).replace(*low))
    generic.parse(str(root / "experiments" / "exp01" / "config.yaml")).fit()
    return root


def result(root, name, experiment="exp01"):
    return yaml.safe_load((root / "experiments" / experiment / name / "result.yaml").read_text())


def test_the_documented_command(trained, run):
    command = "-m musket_core.task --name exp01 --task measure2 --num_gpus=1 --gpus_per_net=1 --num_workers=1"
    done = run(sys.executable, *command.split(), "--project", trained, "--cache", trained / "cache")
    assert done.returncode == 0, done.stderr
    assert "exp01: task measure2: done" in done.stdout
    assert result(trained, "measure2") == {"score": 0.5, "kind": "PipelineConfig", "items": 3}


def test_only_the_tasks_that_are_named_run(trained):
    """Upstream runs all of them."""
    folder = trained / "experiments" / "exp01"
    assert main(["task", "--project", str(trained), "--name", "exp01", "--task", "quiet, measure2"]) == 0
    assert (folder / "quiet" / "here.txt").exists()
    assert not (folder / "quiet" / "result.yaml").exists()
    assert not (folder / "with_dataset").exists()


def test_folds_stages_datasets_and_other_parameters(trained):
    arguments = ["--project", str(trained), "--name", "exp01", "--task"]
    assert task_program.main([*arguments, "chosen", "--folds", "0", "--stages", "last"]) == 0
    assert result(trained, "chosen") == [[0], [0]]
    assert task_program.main([*arguments, "chosen", "--parameters", "{m: {folds: [0], stages: all}}"]) == 0
    assert result(trained, "chosen") == [[0], [0]]
    assert task_program.main([*arguments, "with_dataset", "--parameters", "{ds: others, count: 7}"]) == 0
    assert result(trained, "with_dataset") == [5, 7, "with_dataset"]


@pytest.mark.parametrize(
    ("extra", "status", "words"),
    [
        (["--task", "measure"], 2, "--task 'measure' is no task of"),
        (["--task", "with_dataset"], 1, "the parameter 'ds' is missing: give --parameters '{ds: a dataset's name}'"),
        (
            ["--task", "with_dataset", "--parameters", "{dss: others}"],
            1,
            "'dss' is no parameter of it (did you mean 'ds'",
        ),
        (["--task", "with_dataset", "--parameters", "{ds: other}"], 1, "there is no dataset 'other'"),
        (["--task", "chosen", "--folds", "3"], 1, "fold 3 was asked for"),
        (["--parameters", "[1]"], 2, "is no mapping such as"),
        (["--task", "measure2", "--name", "exp02"], 1, "has no trained fold: train it first"),
        (["--name", "exp03"], 2, "'exp03' is no experiment of"),
    ],
)
def test_what_is_wrong_is_one_sentence(trained, capsys, extra, status, words):
    named = [] if "--name" in extra else ["--name", "exp01"]
    assert task_program.main(["--project", str(trained), *named, *extra]) == status
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
    if "measure'" in words:
        assert "there are: chosen, confusion_matrix, draw_dataset, export_predictions, measure2" in err


def test_a_failing_task_fails_the_command_and_all_means_all(trained, capsys):
    (trained / "modules" / "zz_broken.py").write_text(BROKEN)
    try:
        assert task_program.main(["--project", str(trained), "--task", "breaks,measure2"]) == 1
        captured = capsys.readouterr()
        assert captured.err.strip().endswith("exp01: task breaks failed: ValueError: no such thing")
        assert "exp01: task measure2: done" in captured.out + captured.err
        assert task_program.main(["--project", str(trained)]) == 1
        err = capsys.readouterr().err
        assert "task breaks failed" in err
        assert "task with_dataset failed" in err
        assert "confusion_matrix" not in err
    finally:
        (trained / "modules" / "zz_broken.py").unlink()


def test_shipped_tasks(trained):
    arguments = ["--project", str(trained), "--name", "exp01"]
    folder = trained / "experiments" / "exp01"
    assert task_program.main([*arguments, "--task", "export_predictions,confusion_matrix,draw_dataset"]) == 0
    truth = COCO(str(folder / "export_predictions" / "validation-truth.json"))
    assert len(truth.getImgIds()) == 3
    annotation = truth.loadAnns(truth.getAnnIds())[0]
    assert truth.annToMask(annotation).sum() == annotation["area"]
    scored = json.loads((folder / "export_predictions" / "validation.json").read_text())
    truth.loadRes(
        [{key: one[key] for key in ("image_id", "category_id", "bbox", "score")} for one in scored["annotations"]]
    )
    assert cv2.imread(str(folder / "confusion_matrix" / "confusion.png")) is not None
    lines = (folder / "confusion_matrix" / "confusion.csv").read_text().splitlines()
    assert lines[0] == "true \\ predicted,disc,square,triangle,background"
    assert len(lines) == 5
    assert len(list((folder / "draw_dataset").glob("*.jpg"))) == 3
    drawn = ["--task", "draw_dataset", "--name", "exp02", "--parameters", "{dataset: others, count: 4}"]
    assert task_program.main(["--project", str(trained), *drawn]) == 0
    assert len(list((trained / "experiments" / "exp02" / "draw_dataset").glob("*.jpg"))) == 4


def test_predicting_on_a_folder(trained, tmp_path, musket):
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), shapes(1, 64, number)[0].x)
    out = tmp_path / "out"
    arguments = ["predict", "--project", trained, "--input", tmp_path, "--output", out]
    done = musket(*arguments, "--tta", "Horizontal")
    assert done.returncode == 0, done.stderr
    assert len(json.loads((out / "predictions.json").read_text())["images"]) == 2
    (tmp_path / "torn.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((9, 9, 3), np.uint8))[1].tobytes()[:20])
    assert main([str(argument) for argument in arguments]) == 1
    assert main(["predict", "--project", str(trained), "--input", str(tmp_path / "no"), "--output", str(out)]) == 2
