"""Tables for the terminal."""

import math
from typing import Any

from ..files import ExperimentFiles
from ..hooks import read_rows
from .summary import table


def experiment_table(files: ExperimentFiles, summary: dict[str, Any]) -> str:
    """Return the best metrics of each fold and stage, and their mean over folds, as a table."""
    stages = summary["stages"]
    names = [name for name in ("coco_bbox_mAP", "coco_segm_mAP", "coco_segm_mAP_50", "loss") if name in stages[0]]
    rows = [["fold", "stage", "epochs", *(f"val {name}" for name in names)]]
    for stage, values in enumerate(stages):
        for fold in summary["folds"]:
            epochs = read_rows(files.stage(fold, stage).metrics)
            best = [_best([row.get(f"val_{name}", math.nan) for row in epochs], "loss" in name) for name in names]
            rows.append([str(fold), str(stage), str(len(epochs)), *(f"{value:.3f}" for value in best)])
        means = [values[name]["mean"] for name in names]
        rows.append(["mean", str(stage), "", *(f"{value:.3f}" for value in means)])
    return table(rows)


def _best(values: list[float], lower: bool) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return (min if lower else max)(defined) if defined else math.nan
