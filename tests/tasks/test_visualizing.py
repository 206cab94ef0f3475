"""Visualizers, analyzers and filters of a project as tasks; what they write against what is counted by hand."""

import csv
import re
import shutil

import cv2
import numpy as np
import pytest
import yaml
from musket_core import generic

from instance_segmentation_pipeline.cli import task as program
from tests.support.project import FAST, SHAPES, SMALL_CONFIG

MARKED = """
import os
import numpy as np
from musket_core.datasets import PredictionItem
from musket_core.visualization import *

@caption("image beside its grey")
@dataset_visualizer
@visualize_as_image
def greys(item: PredictionItem, factor: float = 1.0):
    path = context().path + item.id + "-grey.png"
    import imageio
    imageio.imwrite(path, (item.x.mean(axis=2) * factor).astype(np.uint8))
    return path

@dataset_visualizer
@visualize_as_image
def arrays(item):
    return item.x[..., 0]

@dataset_visualizer
def words(item):
    return f"={len(item.y[0])} objects"

@dataset_visualizer
@visualize_as_html
def pages(item):
    return f"<b>{item.id}</b>"

@require_original
@visualize_as_text
def originals(item, sign="#"):
    return sign + item.id

@dataset_analizer
def count_of(y):
    return len(y[0])

@dataset_analizer
def by_place(index, item: PredictionItem, modulo=2):
    assert item.prediction is None
    return index % modulo

@dataset_analizer
class Sizes:
    def __init__(self, limit=3):
        self.limit, self.groups = limit, {"few": [], "many": []}
    def __call__(self, index, item):
        self.groups["few" if len(item.y[0]) < self.limit else "many"].append(index)
    def results(self):
        return self.groups
    def visualizationHints(self):
        return {"type": "hist", "values": np.array([1, 2])}

@prediction_analizer
def right_count(y, prediction):
    return "right" if len(y[0]) == len(prediction[0]) else "wrong"

@dataset_filter
def has_at_least(item, least):
    return len(item.y[0]) >= int(least)

@dataset_visualizer
def fails(item):
    raise RuntimeError("no paint")

@dataset_visualizer
@visualize_as_image
def nothing(item):
    return "not/there.png"

@dataset_visualizer
@visualize_as_image
def wide(item):
    return np.zeros((3, 4, 5, 6))

@dataset_visualizer
@visualize_as_html
def no_page(item):
    return 3

@dataset_analizer
def breaks(y):
    return y.nothing

@dataset_analizer
class NoGroups:
    def __call__(self, index, item):
        return None
    def results(self):
        return 3
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("visualizing") / "project"
    shutil.copytree(SHAPES / "modules", root / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "modules" / "looks.py").write_text(MARKED)
    folder = root / "experiments" / "exp01"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(FAST.format(config=SMALL_CONFIG, extra=""))
    return root


def run(root, name, parameters="{}"):
    arguments = ["--project", str(root), "--name", "exp01", "--task", name, "--parameters", parameters]
    return program.main(arguments), root / "experiments" / "exp01" / "visualizations" / name


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def result(folder):
    return yaml.safe_load((folder / "result.yaml").read_text())


@pytest.fixture(scope="module")
def items(root):
    part = generic.parse(str(root / "experiments" / "exp01" / "config.yaml")).get_dataset("train")
    return [(item.id, item.x, len(item.y[0])) for item in part]


def test_pictures_by_path_are_left_where_they_are(root, items):
    status, folder = run(root, "greys", "{dataset: train0, count: 3, factor: 0.5}")
    assert status == 0
    shown = rows(folder / "index.csv")
    chosen = [items[number] for number in (0, round((len(items) - 1) / 2), len(items) - 1)]
    assert [row["id"] for row in shown] == [name for name, *_ in chosen]
    for row, (_, image, _) in zip(shown, chosen, strict=True):
        drawn = cv2.imread(str(folder / row["file"]), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(drawn, (image.mean(axis=2) * 0.5).astype(np.uint8))
    assert result(folder) == {"dataset": "train0", "items": 3, "viewer": "image", "caption": "image beside its grey"}


def test_arrays_pages_and_texts(root, items):
    status, folder = run(root, "arrays", "{dataset: train0, count: 1}")
    assert status == 0
    (row,) = rows(folder / "index.csv")
    drawn = cv2.imread(str(folder / row["file"]))
    assert np.abs(drawn[..., 1].astype(int) - items[0][1][..., 0]).mean() < 8
    status, folder = run(root, "pages", "{dataset: train0, count: 1}")
    assert (folder / rows(folder / "index.csv")[0]["file"]).read_text() == f"<b>{items[0][0]}</b>"
    status, folder = run(root, "words", "{dataset: train0, count: 1000}")
    assert [row["text"] for row in rows(folder / "index.csv")] == [f"'={count} objects" for *_, count in items]
    status, folder = run(root, "originals", "{dataset: train0, count: 1, sign: '!'}")
    assert rows(folder / "index.csv")[0]["text"] == f"!{items[0][0]}"


def test_analyzers_group_items(root, items):
    status, folder = run(root, "count_of", "{dataset: train0}")
    assert status == 0
    by_hand = {}
    for number, (_, _, count) in enumerate(items):
        by_hand.setdefault(str(count), []).append(number)
    assert {row["group"]: int(row["items"]) for row in rows(folder / "groups.csv")} == {
        group: len(each) for group, each in by_hand.items()
    }
    placed = [(row["group"], int(row["position"]), row["id"]) for row in rows(folder / "items.csv")]
    assert placed == [(group, one, items[one][0]) for group, each in by_hand.items() for one in each]
    assert cv2.imread(str(folder / "groups.png")) is not None
    status, folder = run(root, "by_place", "{dataset: train0, modulo: 3}")
    assert [row["group"] for row in rows(folder / "groups.csv")] == ["0", "1", "2"]


def test_classes_of_analyzers_and_filters(root, items):
    status, folder = run(root, "Sizes", "{dataset: train0, limit: 2}")
    assert status == 0
    many = [number for number, (*_, count) in enumerate(items) if count >= 2]
    assert result(folder)["groups"] == {"few": len(items) - len(many), "many": len(many)}
    assert yaml.safe_load((folder / "hints.yaml").read_text()) == {"type": "hist", "values": [1, 2]}
    for mode, expected in (("normal", many), ("inverse", sorted(set(range(len(items))) - set(many)))):
        filters = f"{{filterKind: has_at_least, filterArgs: 2, mode: {mode}}}"
        status, folder = run(root, "words", f"{{dataset: train0, count: 99, filters: {filters}}}")
        assert [row["id"] for row in rows(folder / "index.csv")] == [items[number][0] for number in expected]


BAD = [
    ("fails", "{}", "the visualizer fails fails on item .*: RuntimeError: no paint"),
    ("nothing", "{}", "gave 'not/there.png' for item .*, expected the file of a picture"),
    ("wide", "{}", "gave an array float64 .3, 4, 5, 6. for item"),
    ("no_page", "{}", "gave 3 for item .*, expected HTML"),
    ("breaks", "{}", "the analyzer breaks fails on item .*: AttributeError"),
    ("NoGroups", "{}", "results.. of NoGroups gave 3, expected a mapping"),
    ("right_count", "{}", "compares predictions, but the experiment has no trained fold"),
    ("words", "{count: 0}", "count is 0, expected a whole number from 1"),
    ("words", "{count: many}", "count is 'many'"),
    ("words", "{count: 1.5}", "count is 1.5"),
    ("words", "{count: true}", "count is True"),
    ("words", "{dataset: others}", "no dataset 'others'"),
    ("words", "{colour: red}", "'colour' is no parameter of it"),
    ("greys", "{factr: 1}", "'factr' is no parameter of it .did you mean 'factor'"),
    ("by_place", "{count: 3}", "'count' is no parameter"),
    ("Sizes", "{limits: 3}", "'limits' is no parameter of it .did you mean 'limit'"),
    ("words", "{filters: has_at_least}", "filters has 'has_at_least', expected"),
    ("words", "{filters: {filterKind: has_least}}", "filterKind 'has_least' is no filter of the project .did you mean"),
    ("words", "{filters: {filterKind: has_at_least, mode: other}}", "mode of the filter has_at_least is 'other'"),
    ("words", "{filters: {filterKind: has_at_least, applyAt: x}}", "filters has .*applyAt"),
    ("words", "{filters: [{filterKind: has_at_least, filterArgs: x}]}", "the filter has_at_least fails on item"),
    ("words", "{filters: {filterKind: 3}}", "filters has .*expected .filterKind"),
    ("visualize", "{count: -1}", "count is -1"),
    ("visualize", "{size: 3}", "'size' is no parameter"),
    ("greyss", "{}", "is no task of .*did you mean 'greys'"),
]


@pytest.mark.parametrize(("name", "parameters", "words"), BAD)
def test_what_cannot_be_shown_is_told(root, capfd, name, parameters, words):
    before = sorted(root.rglob("visualizations/*"))
    status, folder = run(root, name, parameters)
    said = capfd.readouterr().err
    assert status == (2 if "no task" in words else 1)
    assert re.search(words, said), said
    assert ".." not in said.replace("...", "")
    if folder not in before:
        assert not folder.exists() or list(folder.iterdir())


def test_a_project_without_visualizers_shows_its_instances(root, items, tmp_path):
    bare = tmp_path / "project"
    shutil.copytree(root, bare, ignore=shutil.ignore_patterns("looks.py", "visualizations", "__pycache__"))
    arguments = [
        "--project",
        str(bare),
        "--name",
        "exp01",
        "--task",
        "visualize",
        "--parameters",
        "{dataset: train0, count: 2}",
    ]
    assert program.main(arguments) == 0
    folder = bare / "experiments" / "exp01" / "visualizations"
    shown = rows(folder / "index.csv")
    assert len(shown) == 2
    counts = {name: count for name, _, count in items}
    assert [int(row["objects"]) for row in shown] == [counts[row["id"]] for row in shown]
    for row in shown:
        assert cv2.imread(str(folder / row["file"])) is not None


def test_a_failed_task_leaves_no_folder(root):
    """A task whose model is not trained made an empty folder before it was refused."""
    assert program.main(["--project", str(root), "--name", "exp01", "--task", "export_predictions"]) == 1
    assert not (root / "experiments" / "exp01" / "export_predictions").exists()
