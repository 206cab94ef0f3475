"""The numbers of a finished experiment: per stage and over folds, in the layout of musket_core's summary.yaml."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .metric_name import MetricName

Row = dict[str, Any]


def best_row(rows: Sequence[Row], metric: MetricName) -> Row:
    """Return the row with the best value of a metric: the first of equals, the last of all where none has one.

    >>> rows = [{"epoch": 0, "loss": 0.5}, {"epoch": 1, "loss": 0.2}]
    >>> best_row(rows, MetricName("loss"))
    {'epoch': 1, 'loss': 0.2}
    """
    return rows[metric.place_of_best([row.get(str(metric), math.nan) for row in rows])]


def over_folds(values: Sequence[float]) -> dict[str, float]:
    """Return mean, max, min and std of a metric over folds; folds where it is not defined do not count.

    >>> over_folds([0.5, 0.7, math.nan])
    {'mean': 0.6, 'max': 0.7, 'min': 0.5, 'std': 0.1}
    """
    defined = [value for value in values if not math.isnan(value)]
    if not defined:
        return dict.fromkeys(("mean", "max", "min", "std"), math.nan)
    statistics: dict[str, Any] = {"mean": np.mean, "max": np.max, "min": np.min, "std": np.std}
    return {name: round(float(function(defined)), 6) for name, function in statistics.items()}
