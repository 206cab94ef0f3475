"""Whatever the dataset and the request: parts are disjoint, nothing is lost, and the same request gives the same split."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instance_segmentation_pipeline.data.split_text import parse_split, split_text
from instance_segmentation_pipeline.data.splits import SplitRequest, class_balanced, make_folds, make_holdout
from instance_segmentation_pipeline.errors import DatasetError


@st.composite
def wishes(draw):
    """Draw a number of items, a request, and a class for each item."""
    count, folds = draw(st.integers(2, 60)), draw(st.integers(1, 8))
    seeds, share = st.integers(0, 1000), st.floats(0.05, 0.9)
    request = SplitRequest(folds, draw(share), draw(seeds), draw(st.booleans()), draw(share), draw(seeds))
    return count, request, draw(st.lists(st.integers(0, 4), min_size=count, max_size=count))


def made(function, *arguments):
    """Return what a function makes, or None where it says why that cannot be."""
    try:
        return function(*arguments)
    except DatasetError as error:
        assert len(str(error)) < 500
        return None


@given(wishes())
def test_folds_are_disjoint_and_cover_all(wish):
    count, request, classes = wish
    folds = made(make_folds, count, request, classes)
    if folds is None:
        return
    assert len(folds) == request.folds_count
    for train, validation in folds:
        assert sorted([*train, *validation]) == list(range(count))
        assert train and validation
    if request.folds_count > 1:
        assert sorted(index for _, validation in folds for index in validation) == list(range(count))
        sizes = [len(validation) for _, validation in folds]
        assert max(sizes) - min(sizes) <= (1 if not request.stratified else len(set(classes)))
    assert make_folds(count, request, classes) == folds


@given(wishes())
def test_enough_items_are_always_split(wish):
    count, request, classes = wish
    if request.folds_count > 1:
        assert (made(make_folds, count, request, classes) is None) == (count < request.folds_count)


@given(wishes())
def test_a_holdout_and_the_rest_are_the_whole(wish):
    count, request, classes = wish
    parts = made(make_holdout, count, request, classes)
    if parts is None:
        return
    train, held = parts
    assert sorted([*train, *held]) == list(range(count))
    assert train and held
    assert make_holdout(count, request, classes) == parts


@given(wishes())
def test_stratified_folds_differ_by_one_item_of_a_class(wish):
    count, request, classes = wish
    plain = SplitRequest(**{**vars(request), "stratified": True})
    counts = Counter(classes)
    if request.folds_count < 2 or count < request.folds_count or min(counts.values()) < request.folds_count:
        return
    shares = [Counter(classes[index] for index in validation) for _, validation in make_folds(count, plain, classes)]
    for label in counts:
        of_label = [share[label] for share in shares]
        assert max(of_label) - min(of_label) <= 1


@given(wishes())
def test_a_split_goes_through_its_text_unchanged(wish):
    count, request, classes = wish
    folds = made(make_folds, count, request, classes)
    if folds is not None:
        assert [tuple(fold) for fold in parse_split(split_text(folds))] == folds


@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=30), st.floats(0, 1))
def test_balanced_items_are_the_same_ones_in_order(labels, threshold):
    indices = list(range(0, 2 * len(labels), 2))
    chosen = class_balanced(indices, labels, threshold)
    assert sorted(chosen) == chosen
    assert set(chosen) == set(indices)
    assert threshold > 0 or chosen == indices


def test_too_few_items_are_told():
    with pytest.raises(DatasetError, match="too few for folds_count"):
        make_folds(2, SplitRequest(3, 0.2, 1, False, 0.2, 1), None)
