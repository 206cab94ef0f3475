"""Matching what was found with what is there, at one IoU: what F1, mask IoU, the confusion matrix and AP by class need.

Pure functions. The surest object chooses first, as in COCO's evaluation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import AnyArray, BoolArray, Float64Array, FloatArray, Int64Array
from .detections import Detections, overlaps

IOU = 0.5


@dataclass(frozen=True)
class Matches:
    """All detections of some images beside what they match.

    Attributes:
        labels: ``(D,)`` predicted class, from 0.
        scores: ``(D,)``.
        correct: ``(D,)`` whether an object of the same class was matched.
        iou: ``(D,)`` IoU with it, 0 where none was.
        images: ``(D,)`` number of the image.
        objects: ``(classes,)`` number of objects of each class.

    >>> Matches(np.array([0]), np.array([0.9]), np.array([True]), np.array([0.8]), np.array([0]), np.array([1])).correct
    array([ True])
    """

    labels: Int64Array
    scores: FloatArray
    correct: BoolArray
    iou: FloatArray
    images: Int64Array
    objects: Int64Array


def match(truths: Sequence[Detections], found: Sequence[Detections], classes: int, iou: float = IOU) -> Matches:
    """Match the detections of each image with its objects of the same class, greedily, the surest first.

    >>> boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    >>> truth = Detections(40, 40, np.array([0, 0]), np.ones(2), boxes, None)
    >>> found = Detections(40, 40, np.array([0, 1]), np.array([0.9, 0.8]), boxes, None)
    >>> matches = match([truth], [found], classes=2)
    >>> matches.correct, matches.objects
    (array([ True, False]), array([2, 0]))
    """
    rows: list[tuple[AnyArray, ...]] = []
    objects = np.zeros(classes, int)
    for number, (truth, detections) in enumerate(zip(truths, found, strict=True)):
        objects += np.bincount(truth.labels, minlength=classes)[:classes]
        ordered = detections.by_score()
        matched, quality = match_image(truth, ordered, iou)
        rows.append((ordered.labels, ordered.scores, matched, quality, np.full(len(ordered), number)))
    joined = [np.concatenate(column) if rows else np.zeros(0) for column in zip(*rows, strict=True)] or [
        np.zeros(0)
    ] * 5
    labels, scores, correct, quality, images = joined
    return Matches(labels.astype(int), scores, correct.astype(bool), quality, images.astype(int), objects)


def match_image(truth: Detections, ordered: Detections, iou: float = IOU) -> tuple[BoolArray, Float64Array]:
    """Match detections of an image, the surest first, with its objects of the same class.

    Returns:
        ``(D,)`` whether an object was matched, and ``(D,)`` the IoU with it, 0 where none was.

    >>> boxes = np.array([[0, 0, 10, 9], [0, 0, 10, 10]], np.float32)
    >>> truth = Detections(40, 40, np.array([0]), np.ones(1), boxes[1:], None)
    >>> found = Detections(40, 40, np.array([0, 0]), np.array([0.9, 0.8]), boxes, None)
    >>> match_image(truth, found)  # the surest chooses first
    (array([ True, False]), array([0.9, 0. ]))
    """
    table = overlaps(ordered, truth)
    table[ordered.labels[:, None] != truth.labels[None, :]] = 0
    partner = greedy(table, iou)
    matched = partner >= 0
    return matched, np.where(matched, table[np.arange(len(ordered)), partner] if table.size else 0.0, 0.0)


def panoptic_quality(truth: Detections, found: Detections) -> float:
    """Return the panoptic quality of an image (Kirillov et al., 2019): summed IoU over hits and half of all misses.

    NaN where nothing is there and nothing was found.

    >>> box = np.array([[0, 0, 10, 10]], np.float32)
    >>> truth = Detections(40, 40, np.array([0]), np.ones(1), box, None)
    >>> panoptic_quality(truth, Detections(40, 40, np.array([0]), np.ones(1), box * [1, 1, 1, 0.8], None))
    0.8
    """
    total = (len(truth) + len(found)) / 2
    return float(match_image(truth, found.by_score())[1].sum() / total) if total else math.nan


def greedy(table: FloatArray, iou: float) -> Int64Array:
    """Give each row the free column of highest IoU, row by row; -1 where none reaches ``iou``. Returns ``(rows,)``.

    >>> greedy(np.array([[0.6, 0.9], [0.2, 0.8]]), 0.5)
    array([ 1, -1])
    """
    partner = np.full(len(table), -1)
    if table.size:
        free = np.ones(table.shape[1], bool)
        for row, values in enumerate(table):
            best = int(np.argmax(np.where(free, values, -1.0)))
            if free[best] and values[best] >= iou:
                partner[row], free[best] = best, False
    return partner


@dataclass(frozen=True)
class Curve:
    """Precision and recall as the score threshold falls, of one class or of all: arrays ``(D,)``.

    >>> both = Curve(np.array([0.9, 0.5]), np.array([1.0, 0.5]), np.array([0.5, 0.5]))
    >>> both.area(), both.best_f1()[1]
    (0.5, 0.9)
    """

    scores: FloatArray
    precision: FloatArray
    recall: FloatArray

    def area(self) -> float:
        """Return the average precision: the area below the curve, precision made monotonous (VOC 2010)."""
        if not len(self.recall):
            return 0.0
        recall = np.concatenate([[0.0], self.recall, [1.0]])
        precision = np.concatenate([[0.0], self.precision, [0.0]])
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        return float(np.sum(np.diff(recall) * precision[1:]))

    def best_f1(self) -> tuple[float, float]:
        """Return the best F1 over thresholds, and the score threshold that reaches it."""
        if not len(self.scores):
            return 0.0, 1.0
        f1 = 2 * self.precision * self.recall / np.maximum(self.precision + self.recall, 1e-12)
        last = np.flatnonzero(np.append(np.diff(self.scores) != 0, True))  # a threshold takes all of equal scores
        best = last[int(np.argmax(f1[last]))]
        return float(f1[best]), float(self.scores[best])


def curve(matches: Matches, label: "int | None" = None) -> "Curve | None":
    """Return the precision-recall curve of a class, or of all together; ``None`` where there is no object.

    >>> labels, scores, correct = np.array([0, 0]), np.array([0.9, 0.5]), np.array([True, False])
    >>> matches = Matches(labels, scores, correct, np.array([0.8, 0.0]), np.array([0, 0]), objects=np.array([2]))
    >>> curve(matches).precision, curve(matches).recall
    (array([1. , 0.5]), array([0.5, 0.5]))
    """
    chosen = slice(None) if label is None else matches.labels == label
    total = int(matches.objects.sum() if label is None else matches.objects[label])
    if not total:
        return None
    order = np.argsort(-matches.scores[chosen], kind="stable")
    hits = np.cumsum(matches.correct[chosen][order])
    seen = np.arange(1, len(order) + 1)
    return Curve(matches.scores[chosen][order], hits / seen, hits / total)


def mean_average_precision(matches: Matches) -> float:
    """Return the mean over classes with objects of the area below their curves; NaN without objects.

    >>> labels, scores, correct, iou, images = [np.array([value]) for value in (0, 0.9, True, 0.8, 0)]
    >>> matches = Matches(labels, scores, correct, iou, images, objects=np.array([2, 0]))
    >>> mean_average_precision(matches)  # half of the objects of the only class that has any
    0.5
    """
    curves = [curve(matches, label) for label in range(len(matches.objects))]
    areas = [one.area() for one in curves if one is not None]
    return float(np.mean(areas)) if areas else float("nan")


def confusion(truths: Sequence[Detections], found: Sequence[Detections], classes: int, threshold: float) -> Int64Array:
    """Count which class was taken for which, by mask IoU (by box IoU without masks) of .5 or more.

    Args:
        truths: The objects of each image.
        found: What was found in each.
        classes: Number of classes.
        threshold: Lowest score that counts.

    Returns:
        ``(classes + 1, classes + 1)`` int: true class by predicted class; the last row is what was found where nothing
        is, the last column what was not found.

    >>> boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    >>> truth = Detections(40, 40, np.array([0, 1]), np.ones(2), boxes, None)
    >>> found = Detections(40, 40, np.array([1]), np.array([0.9]), boxes[:1], None)
    >>> confusion([truth], [found], classes=2, threshold=0.5)
    array([[0, 1, 0],
           [0, 0, 1],
           [0, 0, 0]])
    """
    table = np.zeros((classes + 1, classes + 1), int)
    for truth, detections in zip(truths, found, strict=True):
        sure = detections.above(threshold).by_score()
        partner = _of_same_class_first(sure, truth)
        for row, column in enumerate(partner):
            table[truth.labels[column] if column >= 0 else classes, sure.labels[row]] += 1
        for column in set(range(len(truth))) - set(partner.tolist()):
            table[truth.labels[column], classes] += 1
    return table


def _of_same_class_first(found: Detections, truth: Detections) -> Int64Array:
    """Match objects of the same class first, then what is left whatever its class."""
    table = overlaps(found, truth)
    same = found.labels[:, None] == truth.labels[None, :]
    partner = greedy(np.where(same, table, 0.0), IOU)
    rest = table.copy()
    rest[partner >= 0] = 0
    rest[:, partner[partner >= 0]] = 0
    others = greedy(rest, IOU)
    return np.where(partner >= 0, partner, others)
