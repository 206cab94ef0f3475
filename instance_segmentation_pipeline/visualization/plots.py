"""Plots of an experiment: learning curves, precision and recall, confusion. Figures are drawn without a display."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..detection.arrays import Int64Array
from ..detection.matching import Curve
from ..storage.atomic import write_atomically, write_text
from ..storage.experiment_files import StageFiles
from ..storage.metrics_csv import read_rows
from ..text import csv_cell
from .letters import drawable, font_file_for, plain_label, plot_font

BACKGROUND = "background"
MOST_CLASSES = 20
"""Class counts up to which every class has its curve, and cells of a confusion matrix their numbers."""


def learning_figure(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str], title: str) -> Figure:
    """Plot losses, and metrics, by epoch.

    Args:
        rows: Rows of a metrics CSV: ``epoch``, ``loss``, ``val_loss`` and ``val_…`` metrics.
        metrics: Columns of the second plot.
        title: What is shown.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for axes, names in zip(figure.subplots(1, 2), (("loss", "val_loss"), tuple(metrics)), strict=True):
        for name in names:
            points = [(row["epoch"], row.get(name, math.nan)) for row in rows]
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def shown_metrics(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the metrics that learning curves show."""
    wanted = ("val_coco_segm_mAP", "val_coco_segm_mAP_50", "val_coco_bbox_mAP")
    return [name for name in wanted if name in rows[0]]


def draw_learning_curves(files: StageFiles, title: str) -> None:
    """Write the learning curves of a stage beside its CSV."""
    rows = read_rows(files.metrics)
    if rows:
        write_figure(files.learning_curves, learning_figure(rows, shown_metrics(rows), title))


def precision_recall_figure(curves: Mapping[str, "Curve | None"], title: str) -> Figure:
    """Plot precision over recall, a line a class; ``None`` are classes without objects."""
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    labels = drawable(list(curves))
    shown = {label: curve for label, curve in zip(labels, curves.values(), strict=True) if curve is not None}
    for name, curve in list(shown.items())[:MOST_CLASSES]:
        label = f"{plain_label(name)} (AP {curve.area():.3f})"
        axes.plot(np.concatenate([[0], curve.recall]), np.concatenate([[1], curve.precision]), label=label)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02), title=title)
    axes.grid(alpha=0.3)
    if shown:
        for text in axes.legend(loc="lower left").get_texts():
            text.set_fontproperties(plot_font(text.get_text(), 8))
    return figure


def confusion_figure(table: Int64Array, class_names: Sequence[str], title: str) -> Figure:
    """Draw a confusion matrix of ``matching.confusion``, coloured by the share of the true class."""
    names = [*map(plain_label, drawable(class_names)), BACKGROUND]
    side = min(14.0, 2.6 + 0.5 * len(names))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(picture, ax=axes, label="share of the true class", shrink=0.8)
    size = 9 if len(names) <= MOST_CLASSES else 5
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontproperties(plot_font(label.get_text(), size))
    axes.set(xlabel="predicted", ylabel="true", title=title)
    if len(names) <= MOST_CLASSES + 1:
        for row, column in np.ndindex(*table.shape):
            color = "white" if shares[row, column] > 0.55 else "black"
            text = "" if row == column == len(names) - 1 else str(table[row, column])
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=size)
    return figure


def bars_figure(sizes: Mapping[str, int], title: str) -> Figure:
    """Plot how many there are of each, as bars with their numbers."""
    labels = [plain_label(name if font_file_for(name) else f"{number}.") for number, name in enumerate(sizes, start=1)]
    places, counts = range(len(labels)), list(sizes.values())
    figure = Figure(figsize=(7, 1.2 + 0.28 * max(len(labels), 3)), layout="constrained")
    axes = figure.subplots()
    axes.barh(places, counts, color="#4c78a8")
    axes.set_yticks(places, labels)
    for label in axes.get_yticklabels():
        label.set_fontproperties(plot_font(label.get_text(), 8))
    axes.invert_yaxis()
    axes.set(xlabel="items", title=plain_label(title))
    for place, count in zip(places, counts, strict=True):
        axes.text(count, place, f" {count}", va="center", fontsize=7)
    return figure


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, atomically."""
    with write_atomically(path) as temporary:
        temporary.write_bytes(png_of(figure))


def png_of(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def write_confusion_csv(path: Path, table: Int64Array, class_names: Sequence[str]) -> None:
    """Write a confusion matrix as CSV: a row a true class, a column a predicted one."""
    names = [csv_cell(name) for name in (*class_names, BACKGROUND)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["true \\ predicted", *names])
    writer.writerows([name, *row] for name, row in zip(names, table.tolist(), strict=True))
    write_text(path, buffer.getvalue())
