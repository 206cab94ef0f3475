"""The plot of a search: scores over trials, and over each parameter."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ..storage.search_record import DONE, FAILED, PRUNED, TrialRecord
from ..text import printable
from .letters import drawable, plain_label

MOST_PARAMETERS = 11
COLUMNS = 4


def search_figure(trials: Sequence[TrialRecord], metric: str, title: str, *, lower_is_better: bool) -> Figure:
    """Plot the scores of a search's trials with the best so far, and over each of its first parameters.

    Args:
        trials: The trials.
        metric: What they are compared by.
        title: What is shown.
        lower_is_better: Its direction.
    """
    names = list(dict.fromkeys(name for trial in trials for name in trial.parameters))[:MOST_PARAMETERS]
    rows = math.ceil((len(names) + 1) / COLUMNS)
    columns = min(COLUMNS, len(names) + 1)
    figure = Figure(figsize=(3.4 * columns, 3.0 * rows), layout="constrained")
    (title,) = drawable([title])
    figure.suptitle(plain_label(title), fontsize=11)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    done = [trial for trial in trials if trial.state == DONE and trial.score is not None]
    _progress(panels[0], trials, done, metric, lower_is_better)
    for axes, name in zip(panels[1:], names, strict=False):
        _parameter(axes, done, name, metric)
    for axes in panels[len(names) + 1 :]:
        axes.set_axis_off()
    return figure


def _progress(axes: Any, trials: Sequence[TrialRecord], done: Sequence[TrialRecord], metric: str, lower: bool) -> None:
    best: list[float] = []
    for trial in done:
        score = trial.score or 0.0
        best.append(score if not best else (min if lower else max)(best[-1], score))
    axes.plot([trial.number for trial in done], [trial.score for trial in done], "o", markersize=4, label="trial")
    axes.plot([trial.number for trial in done], best, drawstyle="steps-post", label="best so far")
    level = min((trial.score or 0.0 for trial in done), default=0.0)
    for state, mark in ((PRUNED, "|"), (FAILED, "x")):
        numbers = [trial.number for trial in trials if trial.state == state]
        if numbers:
            axes.plot(
                numbers, [level] * len(numbers), mark, color="0.5", label="ended early" if state == PRUNED else state
            )
    axes.set(xlabel="trial", ylabel=metric)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def _parameter(axes: Any, done: Sequence[TrialRecord], name: str, metric: str) -> None:
    values = [trial.parameters.get(name) for trial in done]
    scores = [trial.score for trial in done]
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        axes.plot(values, scores, "o", markersize=4)
        numbers = [float(value) for value in values if isinstance(value, (int, float))]
        if numbers and min(numbers) > 0 and max(numbers) > 20 * min(numbers):
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        labels = [printable(str(value))[:24] for value in values]
        places = list(dict.fromkeys(labels))
        axes.plot([places.index(label) for label in labels], scores, "o", markersize=4)
        axes.set_xticks(range(len(places)), [plain_label(one) for one in drawable(places)], rotation=30, ha="right")
        axes.tick_params(axis="x", labelsize=7)
    axes.set(xlabel=name, ylabel=metric)
    axes.grid(alpha=0.3)
