"""The numbers of a trained experiment: of each stage over its folds, of all stages together, of epochs."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from musket_core.generic_config import TaskConfigInfo

from ..errors import ConfigError, nearest, shortened
from ..metrics.fold_statistics import best_row, over_folds
from ..metrics.metric_name import VALIDATION, MetricName
from ..storage.experiment_files import ExperimentFiles
from ..storage.metrics_csv import Row, read_rows
from .metric_selection import default_primary


class StageInfo(TaskConfigInfo):
    """What is known of a trained stage of a fold: musket_core's, and which epoch is the best.

    Attributes:
        fold: Its number.
        stage: Its number.
        best: The best value of the metric, NaN where no epoch has one.
        lr: The lowest learning rate of an epoch.
        epoch: The epoch of the best value, counted from 0; ``None`` where no epoch has one.
    """

    def __init__(self, fold: int, stage: int, best: float, lr: float, epoch: "int | None") -> None:
        super().__init__(fold, stage, best, lr)
        self.epoch = epoch

    def __repr__(self) -> str:
        return f"fold {self.fold} stage {self.stage}: best {self.best:g} in epoch {self.epoch}, lr {self.lr:g}"


Evaluate = Callable[[str, Any, Any], Mapping[str, float]]
"""Gets a dataset's name, folds and stages, and returns metrics."""


def summary_of(
    folds: Sequence[int],
    stages: int,
    evaluate: Evaluate,
    files: ExperimentFiles,
    primary: MetricName,
    has_holdout: bool,
) -> dict[str, Any]:
    """Return the metrics of each stage over the folds, and under ``allStages`` those of all stages blended.

    Each metric has mean, max, min and std over the folds' validation parts; with several folds also ``pooled``, its
    value on all validation parts together. ``<metric>_holdout`` is that of the folds' blend on the holdout, and
    ``<metric>_holdout_folds`` has mean, max, min and std of the single folds there.
    """

    def over(chosen: list[int]) -> dict[str, Any]:
        summary = _on_validation(folds, chosen, evaluate)
        if len(chosen) == 1:
            best = [best_row(_rows(files, fold, chosen[0]), primary) for fold in folds]
            columns = dict.fromkeys(name for row in best for name in row if name.startswith(VALIDATION))
            names = [name for name in columns if MetricName(name).is_loss]
            summary.update({name[4:]: over_folds([row.get(name, math.nan) for row in best]) for name in names})
        return {**summary, **(_on_holdout(folds, chosen, evaluate) if has_holdout else {})}

    numbers = list(range(stages))
    each = [over([number]) for number in numbers]
    both = each[0] if stages == 1 else over(numbers)
    return {"stages": each, "allStages": _copied(both)}


def result_of(summary: Mapping[str, Any], experiment_result: "str | None", primary_metric: "str | None") -> float:
    """Return the number that stands for the whole experiment: ``experiment_result``, else the primary metric.

    Of a metric that was also measured on the holdout, the holdout's value; else the mean over folds.
    """
    values = {**(summary["stages"] or [{}])[-1], **summary["allStages"]}
    chosen = experiment_result or primary_metric or default_primary(default_primary(True) in values)
    name = chosen.removeprefix(VALIDATION)
    value = values.get(f"{name}_holdout", values.get(name, math.nan))
    return float(value["mean"] if isinstance(value, dict) else value)


def info_of(
    files: ExperimentFiles, folds: int, stages: int, primary: MetricName, metric: "str | None"
) -> list[StageInfo]:
    """Return of each fold and stage the best value of a column of its metrics CSV, its epoch, and the lowest rate.

    Args:
        files: Names of the experiment's files.
        folds: How many folds there are.
        stages: How many stages there are.
        primary: The primary metric.
        metric: The column, with or without ``val_``; by default the primary metric.

    Raises:
        ConfigError: What is trained has no such column.
    """
    if metric is not None and not isinstance(metric, str):
        raise ConfigError(f"metric is {shortened(metric)}, expected the name of a column of the metrics CSV, or None.")
    places = [(fold, stage) for fold in range(folds) for stage in range(stages)]
    read = {place: read_rows(files.stage(*place).metrics) for place in places}
    trained = {place: rows for place, rows in read.items() if rows}
    columns = list(dict.fromkeys(name for rows in trained.values() for row in rows for name in row))
    wanted = metric or str(primary)
    column = wanted if wanted in columns else f"{VALIDATION}{wanted}"
    if columns and column not in columns:
        raise ConfigError(f"no metrics CSV has {wanted!r}{nearest(wanted, columns)}: use one of {columns[:40]}.")
    name = primary if column == str(primary) else MetricName(column)
    return [_info(place, rows, name, column) for place, rows in trained.items()]


def _info(place: tuple[int, int], rows: Sequence[Row], name: MetricName, column: str) -> StageInfo:
    values = [row.get(column, math.nan) for row in rows]
    best = name.place_of_best(values)
    epoch = None if math.isnan(values[best]) else int(rows[best].get("epoch", best))
    return StageInfo(*place, values[best], min(row["lr"] for row in rows), epoch)


def _on_validation(folds: Sequence[int], stages: list[int], evaluate: Evaluate) -> dict[str, Any]:
    values = [evaluate("validation", fold, stages) for fold in folds]
    pooled = evaluate("validation", list(folds), stages) if len(folds) > 1 else {}
    summary: dict[str, Any] = {}
    for name in dict.fromkeys(name for value in values for name in value):
        summary[name] = over_folds([value.get(name, math.nan) for value in values])
        if name in pooled:
            summary[name]["pooled"] = _rounded(pooled[name])
    return summary


def _on_holdout(folds: Sequence[int], stages: list[int], evaluate: Evaluate) -> dict[str, Any]:
    alone = [evaluate("holdout", fold, stages) for fold in folds]
    blend = evaluate("holdout", list(folds), stages) if len(folds) > 1 else alone[0]
    summary: dict[str, Any] = {f"{name}_holdout": _rounded(value) for name, value in blend.items()}
    if len(folds) > 1:
        for name in blend:
            summary[f"{name}_holdout_folds"] = over_folds([value.get(name, math.nan) for value in alone])
    return summary


def _rows(files: ExperimentFiles, fold: int, stage: int) -> list[Row]:
    rows = read_rows(files.stage(fold, stage).metrics)
    if not rows:
        raise ConfigError(f"fold {fold} stage {stage} is not trained: {files.stage(fold, stage).metrics} has no epoch.")
    return rows


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _copied(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: dict(value) if isinstance(value, dict) else value for name, value in summary.items()}
