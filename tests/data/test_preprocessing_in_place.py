"""Preprocessors that change what they are given in place, over a dataset that keeps its items in memory."""

import numpy as np
import pytest
from musket_core import generic

MODULE = """
from musket_core import preprocessing
from musket_core.datasets import DataSet, PredictionItem, dataset_provider
from shapes import Shapes


class Kept(DataSet):
    def __init__(self):
        super().__init__()
        shapes = Shapes(4, 64, 0)
        self.items = [shapes[number] for number in range(4)]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, item):
        return self.items[item]


@dataset_provider()
def get_kept() -> DataSet:
    return Kept()


@preprocessing.dataset_preprocessor
def inverted(image):
    image[:] = 255 - image
    return image


@preprocessing.dataset_preprocessor
def shifted(input: PredictionItem):
    labels, boxes, masks = input.y
    input.x[:] = 255 - input.x
    boxes[:, 0] += 1
    masks[:, :8] = 0
    return input


@preprocessing.dataset_preprocessor
def replaced(input: PredictionItem):
    labels, boxes, masks = input.y
    input.x = 255 - input.x
    input.y = (labels, boxes + 1, masks)
    return input
"""


@pytest.fixture
def kept(add_experiment, project):
    """Return a function that gives the dataset behind some ``preprocessing``."""
    (project / "modules" / "keeping.py").write_text(MODULE)

    def make(preprocessing):
        old = "  get_shapes: {count: 12, size: 64}\n"
        path = add_experiment(extra=f"preprocessing: {preprocessing}\n", replace=[(old, "  get_kept: []\n")])
        return generic.parse(str(path)).get_dataset()

    return make


def read(dataset, *, training=False):
    """Return image, boxes and masks of an item, as they are now."""
    item = dataset.get_train_item(1) if training else dataset[1]
    return [np.array(part, int) for part in (item.x, item.y[1], item.y[2])]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        assert (one == other).all()


@pytest.mark.parametrize("name", ["inverted", "shifted", "replaced"])
def test_what_is_read_twice_is_the_same(kept, name):
    dataset = kept(name)
    first = read(dataset)
    assert (first[0] != 255 - first[0]).all()
    for training in (False, True, False):
        assert_same(read(dataset, training=training), first)


@pytest.mark.parametrize("name", ["inverted", "shifted", "replaced"])
def test_what_augments_in_place_does_not_reach_validation(kept, name):
    dataset = kept(f"[{{augmentation: {{body: [{name}], weights: 1}}}}]")
    before = read(dataset)
    augmented = read(dataset, training=True)
    assert (augmented[0] == 255 - before[0]).all()
    assert_same(read(dataset), before)
    assert_same(read(dataset, training=True), augmented)
