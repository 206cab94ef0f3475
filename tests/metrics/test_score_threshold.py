"""Score thresholds against those found by hand, and by trying each score there is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.matching import match_image
from instance_segmentation_pipeline.metrics.score_threshold import best_f1, best_threshold

PLACES = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]], np.float32)


def boxes(places, scores, labels=None):
    labels = np.zeros(len(places), int) if labels is None else np.array(labels)
    return Detections(40, 40, labels, np.array(scores, np.float32), PLACES[list(places)], None)


def f1(truths, found):
    hits = sum(int(match_image(there, one.by_score())[0].sum()) for there, one in zip(truths, found, strict=True))
    total = sum(map(len, truths)) + sum(map(len, found))
    return 2 * hits / total if total else math.nan


def test_by_hand():
    """Two objects; hits at .9 and .5, a miss at .7: F1 is 2/3, 1/2, 4/5 at thresholds of .9, .7, .5."""
    truth, found = [boxes([0, 1], [1, 1])], [boxes([0, 2, 1], [0.9, 0.7, 0.5])]
    assert best_f1(truth, found, 1) == pytest.approx((0.8, 0.5))
    assert best_threshold(truth, found, f1).score == pytest.approx(0.8)
    assert best_threshold(truth, found, f1).threshold == 0


def test_the_score_itself_counts():
    """0.7 is no float32: detections with that score count at a threshold of .7 for both searches."""
    truth, found = [boxes([0], [1])], [boxes([0, 1], [0.7, 0.69])]
    assert best_threshold(truth, found, f1) == (1.0, 0.7)
    best = best_f1(truth, found, 1)
    assert len(found[0].above(best.threshold)) == 1


def test_the_function_is_called_once_for_thresholds_that_leave_the_same():
    calls = []
    found = [boxes([0, 1], [0.9, 0.305])]
    best = best_threshold([boxes([0], [1])], found, lambda there, sure: calls.append(len(sure[0])) or len(sure[0]))
    assert calls == [2, 1, 0]
    assert best == (2, 0.0)


def test_nothing_to_measure():
    nothing = [boxes([], [])]
    assert all(map(math.isnan, best_f1(nothing, [boxes([0], [0.5])], 1)))
    assert all(map(math.isnan, best_threshold(nothing, nothing, lambda there, sure: math.nan)))
    assert best_threshold([], [], lambda there, sure: 1.0) == (1.0, 0.0)


def test_numbers_below_zero_and_nan_are_compared():
    """musket_core begins with 0 as the best, so that a function of negative numbers gives a threshold of 0 there."""
    found = [boxes([0, 1], [0.9, 0.3])]
    values = {2: -5.0, 1: -1.0, 0: math.nan}
    assert best_threshold(found, found, lambda there, sure: values[len(sure[0])]) == (-1.0, 0.31)


@given(
    st.lists(st.tuples(st.sampled_from(range(3)), st.integers(1, 99)), max_size=6), st.sets(st.sampled_from(range(3)))
)
def test_best_f1_is_that_of_the_best_of_all_thresholds(found, there):
    truth = [boxes(sorted(there), np.ones(len(there)))]
    seen = [boxes([place for place, _ in found], [score / 100 for _, score in found])]
    best = best_f1(truth, seen, 1)
    if not there:
        assert math.isnan(best.score)
        return
    each = [f1(truth, [seen[0].above(float(score))]) for score in np.unique(seen[0].scores)]
    assert best.score == pytest.approx(max([0.0, *each]))
