"""``Detections``: what a net found in one image, masks as RLE; translated to and from Musket's prediction tuple.

Dense masks exist only in the tuple that a user asks for. Neither musket_core nor the command line is imported here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import AnyArray, BoolArray, Float32Array, Float64Array, FoundArrays, Int64Array, Rle, TruthRecord
from .boxes import box_iou, swapped
from .instances import Instances
from .mask_crops import MaskCrops
from .masks import decode_masks, encode_masks, mask_iou

MusketPrediction = tuple[AnyArray, ...]
"""What ``Detections.to_musket`` returns."""

Rows = BoolArray | Int64Array | list[int] | slice
"""Which rows of a set are meant: booleans, row numbers, or a slice."""


@dataclass(frozen=True)
class Detections:
    """Objects found in one image.

    Attributes:
        height: Image height in pixels.
        width: Image width in pixels.
        labels: ``(N,)`` int64, 0..classes-1.
        scores: ``(N,)`` float32, 0..1.
        bboxes: ``(N, 4)`` float32, ``x1, y1, x2, y2`` in pixels.
        masks: N COCO RLE dicts with text ``counts`` of the image's size, or ``None`` for box-only models.

    >>> boxes = np.array([[10, 10, 30, 20], [40, 5, 50, 15]], np.float32)
    >>> found = Detections(60, 80, np.array([0, 2]), np.array([0.4, 0.9], np.float32), boxes, None)
    >>> len(found), found.above(0.5).labels, found.by_score().labels
    (2, array([2]), array([2, 0]))
    """

    height: int
    width: int
    labels: Int64Array
    scores: Float32Array
    bboxes: Float32Array
    masks: "list[Rle] | None"

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Rows) -> "Detections":
        """Return the detections of some rows: an array of booleans or of row numbers, or a slice."""
        chosen = np.arange(len(self))[rows]
        masks = None if self.masks is None else [self.masks[row] for row in chosen]
        return Detections(self.height, self.width, self.labels[chosen], self.scores[chosen], self.bboxes[chosen], masks)

    def above(self, threshold: float) -> "Detections":
        """Return those with a score of ``threshold`` or more."""
        return self[np.flatnonzero(self.scores >= threshold)]

    def by_score(self) -> "Detections":
        """Return them with the highest score first; equals keep their order."""
        return self[np.argsort(-self.scores, kind="stable")]

    def cropped(self, height: int, width: int) -> "Detections":
        """Return those that reach into the upper left part of the image, as detections of that part."""
        bboxes = self.bboxes.clip(0, np.array([width, height] * 2, np.float32))
        inside = (bboxes[:, 2:] > bboxes[:, :2]).all(axis=1)
        masks = self.masks
        if masks is not None:
            masks = MaskCrops.from_rles(masks, self.height, self.width).placed(height, width).to_rles()
        return Detections(height, width, self.labels, self.scores, bboxes, masks)[np.flatnonzero(inside)]

    def instances(self) -> Instances:
        """Return them as ``Instances``, without scores."""
        masks = None if self.masks is None else MaskCrops.from_rles(self.masks, self.height, self.width)
        return Instances(self.height, self.width, self.labels, self.bboxes, masks)

    def arrays(self) -> FoundArrays:
        """Return them as the mapping that ``from_arrays`` takes."""
        found: FoundArrays = {"labels": self.labels, "scores": self.scores, "bboxes": self.bboxes}
        if self.masks is not None:
            found["masks"] = self.masks
        return found

    def to_musket(self, bbox_order: str = "yxyx") -> MusketPrediction:
        """Return Musket's prediction tuple, in the labels and the box order of the dataset.

        Returns:
            ``(labels, probabilities, bboxes, masks)``: ``(N,)`` int64 1..classes, ``(N,)`` float32, ``(N, 4)`` float32
            in ``bbox_order``, ``(N, height, width)`` bool; without masks the first three.
        """
        bboxes = self.bboxes if bbox_order == "xyxy" else swapped(self.bboxes)
        if self.masks is None:
            return self.labels + 1, self.scores, bboxes
        return self.labels + 1, self.scores, bboxes, decode_masks(self.masks, self.height, self.width).astype(bool)


def none_found(height: int, width: int, with_masks: bool) -> Detections:
    """Return the detections of an image in which nothing was found.

    >>> none_found(60, 80, with_masks=True).to_musket()[3].shape
    (0, 60, 80)
    """
    return Detections(
        height,
        width,
        np.zeros((0,), np.int64),
        np.zeros((0,), np.float32),
        np.zeros((0, 4), np.float32),
        [] if with_masks else None,
    )


def from_musket_prediction(prediction: Sequence[Any], height: int, width: int, bbox_order: str = "yxyx") -> Detections:
    """Translate a tuple of ``Detections.to_musket`` back.

    >>> prediction = np.array([1]), np.array([0.9]), np.array([[10, 20, 30, 40]])  # minY, minX, maxY, maxX
    >>> found = from_musket_prediction(prediction, 60, 80)
    >>> found.labels, found.bboxes
    (array([0]), array([[20., 10., 40., 30.]], dtype=float32))
    """
    labels, scores, bboxes = (np.asarray(field) for field in prediction[:3])
    bboxes = bboxes.reshape(-1, 4).astype(np.float32)
    masks = None
    if len(prediction) == 4:
        masks = encode_masks(np.asarray(prediction[3]).reshape(-1, height, width).astype(np.uint8, copy=False))
    return Detections(
        height,
        width,
        labels.astype(np.int64) - 1,
        scores.astype(np.float32),
        bboxes if bbox_order == "xyxy" else swapped(bboxes),
        masks,
    )


def from_arrays(arrays: FoundArrays, height: int, width: int) -> Detections:
    """Return detections from a mapping with ``labels``, ``scores``, ``bboxes`` and, with masks, ``masks``: RLE.

    >>> len(from_arrays({"labels": np.array([0]), "scores": np.array([0.9]), "bboxes": np.zeros((1, 4))}, 60, 80))
    1
    """
    return Detections(height, width, arrays["labels"], arrays["scores"], arrays["bboxes"], arrays.get("masks"))


def is_musket_prediction(prediction: object) -> bool:
    """Say whether a value has the form of ``Detections.to_musket``.

    >>> is_musket_prediction(none_found(60, 80, with_masks=True).to_musket())
    True
    """
    return isinstance(prediction, tuple) and len(prediction) in (3, 4)


def overlaps(first: Detections, second: Detections) -> Float64Array:
    """Return the IoU of each object of ``first`` with each of ``second``: of masks where both have them, else of boxes.

    Both have ``bboxes`` and ``masks`` as in ``Detections``; the result is ``(N, M)`` float64.

    >>> one = Detections(60, 80, np.array([0]), np.array([0.9]), np.array([[0.0, 0, 10, 10]]), None)
    >>> other = Detections(60, 80, np.array([0]), np.array([0.7]), np.array([[0.0, 0, 10, 5]]), None)
    >>> overlaps(one, other)
    array([[0.5]])
    """
    if first.masks is not None and second.masks is not None:
        return mask_iou(first.masks, second.masks)
    return box_iou(first.bboxes, second.bboxes)


def truth_of(record: TruthRecord) -> Detections:
    """Return a ground-truth record of ``records.to_middle_format`` as detections with scores of 1.

    >>> objects = {"labels": np.array([1]), "bboxes": np.array([[0, 0, 10, 10]])}
    >>> truth_of({"filename": "a.png", "height": 60, "width": 80, "ann": objects}).scores
    array([1.], dtype=float32)
    """
    ann = record["ann"]
    scores = np.ones(len(ann["labels"]), np.float32)
    return Detections(record["height"], record["width"], ann["labels"], scores, ann["bboxes"], ann.get("masks"))
