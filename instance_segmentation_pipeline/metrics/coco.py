"""COCO metrics through faster-coco-eval, on ground truth and predictions of our own records.

``coco_metrics`` is a pure function.
"""

import contextlib
import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from ..detection.arrays import Annotation, AnyArray, Float64Array, FoundArrays, Rle, TruthRecord
from ..detection.records import to_coco_entry

STATISTICS = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
"""The first six statistics of pycocotools' summary, in its order."""

RECALLS = ("AR_1", "AR_10", "AR", "AR_s", "AR_m", "AR_l")
"""The last six: average recall at 1, 10 and 100 detections an image, and by size."""

MAX_DETECTIONS = (1, 10, 100)
"""Detections of a class in an image that count; more where an image has more objects of a class than the last."""


def metric_names(with_masks: bool) -> list[str]:
    """Return the names that ``coco_metrics`` gives, in its order.

    >>> metric_names(with_masks=False)
    ['coco_bbox_mAP', 'coco_bbox_mAP_50', 'coco_bbox_mAP_75', 'coco_bbox_mAP_s', 'coco_bbox_mAP_m', 'coco_bbox_mAP_l']
    """
    kinds = ("bbox", "segm") if with_masks else ("bbox",)
    return [f"coco_{kind}_{statistic}" for kind in kinds for statistic in STATISTICS]


def coco_metrics(
    truths: Sequence[TruthRecord],
    predictions: Sequence[FoundArrays],
    classes: int,
    with_masks: bool,
    most: "int | None" = None,
) -> dict[str, float]:
    """Evaluate predictions as COCO does.

    Args:
        truths: One ``records.to_middle_format`` record an image.
        predictions: One mapping an image, in the same order: ``labels (N,)`` int from 0, ``scores (N,)``,
            ``bboxes (N, 4)`` ``x1, y1, x2, y2``, and, with masks, ``masks``: N COCO RLE dicts.
        classes: Number of classes.
        with_masks: Whether masks are evaluated too.
        most: Detections of a class in an image that count, COCO's maxDets; by default ``counted``.

    Returns:
        ``coco_bbox_mAP``, ``…_50``, ``…_75``, ``…_s``, ``…_m``, ``…_l`` and, with masks, the same for ``coco_segm``:
        0.0 where nothing was found, NaN where there was nothing to find (pycocotools says -1 there).

    >>> boxes = np.array([[10, 10, 50, 60]], np.float32)
    >>> truth = {"filename": "a.png", "height": 80, "width": 80, "ann": {"labels": np.array([0]), "bboxes": boxes}}
    >>> found = {"labels": np.array([0]), "scores": np.array([0.9]), "bboxes": boxes}
    >>> round(coco_metrics([truth], [found], classes=1, with_masks=False)["coco_bbox_mAP"], 6)
    1.0
    """
    results = dict.fromkeys(metric_names(with_masks), math.nan)
    for kind, evaluation in coco_evaluation(truths, predictions, classes, with_masks, most).items():
        results.update(named(kind, STATISTICS, evaluation.statistics[:6]))
    return results


_Entry = dict[str, Any]
"""An annotation, a detection or a category in COCO's JSON."""


class _GroundTruth(TypedDict):
    images: list[dict[str, int]]
    annotations: list[_Entry]
    categories: list[_Entry]


@dataclass(frozen=True)
class Evaluation:
    """What COCO's evaluation gives for boxes or for masks.

    Attributes:
        statistics: The twelve numbers of pycocotools' summary; -1 where there is nothing to find.
        per_class: ``(classes,)`` AP at IoU .5:.95 of each class; -1 where it has no object.

    >>> Evaluation([0.5] * 12, np.array([0.5])).per_class
    array([0.5])
    """

    statistics: list[float]
    per_class: Float64Array


def named(kind: str, names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """Return COCO numbers under our names, NaN for pycocotools' -1.

    >>> named("bbox", ["mAP", "mAP_s"], [0.5, -1])
    {'coco_bbox_mAP': 0.5, 'coco_bbox_mAP_s': nan}
    """
    pairs = zip(names, values, strict=True)
    return {f"coco_{kind}_{name}": math.nan if value < 0 else float(value) for name, value in pairs}


def coco_evaluation(
    truths: Sequence[TruthRecord],
    predictions: Sequence[FoundArrays],
    classes: int,
    with_masks: bool,
    most: "int | None" = None,
) -> dict[str, Evaluation]:
    """Return COCO's whole evaluation for ``bbox`` and, with masks, ``segm``; empty where there is nothing to find.

    The arguments are those of ``coco_metrics``.

    >>> boxes = np.array([[10, 10, 50, 60]], np.float32)
    >>> truth = {"filename": "a.png", "height": 80, "width": 80, "ann": {"labels": np.array([0]), "bboxes": boxes}}
    >>> found = {"labels": np.array([0]), "scores": np.array([0.9]), "bboxes": boxes}
    >>> coco_evaluation([truth], [found], classes=2, with_masks=False)["bbox"].per_class.round(6)
    array([ 1., -1.])
    """
    ground = _ground_truth(truths, classes, with_masks)
    if not _objects(ground):
        return {}
    found = _detections(predictions, with_masks)
    most = counted(record["ann"]["labels"] for record in truths) if most is None else most
    return {kind: _evaluate(ground, found, kind, most) for kind in (("bbox", "segm") if with_masks else ("bbox",))}


def _ground_truth(truths: Sequence[TruthRecord], classes: int, with_masks: bool) -> _GroundTruth:
    images: list[dict[str, int]] = []
    annotations: list[_Entry] = []
    for image_id, record in enumerate(truths, start=1):
        images.append({"id": image_id, "height": record["height"], "width": record["width"]})
        ann = record["ann"]
        for row, (label, bbox) in enumerate(zip(ann["labels"], ann["bboxes"], strict=True)):
            annotation = {"id": len(annotations) + 1, **to_coco_entry(image_id, label, bbox), "iscrowd": 0}
            annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
            if with_masks:
                annotation["segmentation"] = ann["masks"][row]
                annotation["area"] = _rle_area(ann["masks"][row])
            annotations.append(annotation)
        annotations += _crowds(image_id, ann, len(annotations) + 1, with_masks)
    categories: list[_Entry] = [{"id": number, "name": str(number)} for number in range(1, classes + 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _crowds(image_id: int, ann: Annotation, first_id: int, with_masks: bool) -> list[_Entry]:
    """Return the crowds of an image as COCO has them: what is found on them counts neither for nor against."""
    found = []
    for row, rle in enumerate(ann.get("masks_ignore", [])):
        entry = to_coco_entry(image_id, ann["labels_ignore"][row], ann["bboxes_ignore"][row])
        area = _rle_area(rle) if with_masks else entry["bbox"][2] * entry["bbox"][3]
        found.append({"id": first_id + row, **entry, "iscrowd": 1, "area": area})
        if with_masks:
            found[-1]["segmentation"] = rle
    return found


def _objects(ground: _GroundTruth) -> list[_Entry]:
    """Return the annotations that are to be found: those that are no crowds."""
    return [one for one in ground["annotations"] if not one["iscrowd"]]


def counted(labels: Iterable[AnyArray]) -> int:
    """Return how many detections of a class in an image count: COCO's 100, or as many as an image has objects of one.

    Args:
        labels: Those of the objects in each image, ``(N,)``.

    >>> counted([np.zeros(120, int), np.zeros(3, int)])
    120
    """
    of_classes = [count for one in labels for count in Counter(np.asarray(one).tolist()).values()]
    return max([MAX_DETECTIONS[2], *of_classes])


def _rle_area(rle: Rle) -> float:
    from pycocotools import mask as coco_mask

    return float(coco_mask.area(rle))


def _detections(predictions: Sequence[FoundArrays], with_masks: bool) -> list[_Entry]:
    found = []
    for image_id, prediction in enumerate(predictions, start=1):
        fields = zip(prediction["labels"], prediction["scores"], prediction["bboxes"], strict=True)
        for row, (label, score, bbox) in enumerate(fields):
            detection = {**to_coco_entry(image_id, label, bbox), "score": float(score)}
            if with_masks:
                detection["segmentation"] = prediction["masks"][row]
            found.append(detection)
    return found


def _evaluate(ground: _GroundTruth, found: list[_Entry], kind: str, most: int) -> Evaluation:
    from faster_coco_eval import COCO, COCOeval_faster

    if not found:
        return _nothing_found(ground)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(ground)
        detections = truth.loadRes([_of_kind(detection, kind) for detection in found])
        evaluation = COCOeval_faster(truth, detections, iouType=kind, print_function=lambda *_: None)
        evaluation.params.maxDets = [min(count, most) for count in (*MAX_DETECTIONS[:2], most)]
        evaluation.run()
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]  # IoU, recall, class
    defined = (precision > -1).any(axis=(0, 1))
    mean = np.where(defined, np.where(precision > -1, precision, 0).mean(axis=(0, 1)), -1.0)
    return Evaluation([float(value) for value in evaluation.stats[:12]], mean)


def _of_kind(detection: _Entry, kind: str) -> _Entry:
    """Drop the field of the other kind: the area that COCO filters by size comes from the one that is left."""
    other = "segmentation" if kind == "bbox" else "bbox"
    return {key: value for key, value in detection.items() if key != other}


def _nothing_found(ground: _GroundTruth) -> Evaluation:
    """Return 0 where there are objects of the size or the class, -1 where there are none."""
    areas = np.array([annotation["area"] for annotation in _objects(ground)])
    sizes = [(0, 32**2), (32**2, 96**2), (96**2, 1e10)]
    by_size = [0.0 if ((areas >= low) & (areas <= high)).any() else -1.0 for low, high in sizes]
    present = {annotation["category_id"] for annotation in _objects(ground)}
    per_class = [0.0 if entry["id"] in present else -1.0 for entry in ground["categories"]]
    return Evaluation([0.0] * 3 + by_size + [0.0] * 3 + by_size, np.array(per_class))
