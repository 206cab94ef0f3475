"""Every kind of fault of items is told by name, of each item, by checks of the whole dataset; no net is made."""

import faulthandler
import os
import signal

import numpy as np
import pytest
from musket_core.datasets import SubDataSet

from instance_segmentation_pipeline.checking import item_scan
from instance_segmentation_pipeline.checking.box_checks import boxes
from instance_segmentation_pipeline.checking.class_counts import class_counts
from instance_segmentation_pipeline.checking.duplicates import duplicates
from instance_segmentation_pipeline.checking.findings import FAULT, WARNING
from instance_segmentation_pipeline.checking.item_scan import ItemScan
from instance_segmentation_pipeline.checking.object_counts import object_counts
from instance_segmentation_pipeline.checking.parts import ScannedParts
from instance_segmentation_pipeline.checking.sizes import sizes
from instance_segmentation_pipeline.checking.unreadable import unreadable
from instance_segmentation_pipeline.data.cross_validation import Split
from instance_segmentation_pipeline.data.item_reader import ItemReader
from tests.support.datasets import Items, square

READER = ItemReader(3, "yxyx", "dataset", True)


def noisy(seed, **options):
    """Return a square on an image that is like no other."""
    image, y = square(**options)
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 255, (5, 6, 3), np.uint8)
    return np.kron(cells, np.ones((8, 10, 1), np.uint8))[: image.shape[0], : image.shape[1]], y


def texts(section, kind):
    return [finding.text for finding in section.findings if finding.kind == kind]


def _image(change):
    return lambda image, y: (change(image), y)


def _target(change):
    return lambda image, y: (image, change(*y))


BROKEN = {
    "no image": (_image(lambda image: None), "x is nothing"),
    "a text for an image": (_image(lambda image: "a.png"), "x is a str"),
    "grey": (_image(lambda image: image[..., 0]), "expected (height, width, 3)"),
    "four channels": (_image(lambda image: np.dstack([image, image[..., 0]])), "expected (height, width, 3)"),
    "floats": (_image(lambda image: image / 255), "dtype float64"),
    "no pixels": (_image(lambda image: image[:0]), "expected (height, width, 3)"),
    "no target": (lambda image, y: (image, None), "y is a NoneType"),
    "labels alone": (_target(lambda labels, bboxes, masks: (labels,)), "y is a sequence of 1"),
    "without masks": (_target(lambda labels, bboxes, masks: (labels, bboxes)), "this model learns masks"),
    "label 0": (_target(lambda labels, bboxes, masks: (labels * 0, bboxes, masks)), "label"),
    "label 4 of 3": (_target(lambda labels, bboxes, masks: (labels + 3, bboxes, masks)), "label"),
    "labels in words": (_target(lambda labels, bboxes, masks: (np.array(["a"]), bboxes, masks)), "label"),
    "half a label": (_target(lambda labels, bboxes, masks: (labels + 0.5, bboxes, masks)), "label"),
    "two labels": (_target(lambda labels, bboxes, masks: (np.array([1, 2]), bboxes, masks)), "bboxes"),
    "box of three": (_target(lambda labels, bboxes, masks: (labels, bboxes[:, :3], masks)), "bboxes"),
    "NaN in a box": (_target(lambda labels, bboxes, masks: (labels, bboxes * np.nan, masks)), "bbox"),
    "infinite box": (_target(lambda labels, bboxes, masks: (labels, bboxes * np.inf, masks)), "bbox"),
    "box that ends before": (_target(lambda labels, bboxes, masks: (labels, bboxes[:, [2, 3, 0, 1]], masks)), "bbox"),
    "box outside": (_target(lambda labels, bboxes, masks: (labels, bboxes + 500, masks)), "bbox"),
    "boxes in words": (_target(lambda labels, bboxes, masks: (labels, [["a"] * 4], masks)), "bboxes"),
    "mask of another size": (_target(lambda labels, bboxes, masks: (labels, bboxes, masks[:, :-1])), "mask"),
    "mask of twos": (_target(lambda labels, bboxes, masks: (labels, bboxes, masks * 2)), "mask"),
    "no masks": (_target(lambda labels, bboxes, masks: (labels, bboxes, masks[:0])), "mask"),
    "RLE of another size": (
        _target(lambda labels, bboxes, masks: (labels, bboxes, [{"size": [9, 9], "counts": [81]}])),
        "mask",
    ),
    "RLE without counts": (_target(lambda labels, bboxes, masks: (labels, bboxes, [{"size": [40, 60]}])), "mask"),
}


class Raising(Items):
    """Items some of which raise, or end their process."""

    def __init__(self, pairs, faults):
        super().__init__(pairs)
        self.faults = faults

    def __getitem__(self, item):
        if item in self.faults:
            self.faults[item]()
        return super().__getitem__(item)


def _raise(error):
    def raises():
        raise error

    return raises


def _crash():
    faulthandler.disable()  # pytest's, which would write a page
    os.kill(os.getpid(), signal.SIGSEGV)


ERRORS = {
    "missing file": (_raise(FileNotFoundError(2, "No such file", "a.png")), "a.png"),
    "KeyError": (_raise(KeyError("name")), "name"),
    "no memory": (_raise(MemoryError()), "MemoryError"),
    "exit": (_raise(SystemExit(3)), "3"),
    "recursion": (_raise(RecursionError("too deep")), "too deep"),
    "terminal codes": (_raise(ValueError("\x1b[31mred\nand more")), "red"),
    "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), "killed by SIGKILL"),
    "segmentation fault": (_crash, "killed by SIGSEGV"),
    "leaves": (lambda: os._exit(7), "ended with status 7"),
}


def test_every_broken_item_is_listed():
    pairs = [noisy(0), *(change(*noisy(number + 1)) for number, (change, _) in enumerate(BROKEN.values()))]
    scan = ItemScan([Items(pairs)], READER, 0)
    assert scan.usable() == [0]
    faults = texts(unreadable(scan), FAULT)
    assert len(faults) == len(BROKEN)
    for number, (fault, (kind, (_, words))) in enumerate(zip(faults, BROKEN.items(), strict=True), 1):
        assert words in fault, (kind, fault)
        assert f"item{number}" in fault, (kind, fault)


@pytest.mark.parametrize("workers", [1, 3])
def test_an_item_that_ends_its_process_is_named_and_the_others_are_read(workers):
    faults = {3 * number: fault for number, (fault, _) in enumerate(ERRORS.values())}
    count = 3 * len(ERRORS)
    scan = ItemScan([Raising([noisy(number) for number in range(count)], faults)], READER, workers)
    assert scan.usable() == [number for number in range(count) if number not in faults]
    for number, (kind, (_, words)) in zip(faults, ERRORS.items(), strict=True):
        assert words in scan.facts[number].error, kind
        assert "\x1b" not in scan.facts[number].error


def test_a_dataset_that_kills_each_process_is_given_up(monkeypatch):
    monkeypatch.setattr(item_scan, "MOST_DEATHS", 3)
    pairs = [noisy(number) for number in range(9)]
    scan = ItemScan([Raising(pairs, dict.fromkeys(range(len(pairs)), lambda: os._exit(1)))], READER, 1)
    assert scan.usable() == []
    assert "was not read" in scan.facts[-1].error


def test_an_object_that_is_there_twice():
    image, (labels, bboxes, masks) = noisy(0)
    twice = (image, (labels.repeat(2), bboxes.repeat(2, axis=0), masks.repeat(2, axis=0)))
    other = (image, (np.array([1, 2]), bboxes.repeat(2, axis=0), masks.repeat(2, axis=0)))
    assert "annotated twice" in texts(unreadable(ItemScan([Items([twice])], READER, 0)), WARNING)[0]
    assert not texts(unreadable(ItemScan([Items([other, noisy(1)])], READER, 0)), WARNING)


BOXES = {
    "xyxy": (lambda b: b[:, [1, 0, 3, 2]], FAULT, "set bboxOrder: xyxy"),
    "xywh": (lambda b: np.c_[b[:, [1, 0]], b[:, [3, 2]] - b[:, [1, 0]]], FAULT, "[minX, minY, width, height]"),
    "yxhw": (lambda b: np.c_[b[:, :2], b[:, 2:] - b[:, :2]], FAULT, "[minY, minX, height, width]"),
    "centres": (lambda b: np.c_[(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], FAULT, "[centre y, centre x"),
    "normalised": (lambda b: b / [40, 60, 40, 60], FAULT, "as shares of the image's sides"),
    "inclusive": (lambda b: b - [0, 0, 1, 1], WARNING, "inclusive"),
    "elsewhere": (lambda b: np.clip(b + np.array([20, -15] * 2), 0, [25, 45, 40, 60]), WARNING, "lie elsewhere"),
}


@pytest.mark.parametrize("kind", BOXES)
def test_the_form_of_boxes_is_told_by_name(kind):
    change, wanted, words = BOXES[kind]
    pairs = []
    for number in range(8):
        image, (labels, bboxes, masks) = noisy(number, top=3 + number % 2, left=30 + number, side=9)
        pairs.append((image, (labels, change(bboxes.astype(float)), masks)))
    section = boxes(ItemScan([Items(pairs)], READER, 0), "yxyx", "dataset")
    assert [finding.kind for finding in section.findings] == [wanted]
    assert words in section.findings[0].text


def test_boxes_as_expected_are_left_alone():
    scan = ItemScan([Items([noisy(number) for number in range(4)])], READER, 0)
    assert not texts(boxes(scan, "yxyx", "dataset"), FAULT) + texts(boxes(scan, "yxyx", "dataset"), WARNING)


def _parts(dataset, folds, held=()):
    train = [number for number in range(len(dataset)) if number not in held]
    kept = SubDataSet(dataset, train) if held else dataset
    return ScannedParts.of(dataset, Split(kept, SubDataSet(dataset, list(held)) if held else None, folds), None)


def test_classes_and_parts_without_examples():
    dataset = Items([noisy(number, label=1 if number < 3 else 2) for number in range(4)])
    parts = _parts(dataset, [([0, 1, 2], [3]), ([3, 0, 1], [2])])
    warned = texts(class_counts(ItemScan(parts.sources, READER, 0), parts, ["a", "b", "c"]), WARNING)
    for words in ("no object of 'c'", "fold 0 train has no object of 'b'", "fold 0 validation has no object of 'a'",
                  "fold 1 validation has no object of 'b'"):  # fmt: skip
        assert any(words in text for text in warned), words
    assert not any("fold 1 train" in text for text in warned)


def test_parts_without_items_or_objects():
    image, (labels, bboxes, masks) = noisy(1)
    empty = (image, (labels[:0], bboxes[:0], masks[:0]))
    dataset = Items([noisy(0), empty])
    parts = _parts(dataset, [([0], [1]), ([1], [0]), ([0, 1], [])])
    section = class_counts(ItemScan(parts.sources, READER, 0), parts, ["a"])
    assert any("fold 0 validation has no object" in text for text in texts(section, WARNING))
    assert any("fold 1 train has no object" in text for text in texts(section, WARNING))
    assert any("fold 2 validation has no item" in text for text in texts(section, FAULT))


def _brighter(pair):
    return np.clip(pair[0].astype(int) + 4, 0, 255).astype(np.uint8), pair[1]


@pytest.mark.parametrize(
    ("make", "kind"), [(lambda pair: pair, "the same pixels"), (_brighter, "nearly the same pixels")]
)
@pytest.mark.parametrize(
    ("folds", "held", "where"),
    [
        ([([0, 1, 2], [3])], (), "training and validation of fold 0"),
        ([([1, 2], [3]), ([1, 3], [0])], (), "training and validation of fold 1"),
        ([([0, 1], [2])], (3,), "training and holdout"),
        ([([0, 3], [1, 2])], (), None),
    ],
)
def test_images_on_both_sides_of_a_split(make, kind, folds, held, where):
    dataset = Items([noisy(0), noisy(1), noisy(2), make(noisy(0))])
    parts = _parts(dataset, folds, held)
    warned = texts(duplicates(ItemScan(parts.sources, READER, 0), parts), WARNING)
    assert len(warned) == 1
    assert f"have {kind} and lie on {'one side' if where is None else 'both sides'} of the split" in warned[0]
    assert where is None or where in warned[0]


def test_unlike_and_flat_images_are_no_duplicates():
    flat = [(np.full((40, 60, 3), 10 * number, np.uint8), square()[1]) for number in range(5)]
    dataset = Items([*(noisy(number) for number in range(30)), *flat])
    parts = _parts(dataset, [(list(range(30)), list(range(30, 35)))])
    assert not texts(duplicates(ItemScan(parts.sources, READER, 0), parts), WARNING)


def test_objects_that_vanish_or_are_too_many():
    pairs = [noisy(number, side=12 if number else 2) for number in range(5)]
    scan = ItemScan([Items(pairs)], READER, 0)
    shrunk = texts(sizes(scan, lambda number, height, width: (0.25, 0.25)), WARNING)
    assert any("1 of the 5 objects are less than a pixel" in text and "item0" in text for text in shrunk)
    assert any("smaller than 8 x 8" in text for text in shrunk)
    assert not texts(sizes(scan, lambda number, height, width: (4, 4)), WARNING)
    image, (labels, bboxes, masks) = noisy(0)
    full = (image, (labels.repeat(5), bboxes.repeat(5, axis=0), masks.repeat(5, axis=0)))
    crowded = object_counts(ItemScan([Items([full, noisy(1)])], READER, 0), {"model.test_cfg.max_per_img": 3})
    assert "1 items have more than 3 objects (up to 5)" in texts(crowded, WARNING)[0]
    assert "raise model.test_cfg.max_per_img" in texts(crowded, WARNING)[0]
