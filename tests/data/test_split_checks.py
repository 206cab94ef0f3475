"""Folds and holdouts that a dataset brings or a file keeps: what cannot be right is refused, and nothing is dropped."""

import re

import numpy as np
import pytest
import yaml
from musket_core import generic
from musket_core.datasets import SubDataSet

from instance_segmentation_pipeline.data.splits import item_order, read_split, write_split
from instance_segmentation_pipeline.errors import DatasetError, UserError
from tests.support.datasets import Items, square

COUNT = 12
HALVES = [(list(range(6)), list(range(6, 12)))]

BAD = [
    ({"folds": []}, "", "the dataset's folds is empty"),
    ({"folds": "abc"}, "", "is a str"),
    ({"folds": 3}, "", "is a int"),
    ({"folds": {0: [1]}}, "", "is a dict"),
    ({"folds": [([0], [1], [2])]}, "", "fold 0 is 3 parts"),
    ({"folds": [5]}, "", "fold 0 is a int"),
    ({"folds": [([0, 1, 2], [])]}, "", "fold 0, validation is empty"),
    ({"folds": [([], [0, 1])]}, "", "fold 0, train is empty"),
    ({"folds": [([0, 1, 2, 3], [3, 4])]}, "", "trains on 1 of the items that it validates on (the first is item 3)"),
    ({"folds": [*HALVES, ([0, 1], [1])]}, "", "fold 1 trains on 1 of the items"),
    ({"folds": [([0, 1], [2, 99])]}, "", "names item 99, but the 12 items are 0 to 11"),
    ({"folds": [([0, -1], [2])]}, "", "names item -1"),
    ({"folds": [([0, 1], [2, 2])]}, "", "names item 2 more than once"),
    ({"folds": [([0, 1], [2.5])]}, "", "holds 2.5"),
    ({"folds": [([0, 1], ["a"])]}, "", "holds 'a'"),
    ({"folds": [([0, 1], [True, False])]}, "", "holds True"),
    ({"folds": [([0, 1], [[2], [3]])]}, "", "holds [2]"),
    ({"folds": [([0, 1], None)]}, "", "validation is a NoneType"),
    ({"folds": [(np.array([[0, 1]]), [2])]}, "", "fold 0, train holds"),
    ({"holdoutArr": []}, "", "holdoutArr is empty"),
    ({"holdoutArr": list(range(COUNT))}, "", "holds out all 12 items"),
    ({"holdoutArr": [99]}, "", "names item 99"),
    ({"holdoutArr": [1, 1]}, "", "names item 1 more than once"),
    ({"holdoutArr": ["a"]}, "", "holds 'a'"),
    ({"holdoutArr": 3}, "", "is a int"),
    ({"folds": HALVES, "holdoutArr": list(range(6))}, "", "without the holdout: fold 0, train is empty"),
    ({}, "testSplit: 0.99\n", "testSplit 0.99 of 12 items leaves 0 to train on"),
    ({}, "testSplit: 0.01\n", "testSplit 0.01 of 12 items leaves 12 to train on and 0 held out"),
    ({}, "validationSplit: 0.99\n", "validationSplit 0.99 cannot part 12 items"),
    ({}, "folds_count: 13\n", "too few for folds_count 13"),
    ({}, "folds_count: 11\ntestSplit: 0.5\n", "6 items to train on, too few for folds_count 11"),
]


@pytest.fixture
def config(add_experiment):
    """Return a function that makes a config over 12 items, with attributes set on the dataset."""

    def make(attributes, extra=""):
        dataset = Items([square(label=1 + number % 2) for number in range(COUNT)])
        for name, value in attributes.items():
            setattr(dataset, name, value)
        cfg = generic.parse(str(add_experiment(extra=extra)))
        cfg.use_dataset(dataset)
        return cfg

    return make


@pytest.mark.parametrize(("attributes", "extra", "message"), BAD, ids=[f"{one} {extra}" for one, extra, _ in BAD])
def test_what_cannot_be_right_is_refused(config, attributes, extra, message):
    cfg = config(attributes, extra)
    with pytest.raises(DatasetError) as caught:
        cfg.kfold()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not cfg.files.folds_split.exists()


def test_stratified_parts_too_small_for_the_classes_are_one_sentence(config):
    with pytest.raises(DatasetError, match="testSplit 0.05 cannot part 12 items, with each of 2 classes in both parts"):
        config({}, "stratified: true\ntestSplit: 0.05\n").kfold()


GOOD = [HALVES, [[np.arange(6), np.arange(6, 12)]], np.array([[range(6), range(6, 12)]]), [(range(6), range(6, 12))]]


@pytest.mark.parametrize("folds", GOOD, ids=["lists", "arrays", "one array", "ranges"])
def test_folds_of_any_sequence_are_taken(config, folds):
    assert config({"folds": folds}).kfold().folds == HALVES


@pytest.mark.parametrize("holdout", [[3, 1], (1, 3), {1, 3}, np.array([3, 1])], ids=["list", "tuple", "set", "array"])
def test_a_holdout_of_any_kind_is_taken(config, holdout):
    cfg = config({"holdoutArr": holdout})
    assert list(cfg.holdout().indexes) == [1, 3]
    assert cfg.kfold().ds.indexes == [0, 2, *range(4, 12)]


def test_own_folds_beside_a_share_held_out_mean_the_same_items(config):
    """Positions in the whole dataset become positions in what is left of it."""
    cfg = config({"folds": HALVES}, "testSplit: 0.25\n")
    folds = cfg.kfold()
    held = {cfg.get_dataset()[index].id for index in cfg.holdout().indexes}
    for is_train, wanted in ((True, HALVES[0][0]), (False, HALVES[0][1])):
        ids = {folds.ds[index].id for index in folds.indexes(0, is_train)}
        assert ids == {f"item{index}" for index in wanted} - held


def test_items_that_are_left_out_or_validate_twice_are_told(config, capsys):
    config({"folds": [([0, 1, 2], [3, 4]), ([0, 1], [4, 5])]}).kfold()
    told = capsys.readouterr().out
    assert "the dataset's folds: fold 0 leaves out 7 of 12 items, the first is item 5" in told
    assert "1 of 12 items validate more than one fold, the first is item 4" in told


def _edited(text):
    *marks, body = text.split("\n", 2)
    return "\n".join([*marks, re.sub(r"\b7\b", "8", body, count=1)])


@pytest.mark.parametrize(
    "change",
    [_edited, lambda text: text[:-20], lambda text: text + "- 1\n", lambda text: text.splitlines()[0] + "\n# content "],
    ids=["edited", "cut", "longer", "cut early"],
)
@pytest.mark.parametrize("which", ["folds_split", "holdout_split"])
def test_a_split_file_that_was_changed_is_refused_and_deleting_it_brings_it_back(config, change, which):
    cfg = config({}, "folds_count: 2\ntestSplit: 0.25\n")
    folds = cfg.kfold().folds
    path = getattr(cfg.files, which)
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    cfg.parts.folds.forget()
    with pytest.raises(DatasetError, match=f"{path.name} was edited or cut since it was written"):
        cfg.kfold()
    path.unlink()
    assert cfg.kfold().folds == folds
    assert path.read_text() == text


@pytest.mark.parametrize("body", [b"\xff\xfe", b"- [1, 2\n", b"- - - 0\n    - 1\n"], ids=["bytes", "open", "halved"])
def test_a_damaged_file_of_an_earlier_version_is_one_sentence(config, body):
    cfg = config({})
    cfg.kfold()
    first = cfg.files.folds_split.read_text().splitlines()[0]
    cfg.files.folds_split.write_bytes(first.encode() + b"\n" + body)
    cfg.parts.folds.forget()
    with pytest.raises(UserError) as caught:
        cfg.kfold()
    assert str(cfg.files.folds_split) in str(caught.value)


def test_a_file_of_an_earlier_version_has_no_digest_and_is_still_read(tmp_path):
    write_split(tmp_path / "new", HALVES, "mark")
    first, second, _ = (tmp_path / "new").read_text().split("\n", 2)
    assert second.startswith("# content ")
    (tmp_path / "old").write_text(first + "\n" + yaml.safe_dump([list(fold) for fold in HALVES]))
    assert [tuple(fold) for fold in read_split(tmp_path / "old", "mark")] == HALVES


@pytest.mark.parametrize("items", ["", "0123"])
def test_a_file_that_lost_its_digest_is_refused(tmp_path, items):
    write_split(tmp_path / "split", HALVES, "mark", items)
    first, _, *rest = (tmp_path / "split").read_text().splitlines(keepends=True)
    (tmp_path / "split").write_text("".join([first, *rest]))
    with pytest.raises(DatasetError, match="was edited or cut since it was written"):
        read_split(tmp_path / "split", "mark", items)


def test_stratification_classes_may_be_of_any_kind(config):
    cfg = config({}, "folds_count: 2\nstratified: true\n")
    type(cfg.get_dataset()).get_stratify_class = lambda self, item: "ab"[item % 2]
    try:
        for train, _ in cfg.kfold().folds:
            assert sum(index % 2 for index in train) == 3
    finally:
        del type(cfg.get_dataset()).get_stratify_class


# -- the order of the items ----------------------------------------------------------------------------------


class Listed(Items):
    def __init__(self, names):
        super().__init__([square()] * len(names))
        self.files = list(names)


NAMES = [f"cells/{number:02}.png" for number in range(40)]
SWAPPED = [*NAMES[:1], NAMES[2], NAMES[1], *NAMES[3:]]


def _fold_of(add_experiment, dataset, name):
    cfg = generic.parse(str(add_experiment(name)))
    cfg.use_dataset(dataset)
    cfg.kfold()
    return cfg


def test_items_that_changed_places_are_not_split_as_before(add_experiment):
    cfg = _fold_of(add_experiment, Listed(NAMES), "exp01")
    text = cfg.files.folds_split.read_text()
    cfg.use_dataset(Listed(SWAPPED))
    cfg.kfold()  # nothing was trained yet
    assert cfg.files.folds_split.read_text() != text
    (cfg.files.root / "weights").mkdir()
    (cfg.files.root / "weights" / "best-0.0.weights").write_bytes(b"trained")
    cfg.use_dataset(Listed(NAMES))
    with pytest.raises(UserError, match="or order of the items than there is now"):
        cfg.kfold()


def test_an_order_is_told_by_names_alone():
    moved = [f"/elsewhere/{name}" for name in NAMES]
    assert item_order(Listed(NAMES)) == item_order(Listed(moved)) != ""
    assert item_order(Listed(NAMES)) != item_order(Listed(SWAPPED))
    assert item_order(SubDataSet(Listed(NAMES), [3, 1])) != item_order(SubDataSet(Listed(NAMES), [1, 3]))
    assert item_order(SubDataSet(Listed(NAMES), [1])) == item_order(SubDataSet(Listed(SWAPPED), [2]))
    assert item_order(Items([square()] * 3)) == ""
    assert item_order([square()] * 3) == ""
    assert item_order(Listed(["same"] * 5)) == ""


def test_a_file_that_does_not_know_the_order_is_taken(tmp_path):
    write_split(tmp_path / "s", HALVES, "mark")
    assert read_split(tmp_path / "s", "mark", "order") is not None
    write_split(tmp_path / "s", HALVES, "mark", "order")
    assert read_split(tmp_path / "s", "mark") is not None
    assert read_split(tmp_path / "s", "mark", "order") is not None
    assert read_split(tmp_path / "s", "mark", "other") is None
