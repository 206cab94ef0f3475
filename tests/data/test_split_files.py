"""Split files: written as lists that YAML and JSON share, read in a moment whatever their size, old layouts too."""

import random

import numpy as np
import pytest
import yaml
from musket_core import generic, utils
from musket_core.datasets import DataSet, PredictionItem

from instance_segmentation_pipeline.data.split_text import parse_split, split_text
from instance_segmentation_pipeline.data.splits import SplitRequest, is_made_from, make_folds, read_split, write_split
from instance_segmentation_pipeline.storage.yaml_files import read_yaml
from tests.support.datasets import Items, square

FOLDS = [[[0, 1, 10], [2]], [[2, 1], [0, 10]]]
LAYOUTS = {
    "folds": yaml.safe_dump(FOLDS),
    "holdout": yaml.safe_dump(FOLDS[0]),
    "one fold": yaml.safe_dump([[[3, 1], [0, 2]]]),
    "flow": yaml.safe_dump(FOLDS, default_flow_style=True),
    "flow lists in dashes": yaml.safe_dump(FOLDS, default_flow_style=None),
    "an empty part": yaml.safe_dump([[[1, 2], []]]),
    "octal": "- - - 010\n    - 1\n  - - 2\n",
    "underscores": "- - - 1_0\n    - 1\n  - - 2\n",
    "signs and hexadecimals": "- - +1\n  - 0x10\n- - -1\n",
    "a comment": "- - - 0 # first\n    - 1\n  - - 2\n",
    "other indentation": "-  -  - 0\n      - 1\n   -  - 2\n",
    "uneven depth": "- - - 0\n    - 1\n  - - 2\n- - 3\n  - 4\n",
    "a scalar beside a list": "- - 0\n  - 1\n- 7\n",
    "text": "- - a\n  - b\n- - c\n",
    "Windows lines": "- - - 0\r\n    - 1\r\n  - - 2\r\n",
    "no last newline": "- - 0\n  - 1\n- - 2",
    "nothing": "",
}


class Many(DataSet):
    """A dataset of many items, which counts how often one is read."""

    def __init__(self, count, reads):
        super().__init__()
        self.count, self.reads = count, reads

    def __len__(self):
        return self.count

    def meta(self):
        return {"CLASSES": ["a", "b", "c"]}

    def __getitem__(self, item):
        self.reads.append(item)
        image, y = square()
        return PredictionItem(f"item{item}", image, y)


@pytest.fixture
def no_yaml(monkeypatch):
    """Refuse to parse YAML."""

    def refuse(*_, **__):
        raise AssertionError("a YAML parser was used")

    def forbid():
        for name in ("load", "safe_load", "load_all", "parse", "compose"):
            monkeypatch.setattr(yaml, name, refuse)

    return forbid


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_means_what_yaml_says(layout):
    text = LAYOUTS[layout]
    assert parse_split(text) == yaml.safe_load(text)


def test_layouts_that_differ_in_one_character_mean_what_yaml_says():
    """Each of them is a split of an earlier version with one character lost, added or changed."""
    chance = random.Random(5)
    for _ in range(400):
        text = list(yaml.safe_dump([[chance.sample(range(30), 3) for _ in range(2)] for _ in range(2)]))
        place = chance.randrange(len(text))
        text[place : place + chance.randrange(2)] = chance.choice(["", " ", "-", "\n", "0", "_", "- "])
        try:
            expected = yaml.safe_load("".join(text))
        except (yaml.YAMLError, ValueError):
            with pytest.raises((yaml.YAMLError, ValueError)):
                parse_split("".join(text))
        else:
            assert parse_split("".join(text)) == expected


@pytest.mark.parametrize("shape", ["lists", "tuples", "arrays", "numbers of NumPy", "ranges"])
def test_lists_of_any_kind_are_written_as_yaml_that_musket_core_reads(tmp_path, shape):
    make = {
        "lists": list,
        "tuples": tuple,
        "arrays": np.asarray,
        "numbers of NumPy": lambda part: list(np.asarray(part)),
        "ranges": lambda part: range(part[0], part[0] + 3),
    }[shape]
    split = [(make(train), make(validation)) for train, validation in FOLDS]
    write_split(tmp_path / "s", split, '{"items": 3}')
    expected = [[[int(index) for index in part] for part in fold] for fold in split]
    assert read_split(tmp_path / "s", '{"items": 3}') == expected
    assert utils.load_yaml(tmp_path / "s") == expected
    assert yaml.safe_load((tmp_path / "s").read_text()) == expected


@pytest.mark.parametrize("write", [split_text, yaml.safe_dump], ids=["ours", "of an earlier version"])
def test_no_yaml_parser_sees_a_split(no_yaml, write):
    text = write([[list(train), list(validation)] for train, validation in FOLDS])
    no_yaml()
    assert parse_split(text) == FOLDS


def test_what_a_split_was_made_from_is_told_by_its_first_line(tmp_path):
    """The file claims a terabyte, which nobody could read."""
    path = tmp_path / "s"
    with path.open("wb") as file:
        file.write(b'# made from {"items": 3}\n')
        file.truncate(1 << 40)
    assert is_made_from(path, '{"items": 3}')
    assert not is_made_from(path, '{"items": 4}')
    assert not is_made_from(path, '{"items": 3')
    assert read_split(path, '{"items": 4}') is None
    assert not is_made_from(tmp_path / "none", '{"items": 3}')


@pytest.mark.parametrize("stratified", ["false", "true"])
def test_two_hundred_thousand_items(add_experiment, no_yaml, stratified):
    """Starting reads the few items that stand for the dataset, and no YAML but the config's."""
    path = add_experiment(extra=f"folds_count: 5\ntestSplit: 0.1\nstratified: {stratified}\n")
    configs = [generic.parse(str(path)) for _ in range(2)]
    no_yaml()
    splits, reads = [], [[], []]
    for cfg, read in zip(configs, reads, strict=True):
        dataset = Many(200_000, read)
        dataset.get_target = lambda item: square(label=1 + item % 3)[1]
        cfg.use_dataset(dataset)
        folds = cfg.kfold()
        splits.append((folds.folds, list(cfg.holdout().indexes)))
        assert len(read) <= 8
    assert splits[0] == splits[1]
    assert [len(validation) for _, validation in splits[0][0]] == [36_000] * 5


def test_a_split_of_an_earlier_version_stays(add_experiment):
    cfg = generic.parse(str(add_experiment(extra="folds_count: 3\ntestSplit: 0.25\n")))
    cfg.use_dataset(Items([square() for _ in range(24)]))
    folds, held = cfg.kfold().folds, list(cfg.holdout().indexes)
    for path in (cfg.files.folds_split, cfg.files.holdout_split):
        mark = path.read_text().split("\n", 1)[0]
        old = yaml.safe_dump(yaml.safe_load(path.read_text()), sort_keys=False)
        path.write_text(f"{mark}\n{old}")
    before = cfg.files.folds_split.read_bytes()
    cfg.parts.folds.forget()
    assert (cfg.kfold().folds, list(cfg.holdout().indexes)) == (folds, held)
    assert cfg.files.folds_split.read_bytes() == before


@pytest.mark.parametrize("lost", ["folds_split", "holdout_split"])
def test_a_stratified_split_that_lost_a_file_is_made_again_as_it_was(add_experiment, lost):
    cfg = generic.parse(str(add_experiment(extra="folds_count: 2\ntestSplit: 0.25\nstratified: true\n")))
    cfg.use_dataset(Items([square(label=1 + number // 15) for number in range(20)]))
    folds, held = cfg.kfold().folds, list(cfg.holdout().indexes)
    getattr(cfg.files, lost).unlink()
    cfg.parts.folds.forget()
    assert (cfg.kfold().folds, list(cfg.holdout().indexes)) == (folds, held)


def test_the_loader_is_the_safe_one(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("!!python/object/apply:os.getcwd []\n")
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        read_yaml(path)


def test_folds_of_numpy_go_through_the_text_unchanged():
    folds = make_folds(50, SplitRequest(4, 0.2, 33, False, 0, 1), None)
    assert [tuple(fold) for fold in parse_split(split_text(folds))] == folds
