"""What a report shows of one experiment: curves, confusion, its best and its worst images."""

import math
from collections.abc import Sequence
from typing import Any

import cv2

from ..detection.detections import Detections, truth_of
from ..detection.matching import confusion, curve, match, panoptic_quality
from ..visualization.draw import comparison
from ..visualization.plots import (
    confusion_figure,
    learning_figure,
    png_of,
    precision_recall_figure,
    shown_metrics,
    write_figure,
)
from .picture_folder import Drawing

SHOWN = 3
"""Images shown of the best and of the worst."""


def validation_pictures(cfg: Any, folds: Sequence[int]) -> list[Drawing]:
    """Draw what a trained experiment finds on its validation parts: curves, confusion, worst and best images.

    Args:
        cfg: The ``PipelineConfig``.
        folds: The folds that are trained.
    """
    found, there, answers = _of_validation(cfg, folds)
    curves, table = validation_figures(cfg, there, answers)
    order = _by_quality(there, answers, cfg.threshold)
    worst, best = order[:SHOWN], order[::-1][:SHOWN]
    heading = "Precision, recall, confusion"
    drawn = [
        Drawing.of_png(heading, "precision and recall", png_of(curves)),
        Drawing.of_png(heading, "confusion matrix", png_of(table)),
    ]
    for name, images in (("Worst images", worst), ("Best images", [one for one in best if one not in worst])):
        drawn += [_comparison(cfg, found, f"{name}: ground truth, prediction", *one) for one in images]
    return drawn


def learning_pictures(rows: Sequence[dict[str, Any]], title: str) -> list[Drawing]:
    """Draw the learning curves of one stage; nothing where it has no epoch."""
    if not rows:
        return []
    return [Drawing.of_png("Learning curves", title, png_of(learning_figure(rows, shown_metrics(rows), title)))]


def _of_validation(cfg: Any, folds: Sequence[int]) -> tuple[Any, list[Detections], list[Detections]]:
    """Return the predictions on all validation parts as a dataset, the objects there, and what was found."""
    found = cfg.predictions("validation", list(folds))
    there = [truth_of(record) for record in cfg.truths(found)]
    return found, there, [found.detections(number) for number in range(len(found))]


def validation_figures(cfg: Any, there: Sequence[Detections], answers: Sequence[Detections]) -> tuple[Any, Any]:
    """Return the precision-recall curves and the confusion matrix of validation items, as figures."""
    names = list(cfg.class_names())
    matches = match(there, answers, len(names))
    kind = "masks" if cfg.finished().needs_masks else "boxes"
    curves = {name: curve(matches, label) for label, name in enumerate(names)}
    table = confusion(there, answers, len(names), cfg.threshold)
    return (
        precision_recall_figure(curves, f"precision and recall, {kind} at IoU .5"),
        confusion_figure(table, names, f"validation, scores from {cfg.threshold:g}"),
    )


def write_reports(cfg: Any, folds: Sequence[int]) -> None:
    """Write the precision-recall curves and the confusion matrix of all validation parts below ``reports``."""
    _, there, answers = _of_validation(cfg, folds)
    curves, table = validation_figures(cfg, there, answers)
    write_figure(cfg.files.reports("precision_recall.png"), curves)
    write_figure(cfg.files.reports("confusion.png"), table)


def _by_quality(
    there: Sequence[Detections], answers: Sequence[Detections], threshold: float
) -> list[tuple[float, int]]:
    pairs = enumerate(zip(there, answers, strict=True))
    rated = [(panoptic_quality(truth, found.above(threshold)), number) for number, (truth, found) in pairs]
    return sorted(entry for entry in rated if not math.isnan(entry[0]))


def _comparison(cfg: Any, found: Any, heading: str, value: float, number: int) -> Drawing:
    item_id, image, truth = cfg.reader().read(found, number)
    shown = found.detections(number).above(cfg.threshold)
    picture = comparison([(image, truth, shown.instances(), shown.scores)], cfg.class_names())
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    size = picture.shape[1], picture.shape[0]
    return Drawing(heading, f"{item_id}: quality {value:.2f}", encoded.tobytes(), size)
