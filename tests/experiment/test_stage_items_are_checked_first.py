"""What decides which items stages show is asked before a run begins: nothing is put aside or written for one that fails."""

import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import UserError

MODULE = """
from musket_core.datasets import dataset_provider
from shapes import Shapes


class Told(Shapes):
    def __init__(self, weight="1 + item", positive="item % 2"):
        super().__init__(12, 64, 0)
        self.weight, self.positive = weight, positive

    def sample_weight(self, item):
        return eval(self.weight)

    def isPositive(self, item):
        return eval(self.positive)


@dataset_provider
def get_told(weight="1 + item", positive="item % 2"):
    return Told(weight, positive)


def leaking(folds):
    folds.folds = [([*train, *part[:2]], part) for train, part in folds.folds]
    return folds


def failing(folds):
    raise ValueError("on purpose")


def plain(folds):
    return folds
"""
STAGES = ("  - epochs: 1\n", "  - epochs: 1\n  - epochs: 1\n    {}\n")
SHAPES = "  get_shapes: {count: 12, size: 64}\n"
WRONG = {
    "dataset_augmenter: nowhere\n": ((), "no function of the project's modules"),
    "dataset_augmenter: {name: plain, share: 1}\n": ((), "unexpected keyword argument 'share'"),
    "dataset_augmenter: failing\n": ((), "on purpose"),
    "folds_count: 3\ndataset_augmenter: leaking\n": ((), "trains fold 0 on 2 of the items that it validates on"),
    "weights below 0": (((SHAPES, "  get_told: ['-1']\n"),), "sample_weight of item"),
    "weights that fail": (((SHAPES, "  get_told: ['1 / 0']\n"),), "ZeroDivisionError"),
    "a sampler of one's own\nconfigOptions": (
        ((SHAPES, "  get_told:\n"), ("stages:", "  train_dataloader.sampler.shuffle: false\nstages:")),
        "train_dataloader.sampler",
    ),
    "nothing is positive": (
        ((SHAPES, "  get_told: ['1', '0']\n"), (STAGES[0], STAGES[1].format("negatives: none"))),
        "negatives is none",
    ),
    "isPositive fails": (
        ((SHAPES, "  get_told: ['1', '1 / 0']\n"), (STAGES[0], STAGES[1].format("validation_negatives: 1"))),
        "isPositive of item",
    ),
}


@pytest.fixture
def add(project, add_experiment):
    """Return a function that adds an experiment of ``WRONG``."""
    (project / "modules" / "told.py").write_text(MODULE)

    def made(case, *replace):
        return add_experiment(extra=case if case.endswith("\n") else "", replace=replace)

    return made


@pytest.mark.parametrize("case", WRONG)
def test_a_run_that_has_no_items_ends_before_it_writes(add, case):
    replace, expected = WRONG[case]
    path = add(case, *replace)
    cfg = generic.parse(str(path))
    with pytest.raises(UserError, match=expected):
        cfg.check()
    with pytest.raises(UserError, match=expected):
        cfg.fit()
    assert sorted(one.name for one in path.parent.iterdir() if not one.name.endswith(".lock")) == ["config.yaml"]


def test_a_check_writes_no_split_and_the_run_makes_the_one_that_was_checked(add):
    path = add("folds_count: 3\ntestSplit: 0.4\nstratified: true\ndataset_augmenter: plain\n")
    cfg = generic.parse(str(path))
    cfg.check()
    checked = cfg.parts.folds.expected(cfg.get_dataset())
    assert sorted(one.name for one in path.parent.iterdir()) == ["config.yaml"]
    folds, fresh = cfg.kfold(), generic.parse(str(path))
    assert [list(map(list, one)) for one in folds.folds] == [list(map(list, one)) for one in checked.folds]
    assert fresh.kfold().folds == checked.folds and fresh.kfold().ds.indexes == checked.train.indexes
    assert fresh.holdout().indexes == checked.holdout.indexes
