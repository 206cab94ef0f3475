"""A prediction store answers for its own dataset only: what tells datasets apart, and what does not count."""

import os
import shutil
from dataclasses import dataclass

import cv2
import numpy as np
import pandas
import pytest
from musket_core import generic
from musket_core.datasets import CompositeDataSet, DataSet, PredictionItem, SubDataSet

from instance_segmentation_pipeline.data.fingerprint import dataset_mark
from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.errors import DatasetError
from instance_segmentation_pipeline.inference.prediction_datasets import ConcatPredictions
from instance_segmentation_pipeline.inference.prediction_store import PredictionStore
from instance_segmentation_pipeline.inference.predictor import Predictor
from tests.support.datasets import Items, shapes, square
from tests.support.stores import NONE, ONE, written

pytestmark = pytest.mark.slow

READER = ItemReader(3, "yxyx", "dataset", needs_masks=True)
COUNT, LOOKED_AT = 50, [round(place) for place in np.linspace(0, 49, 16)]
OTHER = next(number for number in range(50) if number not in LOOKED_AT)
"""An item whose pixels are not looked at."""


@dataclass
class Sample:
    """One item of ``OfRecords``."""

    file: str
    label: int


class OfAttributes(DataSet):
    """``COUNT`` images; what it holds is set by the tests."""

    def __init__(self, **held):
        super().__init__()
        vars(self).update(held)

    def __len__(self):
        return COUNT

    def __getitem__(self, item):
        self.reads = getattr(self, "reads", 0) + 1
        if hasattr(self, "cache"):
            self.cache[item] = np.full((8, 8, 3), item, np.uint8)
        return PredictionItem(f"i{item}", np.full((8, 8, 3), item, np.uint8), None)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(COUNT):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"image")
    (tmp_path / "one.h5").write_bytes(b"all images")
    os.chdir(tmp_path)
    return tmp_path


NAMES = [f"{number}.png" for number in range(COUNT)]


def dated(path):
    os.utime(path, ns=(1, 1))


def with_image(folder):
    return [np.full((5, 5, 3), number, np.uint8) for number in range(COUNT)]


def memmap(folder):
    if not (folder / "all.npy").exists():
        np.memmap(folder / "all.npy", np.uint8, "w+", shape=(COUNT, 4)).flush()
    return np.memmap(folder / "all.npy", np.uint8, "r", shape=(COUNT, 4))


def change_pixel(dataset):
    dataset.images[OTHER][3, 3, 1] = 255


def change(name, value):
    return lambda dataset: setattr(dataset, name, value)


def change_item(name, value):
    return lambda dataset: getattr(dataset, name).__setitem__(OTHER, value)


def touch(name):
    return lambda dataset: dated(name)


FILE = f"images/{OTHER}.png"
CHANGES = {
    "a file beside a folder": (lambda f: {"folder": "images", "files": list(NAMES)}, touch(FILE)),
    "a file by its path": (lambda f: {"files": [f"images/{name}" for name in NAMES]}, touch(FILE)),
    "a file by its absolute path": (lambda f: {"files": [f / "images" / name for name in NAMES]}, touch(FILE)),
    "a file by its id": (lambda f: {"folder": f / "images", "ids": [name[:-4] for name in NAMES]}, touch(FILE)),
    "a file in a record": (lambda f: {"samples": [Sample(f"images/{name}", 0) for name in NAMES]}, touch(FILE)),
    "a file in a mapping": (lambda f: {"samples": [{"file": f"images/{name}"} for name in NAMES]}, touch(FILE)),
    "an id": (lambda f: {"ids": list(NAMES)}, change_item("ids", "another")),
    "a pixel in memory": (lambda f: {"images": with_image(f)}, change_pixel),
    "a number for each": (lambda f: {"seeds": list(range(COUNT))}, change_item("seeds", 7777)),
    "an array": (lambda f: {"seeds": np.arange(COUNT)}, change_item("seeds", 7777)),
    "a target": (lambda f: {"pairs": [(number, None) for number in range(COUNT)]}, change_item("pairs", (7, None))),
    "a setting": (lambda f: {"seed": 1}, change("seed", 2)),
    "the one file of all": (lambda f: {"path": "one.h5"}, touch("one.h5")),
    "a file of an array": (lambda f: {"all": memmap(f)}, touch("all.npy")),
    "a table": (
        lambda f: {"table": pandas.DataFrame({"id": NAMES, "x": 0})},
        lambda dataset: dataset.table.loc.__setitem__((OTHER, "x"), 1),
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize(
    "wrapped", [lambda ds: ds, lambda ds: SubDataSet(ds, list(range(COUNT))), lambda ds: outer(ds)]
)
def test_a_change_in_an_item_that_is_not_looked_at(folder, kind, wrapped):
    held, change_it = CHANGES[kind]
    dataset = OfAttributes(**held(folder))
    shown = wrapped(dataset)
    before = dataset_mark(shown, READER)
    assert dataset_mark(shown, READER) == before
    assert dataset_mark(wrapped(OfAttributes(**held(folder))), READER) == before  # as in another process
    change_it(dataset)
    assert dataset_mark(shown, READER) != before


def outer(dataset):
    return CompositeDataSet([dataset, OfAttributes(seed=1)])


def test_what_is_read_does_not_count(folder):
    dataset = OfAttributes(folder="images", files=list(NAMES), cache={})
    before = dataset_mark(dataset, READER)
    for number in range(COUNT):
        dataset[number]
    dataset.name = "renamed"
    assert dataset_mark(dataset, READER) == before


def test_a_part_does_not_depend_on_the_others(folder):
    dataset = OfAttributes(folder="images", files=list(NAMES), images=with_image(folder))
    part, other = SubDataSet(dataset, [2, 4, 5]), SubDataSet(dataset, [OTHER, 4])
    before, of_other = dataset_mark(part, READER), dataset_mark(other, READER)
    dated(FILE)
    change_pixel(dataset)
    assert dataset_mark(part, READER) == before
    assert dataset_mark(other, READER) != of_other
    assert len({dataset_mark(SubDataSet(dataset, part), READER) for part in ([1, 2], [2, 1], [1, 3], [1])}) == 4


@pytest.mark.parametrize(
    "value", ["\udcff.png", "", "/", "//x", "a\0b", b"bytes", None, [1, [2, {"a": {1, 2}}]], 1 << 70]
)
def test_odd_values(folder, value):
    dataset = OfAttributes(ids=[value] * COUNT, setting=value)
    assert dataset_mark(dataset, READER) == dataset_mark(dataset, READER)


# -- stores ------------------------------------------------------------------------------------------------------


@pytest.fixture
def cfg(trained, tmp_path, monkeypatch):
    root = tmp_path / "experiments" / "exp01"
    shutil.copytree(trained.parent, root)
    shutil.copytree(trained.parents[2] / "modules", tmp_path / "modules")
    cfg = generic.parse(str(root / "config.yaml"))
    monkeypatch.setattr(Predictor, "_net", lambda self, files, fold, stage, device: Brightness())
    return cfg


class Brightness:
    """Finds one object in each image, whose score is the image's mean: a small net, barely trained, finds none."""

    def detect(self, images):
        return [
            Detections(
                *image.shape[:2], np.array([0]), np.array([image.mean() / 255], np.float32), np.ones((1, 4)), None
            )
            for image in images
        ]


def answers(store):
    return [store.detections(number) for number in range(len(store))]


def equal(first, second):
    return all(
        a.scores.tolist() == b.scores.tolist() and a.bboxes.tolist() == b.bboxes.tolist()
        for a, b in zip(first, second, strict=True)
    )


def pairs(of):
    return [of[number] for number in range(len(of))]


@pytest.mark.parametrize(
    "two",
    [
        lambda: [Items([(one.x, one.y) for one in pairs(shapes(4, seed=seed))]) for seed in (1, 2)],
        lambda: [SubDataSet(shapes(8), numbers) for numbers in ([0, 1, 2], [5, 6, 7])],
        lambda: [named(shapes(3, seed=seed)) for seed in (1, 2)],
    ],
)
def test_datasets_of_one_name_have_stores_of_their_own(cfg, two):
    a, b = two()
    first = cfg.predictions(a, 0, 0)
    found = answers(first)
    second = cfg.predictions(b, 0, 0)
    assert first.path != second.path
    assert equal(answers(first), found)
    assert not equal(answers(second), found)
    again = cfg.predictions(two()[0], 0, 0)
    assert again.path == first.path
    assert equal(answers(again), found)


def named(dataset):
    dataset.name = "cells"
    return dataset


def test_a_store_that_was_made_anew_for_something_else_is_refused(tmp_path):
    first = written(tmp_path / "a.sqlite", (ONE, NONE), "first")
    assert len(first.detections(0)) == len(ONE)
    unnamed = PredictionStore(first.parent, first.path)
    assert len(unnamed.detections(0)) == len(ONE)
    written(tmp_path / "a.sqlite", (NONE, ONE), "second")
    for store in (first, unnamed):
        with pytest.raises(DatasetError, match="was made anew, from other weights, settings or data"):
            store.detections(0)
    written(tmp_path / "a.sqlite", (ONE, NONE), "first")
    assert len(first.detections(0)) == len(ONE)


def test_a_store_by_its_file_is_of_its_dataset_only(cfg, tmp_path):
    first, second = (Items([square(side=side) for _ in range(3)]) for side in (10, 14))
    path = str(tmp_path / "mine.sqlite")
    store = cfg.create_writeable_dataset(first, path)
    for _ in range(3):
        store.append(ONE)
    store.commit()
    assert len(cfg.load_writeable_dataset(first, path).detections(1)) == len(ONE)
    for wrong in (second, Items(first.pairs[:2]), Items(first.pairs * 2)):
        with pytest.raises(DatasetError, match=r"mine\.sqlite holds predictions on another dataset"):
            cfg.load_writeable_dataset(wrong, path)
    (tmp_path / "broken.sqlite").write_bytes(b"SQLite format 3\0")
    for name in ("broken.sqlite", "missing.sqlite"):
        with pytest.raises(DatasetError, match="is no prediction store that can be read"):
            cfg.load_writeable_dataset(first, str(tmp_path / name))


def test_positions_from_the_end_in_several_datasets(tmp_path):
    a = written(tmp_path / "a.sqlite", (ONE, ONE))
    b = written(tmp_path / "b.sqlite", (NONE, NONE, ONE), dataset=Items([square(height=30, width=31)] * 3))
    both = ConcatPredictions([a, b])
    for position in range(5):
        assert len(both.detections(position - 5)) == len(both.detections(position))
        assert both[position - 5].x.shape == both[position].x.shape
        assert len(both[position - 5].prediction[0]) == len(both[position].prediction[0])
    assert both[-1].x.shape == (30, 31, 3)
    for position in (5, -6):
        with pytest.raises(IndexError):
            both.detections(position)
        with pytest.raises(IndexError):
            both[position]


def test_an_image_that_was_replaced_is_predicted_anew(cfg, tmp_path):
    (tmp_path / "data").mkdir()
    os.chdir(tmp_path / "data")
    images = [one.x for one in pairs(shapes(20))]
    for number, image in enumerate(images):
        cv2.imwrite(f"{number}.png", image)

    class OfFiles(DataSet):
        def __init__(self):
            super().__init__()
            self.files = [f"{number}.png" for number in range(20)]

        def __len__(self):
            return len(self.files)

        def __getitem__(self, item):
            return PredictionItem(self.files[item], cv2.imread(self.files[item]), None)

    first = cfg.predictions(OfFiles(), 0, 0)
    cv2.imwrite("9.png", images[0])
    second = cfg.predictions(OfFiles(), 0, 0)
    assert first.path != second.path
    assert second.detections(9).scores.tolist() == second.detections(0).scores.tolist()


@pytest.mark.parametrize("value", ["x" * 5000, "a\0b", "/" * 300 + "y" * 300, "\udcff" * 10, "a\n" * 2000])
def test_texts_that_are_no_paths(value):
    """Attributes that hold a text, alone or in a list, are looked at as names of files, and may be none at all."""
    for held in (value, [value, value], {"about": value}):
        assert dataset_mark(OfAttributes(about=held), READER) != dataset_mark(OfAttributes(about="other"), READER)
