"""Which items an epoch draws: negatives by number, weights, and an epoch of fewer items."""

import numpy as np
import pytest

from instance_segmentation_pipeline.data.epoch_items import epoch_items, validation_items
from instance_segmentation_pipeline.errors import DatasetError

POSITIVE = np.array([True, False, False, True, False, True, False, False, False, False])


def drawn(items, seed=0):
    return items.drawn(np.random.default_rng(seed)).tolist()


@pytest.mark.parametrize(
    ("negatives", "count"),
    [(None, 7), ("real", 7), ("all", 7), ("none", 0), (0, 0), (1, 3), (2, 6), (0.5, 2), (0.1, 0), (3, 7), (1e6, 7)],
)
def test_an_epoch_shows_all_positives_and_so_many_negatives(negatives, count):
    items = epoch_items(POSITIVE, negatives)
    shown = drawn(items)
    assert len(shown) == len(items) == 3 + count
    assert len(set(shown)) == len(shown)
    assert {0, 3, 5} <= set(shown)


def test_negatives_are_drawn_anew_and_all_come_in_time():
    items = epoch_items(POSITIVE, 1)
    epochs = [frozenset(drawn(items, seed)) for seed in range(60)]
    assert len(set(epochs)) > 20
    assert frozenset.union(*epochs) == frozenset(range(10))
    assert drawn(items, 7) == drawn(items, 7)


def test_an_epoch_of_fewer_items_takes_others_each_time():
    items = epoch_items(POSITIVE, most=4)
    epochs = [drawn(items, seed) for seed in range(40)]
    assert all(len(set(shown)) == 4 for shown in epochs)
    assert {item for shown in epochs for item in shown} == set(range(10))
    assert len(epoch_items(POSITIVE, most=400)) == 10


def test_items_are_drawn_in_proportion_to_their_weights():
    weights = np.array([0.0, 1, 3, 0, 0, 0, 0, 0, 0, 4])
    items = epoch_items(POSITIVE, weights=weights, most=8)
    counts = np.bincount(np.concatenate([drawn(items, seed) for seed in range(1000)]), minlength=10)
    assert (counts[weights == 0] == 0).all()
    assert np.abs(counts / 8000 - weights / 8).max() < 0.02


def test_weights_hold_among_the_negatives_that_were_drawn():
    weights = np.ones(10)
    weights[0] = 5
    items = epoch_items(POSITIVE, 1, weights)
    counts = np.bincount(np.concatenate([drawn(items, seed) for seed in range(600)]), minlength=10)
    assert counts[0] / counts[3] == pytest.approx(5, rel=0.2)
    assert counts[1:3].min() > 0


@pytest.mark.parametrize("negatives", ["none", 0, 2])
def test_nothing_left_to_train_on_is_told(negatives):
    with pytest.raises(DatasetError, match=f"negatives is {negatives}, and none of the 4 training items has objects"):
        epoch_items(np.zeros(4, bool), negatives)


def test_weights_that_leave_nothing_are_told():
    with pytest.raises(DatasetError, match="sample_weight is 0 for each item that is trained on"):
        epoch_items(POSITIVE, "none", np.where(POSITIVE, 0.0, 1.0))


@pytest.mark.parametrize(("negatives", "count"), [("none", 3), (1, 6), ("real", 10), ("all", 10), (None, 10), (5, 10)])
def test_validation_shows_the_same_items_in_their_order(negatives, count):
    indices = [40 + number for number in range(10)]
    kept = validation_items(indices, POSITIVE, negatives, (1, 0))
    assert len(kept) == count
    assert kept == sorted(kept)
    assert {40, 43, 45} <= set(kept)
    assert kept == validation_items(indices, POSITIVE, negatives, (1, 0))


def test_validation_of_another_seed_takes_other_negatives():
    indices = list(range(10))
    assert len({tuple(validation_items(indices, POSITIVE, 1, (seed, 0))) for seed in range(20)}) > 5


def test_nothing_left_to_validate_on_is_told():
    with pytest.raises(DatasetError, match="validation_negatives is none, and none of the 3 validation items"):
        validation_items([4, 5, 6], np.zeros(3, bool), "none", (0,))
