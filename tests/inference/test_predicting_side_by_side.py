"""Datasets and folders are answered by as many processes as there are devices, and as by one."""

import itertools
import json
import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import UserError
from instance_segmentation_pipeline.inference.detector import Detector
from instance_segmentation_pipeline.inference.prediction_store import unpack
from instance_segmentation_pipeline.inference.workers import Piece, spread
from instance_segmentation_pipeline.launch.answering import AnsweringPool
from tests.support.datasets import Items, shapes
from tests.support.processes import PATIENCE, wait_until
from tests.support.warm import started_musket

pytestmark = pytest.mark.slow


@pytest.fixture
def config(trained, tmp_path):
    """Return the config.yaml of a copy of the trained project, without predictions."""
    shutil.copytree(
        trained.parents[2], tmp_path / "project", ignore=shutil.ignore_patterns("predictions", "__pycache__")
    )
    path = tmp_path / "project" / "experiments" / "exp01" / "config.yaml"
    options = "configOptions:\n  model.test_cfg.score_thr: 0.0005\n  model.test_cfg.max_per_img: 10"
    path.write_text(path.read_text().replace("configOptions:", options) + "storage_threshold: 0.0\n")
    return path


@pytest.fixture
def processes(tmp_path, monkeypatch):
    """Return a function that says which processes predicted; each begins when another one has, or not at all."""
    folder = tmp_path / "processes"
    folder.mkdir()

    def detect(self, images, real=Detector.detect):
        (folder / str(os.getpid())).touch()
        return real(self, images)

    monkeypatch.setattr(Detector, "detect", detect)
    return lambda: {int(one.name) for one in folder.iterdir()}


@pytest.fixture
def together(tmp_path, monkeypatch):
    """Let a net answer only when two processes are at it."""
    folder = tmp_path / "together"
    folder.mkdir()

    def detect(self, images, real=Detector.detect):
        (folder / str(os.getpid())).touch()
        wait_until(lambda: len(list(folder.iterdir())) >= 2)
        return real(self, images)

    monkeypatch.setattr(Detector, "detect", detect)
    return lambda: {int(one.name) for one in folder.iterdir()}


def parsed(path, devices=1):
    cfg = generic.parse(str(path))
    cfg.num_gpus = devices
    return cfg


def rows(path):
    with sqlite3.connect(path) as file:
        return file.execute("SELECT position, data FROM found ORDER BY position").fetchall()


QUESTIONS = {
    "one net, two runs of items": lambda cfg: [cfg.predictions("holdout", 0, 0)],
    "two folds, each its own part": lambda cfg: cfg.predictions("validation", [0, 1], 1).members,
    "folds and stages, blended": lambda cfg: [cfg.predictions("holdout")],
    "a file of the caller's": lambda cfg: [
        cfg.predict_all_to_dataset(shapes(5), 0, 1, dsPath=str(cfg.files.root / "mine.sqlite"))
    ],
    "views": lambda cfg: [cfg.predict_all_to_dataset(shapes(5), 0, 1, ttflips="Horizontal")],
}


@pytest.mark.parametrize("what", QUESTIONS)
def test_stores_have_what_one_process_finds(config, together, what):
    found = [rows(store.path) for store in QUESTIONS[what](parsed(config, 2))]
    assert len(together()) >= 2
    assert os.getpid() not in together()
    shutil.rmtree(config.parent / "predictions", ignore_errors=True)
    (config.parent / "mine.sqlite").unlink(missing_ok=True)
    alone = [rows(store.path) for store in QUESTIONS[what](parsed(config))]
    assert together() >= {os.getpid()}
    assert found == alone
    assert sum(len(unpack(data)) for _, data in found[0]) > 0


@pytest.fixture
def images(config, tmp_path):
    """Return a folder of images, two of which are none."""
    folder = tmp_path / "images"
    shutil.copytree(config.parent / "examples" / "0" / "0", folder)
    (picture,) = list(folder.iterdir())[:1]
    for number in range(9):
        shutil.copy(picture, folder / f"a{number}.jpg")
    (folder / "3b.png").write_bytes(b"no image")
    (folder / "8b.png").write_bytes(b"")
    return folder


def test_a_folder_is_written_as_by_one_process(config, images, together, tmp_path, capsys):
    skipped = parsed(config, 2).predict_to_directory(str(images), str(tmp_path / "two"), "all", -1, batch_size=2)
    assert len(together()) == 2
    said = capsys.readouterr().err
    assert skipped == parsed(config).predict_to_directory(str(images), str(tmp_path / "one"), "all", -1, batch_size=2)
    assert skipped == ["3b.png", "8b.png"]
    assert [line for line in capsys.readouterr().err.splitlines() if "cannot be used" in line] == [
        line for line in said.splitlines() if "cannot be used" in line
    ]
    written = {one.name: one.read_bytes() for one in (tmp_path / "two").iterdir()}
    assert written == {one.name: one.read_bytes() for one in (tmp_path / "one").iterdir()}
    assert len(json.loads(written["predictions.json"])["annotations"]) > 0


def test_a_function_is_called_in_order_in_this_process(config, images, processes):
    names = []
    parsed(config, 2).predict_in_directory(str(images), 0, 0, lambda name, found, data: names.append((name, data)), 7)
    assert [name for name, _ in names] == sorted(name for name, _ in names)
    assert {data for _, data in names} == {7}
    assert processes() == {os.getpid()}


def test_so_many_images_are_looked_at_and_no_more(config, images, tmp_path):
    parsed(config, 2).predict_to_directory(str(images), str(tmp_path / "out"), limit=3)
    answer = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [one["file_name"] for one in answer["images"]] == ["0.jpg", "1.jpg", "a0.jpg"]


def test_the_summary_is_that_of_one_process(config, processes):
    before = (config.parent / "summary.yaml").read_text()
    for devices in (2, 1):
        shutil.rmtree(config.parent / "predictions", ignore_errors=True)
        (config.parent / "summary.yaml").unlink(missing_ok=True)
        cfg = parsed(config, devices)
        cfg.get_dataset()
        cfg.generateReports()
        if devices == 2:
            assert len(processes()) >= 2
            assert os.getpid() not in processes()
            before = (config.parent / "summary.yaml").read_text()
    assert (config.parent / "summary.yaml").read_text() == before


def test_a_process_that_was_given_devices_uses_those(config, processes):
    cfg = parsed(config, 2)
    cfg.lease = ["cpu"]
    cfg.predictions("holdout", 0, 0)
    assert processes() == {os.getpid()}


@pytest.mark.parametrize(
    ("gpus", "num_gpus", "num_workers", "count"), [(1, 1, 1, 1), (1, 3, 1, 3), (2, 2, 1, 2), (1, 4, 2, 2), (1, 1, 4, 1)]
)
def test_how_many_answer_at_the_same_time(config, monkeypatch, gpus, num_gpus, num_workers, count):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    cfg = parsed(config)
    cfg.gpus, cfg.num_gpus, cfg.num_workers = gpus, num_gpus, num_workers
    assert list(cfg.predictor().workers.devices) == ["cpu"] * count


def test_an_item_that_cannot_be_read_ends_all_with_one_sentence(config):
    items = Items([(shapes(1, 64, seed)[0].x, None) for seed in range(40)])
    items.pairs[6] = (np.zeros((4, 4)), None)
    with pytest.raises(UserError) as error:
        parsed(config, 2).predict_all_to_dataset(items, 0, 0)
    text = str(error.value)
    assert "fold 0 stage 0: item 'item6'" in text
    assert "\n" not in text
    folder = config.parent / "predictions"
    assert not folder.exists() or not [one for one in folder.iterdir() if one.name.startswith((".", "Items"))]


def test_a_process_that_is_killed_is_one_sentence(config, monkeypatch):
    monkeypatch.setattr(Detector, "detect", lambda self, images: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(UserError, match="its process was killed by SIGKILL"):
        parsed(config, 2).predict_all_to_dataset(shapes(4), 0, 0)
    assert not list(config.parent.rglob(".*.tmp*"))


SLOW = """
import time
from instance_segmentation_pipeline.inference.detector import Detector
real = Detector.detect
def detect(self, images):
    time.sleep(0.3)
    return real(self, images)
Detector.detect = detect
"""


def test_ctrl_c_ends_all_processes_with_one_line(config, images, tmp_path):
    for number in range(200):
        shutil.copy(images / "a0.jpg", images / f"more{number}.jpg")
    out = tmp_path / "out"
    arguments = ["predict", "--input", str(images), "--output", str(out), "--num_gpus", "2"]
    lines = out / "predictions.jsonl"
    with started_musket(*arguments, before=SLOW, cwd=config.parent) as run:
        wait_until(lambda: lines.exists() and lines.stat().st_size, run)
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        os.killpg(run.pid, signal.SIGINT)
        _, told = run.communicate(timeout=PATIENCE)
        assert run.returncode == 130, told
        assert "Traceback" not in told
        assert len(children) == 2
        wait_until(lambda: not [child for child in children if Path(f"/proc/{child}").exists()])
    answer = json.loads((out / "predictions.json").read_text())
    assert 0 < len(answer["images"]) < 200
    assert [one["id"] for one in answer["images"]] == list(range(1, len(answer["images"]) + 1))


def test_tasks_and_reports_use_them(config, processes, monkeypatch):
    from instance_segmentation_pipeline.cli import task

    arguments = ["--project", str(config.parents[2]), "--name", "exp01", "--task", "export_predictions"]
    assert task.main([*arguments, "--num_gpus", "2", "--force_recalc", "true"]) == 0
    assert len(processes()) >= 2
    assert os.getpid() not in processes()
    two = (config.parent / "export_predictions" / "validation.json").read_bytes()
    assert task.main([*arguments, "--force_recalc", "true"]) == 0
    assert (config.parent / "export_predictions" / "validation.json").read_bytes() == two


def test_work_is_spread_evenly():
    assert spread(7, 3) == [range(2), range(2, 4), range(4, 7)]
    assert spread(2, 5) == [range(1), range(1, 2)]
    assert spread(0, 4) == []


def test_answers_come_in_the_order_of_their_piece():
    taken = {0: [], 1: [], 2: []}
    pieces = [Piece(f"piece {number}", lambda device, number=number: iter(range(number, 300))) for number in taken]
    AnsweringPool(["cpu", "cpu"]).run(pieces, lambda number, answer: taken[number].append(answer))
    assert taken == {number: list(range(number, 300)) for number in taken}


def test_what_fails_in_taking_ends_the_work(tmp_path):
    def answers(device):
        for number in itertools.count():  # it ends by being ended
            time.sleep(0.01)
            yield number

    def take(number, answer):
        raise OSError("disk is full")

    with pytest.raises(OSError, match="disk is full"):
        AnsweringPool(["cpu", "cpu"]).run([Piece("one", answers), Piece("two", answers)], take)
