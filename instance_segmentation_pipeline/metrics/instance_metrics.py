"""Metrics of a whole set of predictions, beyond those of every epoch: the names that summaries and YAML know.

``final_metrics`` is a pure function; ``resolve`` also finds functions that users marked ``@metrics.final_metric``.
"""

import math
from collections.abc import Sequence

from ..detection.arrays import FoundArrays, TruthRecord
from ..detection.detections import Detections, truth_of
from ..detection.matching import curve, match, mean_average_precision
from .coco import RECALLS, STATISTICS, coco_evaluation, named

ALIASES = {"mmdet_mAP_bbox": "bbox", "mAP_masks": "segm"}
"""Names of 2019 for the mean over classes of the average precision at IoU .5, as VOC computes it."""

F1_NAMES = ("F1", "F1_threshold")


def final_metric_names(with_masks: bool) -> list[str]:
    """Return the names that ``final_metrics`` gives for any dataset; those of single classes are not among them.

    >>> [name for name in final_metric_names(with_masks=False) if "coco" not in name]
    ['bbox_F1', 'bbox_F1_threshold', 'mmdet_mAP_bbox']
    """
    names = []
    for kind in ("bbox", "segm") if with_masks else ("bbox",):
        names += [f"coco_{kind}_{name}" for name in (*STATISTICS, *RECALLS)]
        names += [f"{kind}_{name}" for name in F1_NAMES]
    names += [name for name, kind in ALIASES.items() if with_masks or kind == "bbox"]
    return [*names, "mask_IoU"] if with_masks else names


def final_metrics(
    truths: Sequence[TruthRecord],
    found: Sequence[Detections],
    class_names: Sequence[str],
    with_masks: bool,
    most: "int | None" = None,
) -> dict[str, float]:
    """Evaluate predictions on a whole dataset.

    Args:
        truths: One ``records.to_middle_format`` record an image.
        found: What was found in each, in the same order.
        class_names: Names of the classes, in label order.
        with_masks: Whether masks are evaluated too.
        most: Detections of a class in an image that COCO's numbers count; by default ``coco.counted``.

    Returns:
        COCO's AP and AR, and per-class AP (``coco_segm_mAP_class_<name>``); ``segm_F1`` and ``bbox_F1``, the best F1 at
        IoU .5 over score thresholds, with ``…_threshold``, the threshold that reaches it; ``mask_IoU``, the mean IoU
        of what is matched at that threshold; ``mmdet_mAP_bbox`` and ``mAP_masks``, the mean over classes of AP at IoU
        .5. NaN where there is nothing to find.

    >>> import numpy as np
    >>> boxes = np.array([[10, 10, 50, 60]], np.float32)
    >>> truth = {"filename": "a.png", "height": 80, "width": 80, "ann": {"labels": np.array([0]), "bboxes": boxes}}
    >>> found = Detections(80, 80, np.array([0]), np.array([0.9], np.float32), boxes, None)
    >>> final_metrics([truth], [found], ["disc"], with_masks=False)["bbox_F1"]
    1.0
    """
    classes = len(class_names)
    values = dict.fromkeys(final_metric_names(with_masks), math.nan)
    predictions = [as_arrays(one) for one in found]
    for kind, evaluation in coco_evaluation(truths, predictions, classes, with_masks, most).items():
        values.update(named(kind, (*STATISTICS, *RECALLS), evaluation.statistics))
        per_class = [f"mAP_class_{name}" for name in class_names]
        values.update(named(kind, per_class, evaluation.per_class.tolist()))
    there = [truth_of(record) for record in truths]
    for kind in ("bbox", "segm") if with_masks else ("bbox",):
        plain = kind == "bbox"
        matches = match(_boxes(there, plain), _boxes(found, plain), classes)
        whole = curve(matches)
        if whole is None:
            continue
        values[f"{kind}_F1"], values[f"{kind}_F1_threshold"] = best, threshold = whole.best_f1()
        values.update({name: mean_average_precision(matches) for name, of in ALIASES.items() if of == kind})
        if kind == "segm":
            counted = matches.correct & (matches.scores >= threshold)
            values["mask_IoU"] = float(matches.iou[counted].mean()) if best else 0.0
    return values


def as_arrays(found: Detections) -> FoundArrays:
    """Return detections as ``metrics.coco_metrics`` takes them.

    >>> from instance_segmentation_pipeline.detection.detections import none_found
    >>> sorted(as_arrays(none_found(60, 80, with_masks=True)))
    ['bboxes', 'labels', 'masks', 'scores']
    """
    arrays: FoundArrays = {"labels": found.labels, "scores": found.scores, "bboxes": found.bboxes}
    if found.masks is not None:
        arrays["masks"] = found.masks
    return arrays


def _boxes(images: Sequence[Detections], plain: bool) -> list[Detections]:
    """Return detections without their masks, where boxes alone count."""
    if not plain:
        return list(images)
    return [Detections(one.height, one.width, one.labels, one.scores, one.bboxes, None) for one in images]
