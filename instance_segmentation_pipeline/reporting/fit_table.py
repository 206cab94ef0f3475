"""Tables for the terminal."""

import math
from typing import Any

from ..metrics.fold_statistics import best_row
from ..metrics.metric_name import MetricName
from ..storage.experiment_files import ExperimentFiles, folders_of
from ..storage.metrics_csv import read_rows
from ..visualization.text_table import table


def experiment_table(files: ExperimentFiles, summary: dict[str, Any], metric: MetricName) -> str:
    """Return the metrics of each fold and stage in their best epoch, and their mean over folds, as a table."""
    stages = summary["stages"]
    names = [name for name in ("coco_bbox_mAP", "coco_segm_mAP", "coco_segm_mAP_50", "loss") if name in stages[0]]
    rows = [["fold", "stage", "epochs", *(f"val {name}" for name in names)]]
    for stage, values in enumerate(stages):
        for label, fold, one in _trained(files, summary):
            epochs = read_rows(one.stage(fold, stage).metrics)
            best = best_row(epochs, metric)
            numbers = (best.get(f"val_{name}", math.nan) for name in names)
            rows.append([f"{label}{fold}", str(stage), str(len(epochs)), *(f"{value:.3f}" for value in numbers)])
        rows.append(["mean", str(stage), "", *(f"{values[name]['mean']:.3f}" for name in names)])
    return table(rows)


def last_pictures(files: ExperimentFiles, summary: dict[str, Any]) -> list[str]:
    """Return the paths of each fold's last sample picture."""
    stage = len(summary["stages"]) - 1
    paths = []
    for _, fold, one in _trained(files, summary):
        epochs = read_rows(one.stage(fold, stage).metrics)
        paths.append(str(one.stage(fold, stage).example(int(epochs[-1]["epoch"]))))
    return paths


def _trained(files: ExperimentFiles, summary: dict[str, Any]) -> list[tuple[str, int, ExperimentFiles]]:
    """Return label, number and files of each fold that was trained, with each seed."""
    return [(label, fold, one) for label, one in folders_of(files, summary) for fold in summary["folds"]]
