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


def stage_summary(best: Sequence[Row], held_out: Sequence[Row]) -> dict[str, Any]:
    """Return a stage's metrics over folds, and the mean over folds of those on the holdout as ``<metric>_holdout``.

    Args:
        best: The best row of each fold's CSV.
        held_out: The metrics of each fold's best weights on the holdout; empty without one.
    """
    names = [name for name in best[0] if name.startswith("val_")]
    summary: dict[str, Any] = {name[4:]: over_folds([row.get(name, math.nan) for row in best]) for name in names}
    for name in held_out[0] if held_out else ():
        summary[f"{name}_holdout"] = over_folds([row[name] for row in held_out])["mean"]
    return summary
