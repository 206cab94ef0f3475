"""What a report shows of one experiment: curves, confusion, its best and its worst images."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2

from ..detection.detections import Detections, truth_of
from ..detection.matching import confusion, curve, match, match_image
from ..experiment.seeds import label
from ..storage.metrics_csv import read_rows
from ..visualization.draw import comparison
from ..visualization.plots import (
    confusion_figure,
    learning_figure,
    png_of,
    precision_recall_figure,
    shown_metrics,
    write_figure,
)

SHOWN = 3
"""Images shown of the best and of the worst."""


@dataclass(frozen=True)
class Gallery:
    """Pictures of an experiment, encoded.

    Attributes:
        learning: Title and PNG of the learning curves of each fold and stage.
        precision_recall: PNG.
        confusion: PNG.
        worst: Caption and JPEG of the images with the lowest quality, truth beside prediction.
        best: The same of the highest.
    """

    learning: list[tuple[str, bytes]]
    precision_recall: bytes
    confusion: bytes
    worst: list[tuple[str, bytes]]
    best: list[tuple[str, bytes]]


def gallery_of(cfg: Any, folds: Sequence[int]) -> Gallery:
    """Return the pictures of a trained experiment, from its predictions on all validation parts.

    Args:
        cfg: The ``PipelineConfig``.
        folds: The folds that are trained.
    """
    found, there, answers = _of_validation(cfg, folds)
    curves, table = validation_figures(cfg, there, answers)
    order = _by_quality(there, answers, cfg.threshold)
    worst, best = order[:SHOWN], order[::-1][:SHOWN]
    return Gallery(
        learning_curves(cfg, folds),
        png_of(curves),
        png_of(table),
        [_picture(cfg, found, number, quality) for quality, number in worst],
        [_picture(cfg, found, number, quality) for quality, number in best if (quality, number) not in worst],
    )


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


def learning_curves(cfg: Any, folds: Sequence[int]) -> list[tuple[str, bytes]]:
    """Return title and PNG of the learning curves of each fold and stage."""
    curves = []
    for member, fold in itertools.product(cfg.members(), folds):
        for stage in range(len(cfg.stages)):
            rows = read_rows(member.files.stage(fold, stage).metrics)
            if rows:
                title = f"{label(member)}fold {fold} stage {stage}"
                curves.append((title, png_of(learning_figure(rows, shown_metrics(rows), title))))
    return curves


def quality(truth: Detections, found: Detections) -> float:
    """Return the panoptic quality of an image (Kirillov et al., 2019): summed IoU over hits and half of all misses.

    NaN where nothing is there and nothing was found.
    """
    total = (len(truth) + len(found)) / 2
    return float(match_image(truth, found.by_score())[1].sum() / total) if total else math.nan


def _by_quality(
    there: Sequence[Detections], answers: Sequence[Detections], threshold: float
) -> list[tuple[float, int]]:
    pairs = enumerate(zip(there, answers, strict=True))
    rated = [(quality(truth, found.above(threshold)), number) for number, (truth, found) in pairs]
    return sorted(entry for entry in rated if not math.isnan(entry[0]))


def _picture(cfg: Any, found: Any, number: int, value: float) -> tuple[str, bytes]:
    with cfg.reading():
        item_id, image, truth = cfg.reader().read(found, number)
    shown = found.detections(number).above(cfg.threshold)
    picture = comparison([(image, truth, shown.instances(), shown.scores)], cfg.class_names())
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return f"{item_id}: quality {value:.2f}", encoded.tobytes()
