"""The score threshold above which detections are best, by a function of truths and detections.

Pure functions. Both are ``Detections``, one an image; those of truths have scores of 1 (``detections.truth_of``).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ..detection.detections import Detections
from ..detection.matching import curve, match

Measure = Callable[[Sequence[Detections], Sequence[Detections]], float]
"""Gets the truths and the detections of some images, in the same order, and returns the number to maximise."""

STEPS = tuple(round(0.01 * number, 2) for number in range(100))
"""The thresholds that musket_core 0.48 tries."""


class Best(NamedTuple):
    """The best value, and the lowest score that counts for it; both NaN where there is nothing to measure.

    >>> Best(score=0.5, threshold=0.3).threshold
    0.3
    """

    score: float
    threshold: float


def best_f1(truths: Sequence[Detections], found: Sequence[Detections], classes: int) -> Best:
    """Return the best F1 at IoU .5, of masks where both have them, else of boxes, over all scores there are.

    >>> import numpy as np
    >>> box = np.array([[0, 0, 10, 10]], np.float32)
    >>> truth = Detections(40, 40, np.array([0]), np.ones(1), box, None)
    >>> twice = Detections(40, 40, np.array([0, 0]), np.array([0.75, 0.25]), np.repeat(box, 2, 0), None)
    >>> best_f1([truth], [twice], classes=1)
    Best(score=1.0, threshold=0.75)
    """
    whole = curve(match(truths, found, classes))
    return Best(math.nan, math.nan) if whole is None else Best(*whole.best_f1())


def best_threshold(
    truths: Sequence[Detections],
    found: Sequence[Detections],
    measure: Measure,
    thresholds: Iterable[float] = STEPS,
) -> Best:
    """Return the threshold whose detections a function gives the highest number for, the lowest of equals.

    Args:
        truths: What is there, an image each.
        found: What was found in each.
        measure: Called with ``truths`` and the detections with a score of the threshold or more; once for thresholds
            between which no score lies. NaN is worse than any number.
        thresholds: What is tried, ascending.

    >>> import numpy as np
    >>> box = np.array([[0, 0, 10, 10]], np.float32)
    >>> truth = Detections(40, 40, np.array([0]), np.ones(1), box, None)
    >>> twice = Detections(40, 40, np.array([0, 0]), np.array([0.75, 0.25]), np.repeat(box, 2, 0), None)
    >>> best_threshold([truth], [twice], lambda there, sure: -abs(len(there[0]) - len(sure[0])))
    Best(score=0.0, threshold=0.26)
    """
    best, counted = Best(math.nan, math.nan), -1
    for threshold in thresholds:
        sure = [one.above(threshold) for one in found]
        left = sum(len(one) for one in sure)
        if left == counted:
            continue
        counted = left
        value = measure(truths, sure)
        if not math.isnan(value) and not value <= best.score:
            best = Best(float(value), threshold)
    return best
