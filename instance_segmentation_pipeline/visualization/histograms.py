"""Bars and histograms of a dataset's numbers. Figures are drawn without a display."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .letters import drawable, plain_label, plot_font

MOST_BARS = 40
"""Bars that are drawn, the highest ones."""


def bar_figure(names: Sequence[str], values: Sequence[float], title: str) -> Figure:
    """Plot a bar for each name, the highest first.

    Args:
        names: What each stands for.
        values: As many numbers.
        title: What is shown.
    """
    order = np.argsort(-np.asarray(values), kind="stable")[:MOST_BARS]
    figure = Figure(figsize=(6, 0.8 + 0.22 * len(order)), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots()
    names = drawable(names)
    shown = [plain_label(names[place]) for place in order]
    places = range(len(order))
    axes.barh(places, [values[place] for place in order])
    axes.set_yticks(places, shown)
    for label in axes.get_yticklabels():
        label.set_fontproperties(plot_font(label.get_text(), 9))
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis="x")
    return figure


def histogram_figure(values: Sequence[float], title: str) -> Figure:
    """Plot how often values of each size are there; wide ranges on a logarithmic scale.

    Args:
        values: One or more finite numbers, of 0 or more.
        title: What is shown.
    """
    numbers = np.asarray(values, np.float64)
    wide = numbers.min() > 0 and numbers.max() > 20 * numbers.min()
    bins = np.geomspace(numbers.min(), numbers.max(), 40) if wide else np.histogram_bin_edges(numbers, 40)
    figure = Figure(figsize=(6, 2.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots()
    axes.hist(numbers, bins=bins.tolist())
    if wide:
        axes.set_xscale("log")
    axes.grid(alpha=0.3)
    return figure
