"""The numbers of a finished experiment: per stage and over folds, in the layout of musket_core's summary.yaml."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]


def best_row(rows: Sequence[Row], metric: str, better: Callable[[float, float], bool]) -> Row:
    """Return the row with the best value of a metric: the first of equals, the first of all where none has one."""
    best = rows[0]
    for row in rows[1:]:
        value, score = row.get(metric, math.nan), best.get(metric, math.nan)
        if not math.isnan(value) and (math.isnan(score) or better(value, score)):
            best = row
    return best


def over_folds(values: Sequence[float]) -> dict[str, float]:
    """Return mean, max, min and std of a metric over folds; folds where it is not defined do not count."""
    defined = [value for value in values if not math.isnan(value)]
    if not defined:
        return dict.fromkeys(("mean", "max", "min", "std"), math.nan)
    statistics: dict[str, Any] = {"mean": np.mean, "max": np.max, "min": np.min, "std": np.std}
    return {name: round(float(function(defined)), 6) for name, function in statistics.items()}
