"""What holds for fusion whatever the members found: their order, copies of one, empty ones, and what may come out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instance_segmentation_pipeline.detection.detections import none_found, overlaps
from instance_segmentation_pipeline.detection.fusion import DEFAULT_IOU, METHODS, fuse
from tests.support.strategies import members

AVERAGING = ["weighted", "wbf"]


def same(first, second):
    assert first.labels.tolist() == second.labels.tolist()
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(first.bboxes, second.bboxes, rtol=1e-5, atol=1e-5)
    assert first.masks == second.masks


def rows(found):
    """Return what tells an object, for each: label, box and mask."""
    masks = found.masks or [None] * len(found)
    return [
        (int(label), *box.tolist(), None if mask is None else mask["counts"])
        for label, box, mask in zip(found.labels, found.bboxes, masks, strict=True)
    ]


@pytest.mark.parametrize("method", METHODS)
@given(members(least=2), st.randoms(use_true_random=False))
def test_the_order_of_the_members_does_not_matter(method, found, random):
    weights = [1.0 + number for number in range(len(found))]
    order = list(range(len(found)))
    random.shuffle(order)
    again = fuse([found[number] for number in order], method, weights=[weights[number] for number in order])
    same(fuse(found, method, weights=weights), again)


@pytest.mark.parametrize("method", AVERAGING)
@given(members(most=1), st.integers(2, 4))
def test_members_that_agree_change_nothing(method, found, copies):
    (one,) = found
    distinct = rows(one)
    if len(set(distinct)) == len(distinct):
        same(fuse([one] * copies, method), one.by_score())


@pytest.mark.parametrize("method", METHODS)
@given(members(most=1))
def test_one_member_is_only_ordered(method, found):
    same(fuse(found, method), found[0].by_score())


@pytest.mark.parametrize("method", METHODS)
@given(members())
def test_what_comes_out_is_ordered_and_no_more_than_went_in(method, found):
    fused = fuse(found, method)
    assert len(fused) <= sum(len(one) for one in found)
    assert (np.diff(fused.scores) <= 0).all()
    assert ((fused.scores >= 0) & (fused.scores <= 1)).all()
    assert set(fused.labels) == {label for one in found for label in one.labels}
    assert (fused.masks is None) == (found[0].masks is None)
    assert (fused.bboxes[:, 2:] > fused.bboxes[:, :2]).all()
    assert (fused.bboxes[:, 2:] <= [fused.width, fused.height]).all() and (fused.bboxes >= 0).all()


@given(members(least=2))
def test_nms_keeps_objects_as_they_are_and_none_that_covers_another(found):
    fused = fuse(found, "nms")
    assert set(rows(fused)) <= {row for one in found for row in rows(one)}
    near = overlaps(fused, fused) >= DEFAULT_IOU
    near &= fused.labels[:, None] == fused.labels[None, :]
    assert (near == np.eye(len(fused), dtype=bool)).all()


@given(members(least=2))
def test_soft_nms_keeps_every_object_and_raises_no_score(found):
    fused = fuse(found, "soft_nms")
    assert sorted(rows(fused), key=str) == sorted((row for one in found for row in rows(one)), key=str)
    before = sorted((float(score) for one in found for score in one.scores), reverse=True)
    assert all(after <= score + 1e-6 for after, score in zip(fused.scores, before, strict=True))


@pytest.mark.parametrize("method", AVERAGING)
@given(members(most=1))
def test_a_member_that_found_nothing_halves_the_scores(method, found):
    (one,) = found
    fused = fuse([one, none_found(one.height, one.width, one.masks is not None)], method)
    np.testing.assert_allclose(fused.scores, one.by_score().scores / 2, rtol=1e-6)
    assert rows(fused) == rows(one.by_score())


@pytest.mark.parametrize("method", AVERAGING)
@given(members(least=2))
def test_a_member_without_weight_lends_no_score(method, found):
    fused = fuse(found, method, weights=[1.0] + [0.0] * (len(found) - 1))
    assert fused.scores.sum() == pytest.approx(found[0].scores.sum(), rel=1e-5)
