"""Folds and holdout: disjoint, complete, repeatable, stratified, and never for another dataset."""

from collections import Counter

import pytest

from instance_segmentation_pipeline.data.splits import (
    SplitRequest,
    fingerprint,
    make_folds,
    make_holdout,
    read_split,
    stratification_classes,
    write_split,
)
from instance_segmentation_pipeline.errors import DatasetError
from tests.support.datasets import Items, square


def request(folds=3, stratified=False, test=0.2):
    return SplitRequest(folds, 0.25, 33, stratified, test, 123)


@pytest.mark.parametrize("stratified", [False, True])
def test_folds_cover_every_item_once(stratified):
    classes = [number % 2 for number in range(30)]
    folds = make_folds(30, request(3, stratified), classes)
    assert sorted(index for _, validation in folds for index in validation) == list(range(30))
    assert all(not set(train) & set(validation) for train, validation in folds)
    assert folds == make_folds(30, request(3, stratified), classes)


def test_one_fold_takes_the_validation_share():
    ((train, validation),) = make_folds(40, request(1), None)
    assert (len(train), len(validation)) == (30, 10)


def test_stratified_folds_keep_the_shares():
    classes = [1] * 9 + [2] * 21
    for _, validation in make_folds(30, request(3, True), classes):
        assert Counter(classes[index] for index in validation) == {1: 3, 2: 7}


def test_a_class_of_one_item_does_not_stop_stratification():
    assert len(make_folds(20, request(3, True), [5] + [1] * 10 + [2] * 9)) == 3


def test_holdout_is_disjoint_and_of_the_wanted_size():
    train, held = make_holdout(50, request(), None)
    assert len(held) == 10
    assert sorted(train + held) == list(range(50))


def test_more_folds_than_items_is_an_error():
    with pytest.raises(DatasetError, match="4 items to train on, too few for folds_count 5"):
        make_folds(4, request(5), None)


def test_splits_are_plain_and_remember_what_they_were_made_from(tmp_path):
    dataset = Items([square() for _ in range(6)])
    mark = fingerprint(request(), dataset, None)
    folds = make_folds(6, request(), None)
    write_split(tmp_path / "s", folds, mark)
    assert [tuple(fold) for fold in read_split(tmp_path / "s", mark)] == folds
    assert read_split(tmp_path / "s", fingerprint(request(folds=2), dataset, None)) is None
    assert read_split(tmp_path / "s", fingerprint(request(), Items([square()] * 7), None)) is None
    from musket_core import utils

    assert utils.load_yaml(tmp_path / "s") == [list(fold) for fold in folds]


def test_stratification_takes_the_rarest_label():
    image, (_, bboxes, masks) = square()
    targets = [([1, 2], 2), ([1], 1), ([1], 1), ([], 0)]
    dataset = Items([(image, (labels, bboxes, masks)) for labels, _ in targets])
    assert stratification_classes(dataset) == [expected for _, expected in targets]
