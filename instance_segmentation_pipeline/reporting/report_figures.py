"""What a report shows of one experiment: curves, confusion, its best and its worst images."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
from matplotlib.figure import Figure

from ..detection.arrays import UInt8Array
from ..detection.detections import Detections
from ..detection.instances import Instances
from ..detection.matching import confusion, curve, match, panoptic_quality
from ..storage.experiment_files import ExperimentFiles
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


@dataclass(frozen=True)
class ValidationView:
    """What there is in the validation parts of a trained experiment, and what it found, item by item.

    Attributes:
        truths: The objects of each item.
        found: What was found in each.
        class_names: Names of the classes, in label order.
        threshold: The lowest score that is drawn, and counts in the confusion matrix.
        with_masks: Whether the model finds masks.
        item: Gives id, image ``(height, width, 3)`` uint8 RGB and objects of an item by its position.
    """

    truths: Sequence[Detections]
    found: Sequence[Detections]
    class_names: Sequence[str]
    threshold: float
    with_masks: bool
    item: Callable[[int], tuple[str, UInt8Array, Instances]]


def validation_pictures(view: ValidationView) -> list[Drawing]:
    """Draw what a trained experiment finds on its validation parts: curves, confusion, worst and best images."""
    curves, table = validation_figures(view)
    order = _by_quality(view)
    worst, best = order[:SHOWN], order[::-1][:SHOWN]
    heading = "Precision, recall, confusion"
    drawn = [
        Drawing.of_png(heading, "precision and recall", png_of(curves)),
        Drawing.of_png(heading, "confusion matrix", png_of(table)),
    ]
    for name, images in (("Worst images", worst), ("Best images", [one for one in best if one not in worst])):
        drawn += [_comparison(view, f"{name}: ground truth, prediction", *one) for one in images]
    return drawn


def learning_pictures(rows: Sequence[Mapping[str, Any]], title: str) -> list[Drawing]:
    """Draw the learning curves of one stage; nothing where it has no epoch."""
    if not rows:
        return []
    return [Drawing.of_png("Learning curves", title, png_of(learning_figure(rows, shown_metrics(rows), title)))]


def validation_figures(view: ValidationView) -> tuple[Figure, Figure]:
    """Return the precision-recall curves and the confusion matrix of validation items, as figures."""
    names = list(view.class_names)
    matches = match(view.truths, view.found, len(names))
    kind = "masks" if view.with_masks else "boxes"
    curves = {name: curve(matches, label) for label, name in enumerate(names)}
    table = confusion(view.truths, view.found, len(names), view.threshold)
    return (
        precision_recall_figure(curves, f"precision and recall, {kind} at IoU .5"),
        confusion_figure(table, names, f"validation, scores from {view.threshold:g}"),
    )


def write_reports(view: ValidationView, files: ExperimentFiles) -> None:
    """Write the precision-recall curves and the confusion matrix of all validation parts below ``reports``."""
    curves, table = validation_figures(view)
    write_figure(files.reports("precision_recall.png"), curves)
    write_figure(files.reports("confusion.png"), table)


def _by_quality(view: ValidationView) -> list[tuple[float, int]]:
    pairs = enumerate(zip(view.truths, view.found, strict=True))
    rated = [(panoptic_quality(truth, found.above(view.threshold)), number) for number, (truth, found) in pairs]
    return sorted(entry for entry in rated if not math.isnan(entry[0]))


def _comparison(view: ValidationView, heading: str, value: float, number: int) -> Drawing:
    item_id, image, truth = view.item(number)
    shown = view.found[number].above(view.threshold)
    picture = comparison([(image, truth, shown.instances(), shown.scores)], view.class_names)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    size = picture.shape[1], picture.shape[0]
    return Drawing(heading, f"{item_id}: quality {value:.2f}", encoded.tobytes(), size)
