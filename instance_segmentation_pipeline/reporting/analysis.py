"""Project analysis: finished experiments side by side, by what differs between them and by their metrics."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from ..config.loader import common_of, is_ours, read_config
from ..errors import ConfigError, UserError, nearest, one_line
from ..metrics.metric_name import PER_CLASS, VALIDATION, MetricName
from ..storage.atomic import write_text
from ..storage.experiment_files import ExperimentFiles, folders_of
from ..storage.experiment_search import config_files
from ..storage.metrics_csv import Row, read_rows
from ..storage.summary_file import read_summary
from ..text import csv_cell
from .searches import SearchReport

IGNORED = ("epoch", "lr")
"""Columns of the metrics CSV that are no metrics."""

FAVOURITES = ("coco_segm_mAP", "coco_bbox_mAP", "val_loss")
"""What a report is sorted by, where it has it."""


@dataclass(frozen=True)
class Finished:
    """A finished experiment.

    Attributes:
        name: Its folder below ``experiments``, or below the folder that was searched.
        files: Its files.
        folds: The folds that were trained.
        parameters: Its YAML, flattened to dotted keys and text.
        metrics: The mean over folds of each metric; of those on the holdout, the value.
        stages: How many stages were trained.
        trained: Label and files of each training: one, or with ``num_seeds`` one for each seed.
    """

    name: str
    files: ExperimentFiles
    folds: list[int]
    parameters: dict[str, str]
    metrics: dict[str, float]
    stages: int
    trained: list[tuple[str, ExperimentFiles]]


@dataclass
class Analysis:
    """Experiments, best first by ``sorted_by``; the parameters that differ; what was skipped, a sentence each.

    Of a search over hyperparameters the trials are experiments, and the search itself is one of ``searches``.
    """

    experiments: list[Finished]
    skipped: list[str] = field(default_factory=list)
    sorted_by: str = ""
    searches: list[SearchReport] = field(default_factory=list)

    @property
    def parameters(self) -> list[str]:
        """The keys whose values are not the same in all experiments."""
        keys = dict.fromkeys(key for one in self.experiments for key in one.parameters)
        return [key for key in keys if len({one.parameters.get(key, "") for one in self.experiments}) > 1]

    @property
    def metrics(self) -> list[str]:
        """The names of all metrics; of single classes only that which the experiments are sorted by."""
        return [name for name in self.all_metrics if PER_CLASS not in name or name == self.sorted_by]

    @property
    def all_metrics(self) -> list[str]:
        """The names of all metrics."""
        return list(dict.fromkeys(name for one in self.experiments for name in one.metrics))


def analyse(folder: Path, sort_by: str = "", only: str = "") -> Analysis:
    """Read the finished experiments below a folder.

    Args:
        folder: The folder, typically a project's.
        sort_by: Metric to sort by; losses ascend, all others descend.
        only: The one metric to report, and to sort by.

    Raises:
        ConfigError: There is no such folder, no finished experiment in it, or no such metric.
    """
    if not folder.is_dir():
        raise ConfigError(f"--inputFolder {folder} is no folder: give the root of a project.")
    found: list[Finished] = []
    skipped: list[str] = []
    searches: list[SearchReport] = []
    unfinished = 0
    for path in config_files(folder):
        if not is_ours(path):
            continue
        files = ExperimentFiles(path.absolute())
        try:
            if files.scores.exists():
                searches.append(SearchReport.of(_name_of(files, folder.absolute()), files))
                continue
            summary = read_summary(files.summary) if files.summary.exists() else {}
            if not summary.get("completed"):
                unfinished += 1
                continue
            found.append(_read(files, summary, folder.absolute(), skipped))
        except (UserError, OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            skipped.append(f"{path.parent}: skipped, since it cannot be read: {one_line(error)}")
    if not found:
        hints = "".join(f"; {line}" for line in skipped)
        raise ConfigError(
            f"{folder} has no finished experiment ({unfinished} are not finished{hints}): train one first."
        )
    analysis = Analysis(found, skipped, searches=searches)
    analysis.sorted_by = _sort(analysis, only or sort_by, "--onlyMetric" if only else "--sortBy")
    if only:
        analysis.experiments = [_with_only(one, analysis.sorted_by) for one in analysis.experiments]
    return analysis


def _read(files: ExperimentFiles, summary: dict[str, Any], folder: Path, skipped: list[str]) -> Finished:
    folds = [int(fold) for fold in summary["folds"]]
    parameters = flatten(read_config(files.config, common_of(files.config)))
    metrics: dict[str, float] = {"fold_count": float(len(folds))}
    for name, value in summary["allStages"].items():
        if isinstance(value, dict):
            metrics[name] = float(value["mean"])
            if "pooled" in value:
                metrics[f"{name}_pooled"] = float(value["pooled"])
        else:
            metrics[name] = float(value)
    stages = len(summary["stages"])
    members = folders_of(files, summary)
    trained = [(one, fold) for _, one in members for fold in folds]
    primary = MetricName(parameters.get("primary_metric", ""), parameters.get("primary_metric_mode", "auto"))
    metrics.update(_of_epochs(trained, stages, skipped, primary))
    return Finished(_name_of(files, folder), files, folds, parameters, metrics, stages, members)


def _name_of(files: ExperimentFiles, folder: Path) -> str:
    """Return the folder of an experiment below ``experiments``, or below the one that was searched."""
    parts = files.root.parts
    below = parts[len(parts) - parts[::-1].index("experiments") :] if "experiments" in parts else ()
    return "/".join(below) or files.root.relative_to(folder).as_posix()


def _of_epochs(
    trained: Sequence[tuple[ExperimentFiles, int]], stages: int, skipped: list[str], primary: MetricName
) -> dict[str, float]:
    """Return the best value of each column of the metrics CSVs, over epochs and stages, averaged over folds."""
    per_fold = []
    for files, fold in trained:
        rows: list[Row] = []
        for stage in range(stages):
            path = files.stage(fold, stage).metrics
            try:
                rows += read_rows(path)
            except (UserError, OSError) as error:
                skipped.append(f"{path}: skipped, since it cannot be read: {one_line(error)}")
        names = dict.fromkeys(name for row in rows for name in row if name not in IGNORED)
        modes = {f"{VALIDATION}{primary.plain}": primary.mode}
        ways = [MetricName(name, modes.get(name, "auto")) for name in names]
        per_fold.append({str(way): way.best(row.get(str(way), math.nan) for row in rows) for way in ways})
    names = dict.fromkeys(name for values in per_fold for name in values)
    return {name: _mean([values.get(name, math.nan) for values in per_fold]) for name in names}


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def flatten(mapping: Mapping[Any, Any], prefix: str = "") -> dict[str, str]:
    """Return a nested mapping as dotted keys and text; entries of lists of mappings are numbered."""
    flat: dict[str, str] = {}
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{name}."))
        elif isinstance(value, list) and any(isinstance(entry, (dict, list)) for entry in value):
            flat.update(flatten(dict(enumerate(value)), f"{name}."))
        else:
            flat[name] = "" if value is None else str(value)
    return flat


def _sort(analysis: Analysis, wanted: str, flag: str) -> str:
    known = analysis.all_metrics
    if wanted not in known and wanted.removeprefix(VALIDATION) in known:
        wanted = wanted.removeprefix(VALIDATION)  # the summary's values are those of validation parts
    if wanted and wanted not in known:
        raise ConfigError(
            f"{flag} {wanted!r} is no metric of these experiments{nearest(wanted, known)}: use one of {known[:60]}."
        )
    name = wanted or next((name for name in FAVOURITES if name in known), known[0])
    lower_is_better = _direction(analysis, name)

    def key(one: Finished) -> tuple[bool, float, str]:
        value = one.metrics.get(name, math.nan)
        return math.isnan(value), value if lower_is_better else -value, one.name

    analysis.experiments.sort(key=key)
    return name


def _direction(analysis: Analysis, name: str) -> bool:
    """Say whether the lower a metric is the better, as the experiments say of their primary one."""
    plain = MetricName(name).plain
    modes = {
        one.parameters.get("primary_metric_mode", "auto")
        for one in analysis.experiments
        if MetricName(one.parameters.get("primary_metric", "")).plain == plain
    }
    return MetricName(name, modes.pop() if len(modes) == 1 else "auto").lower_is_better


def _with_only(one: Finished, name: str) -> Finished:
    kept = {key: value for key, value in one.metrics.items() if key in ("fold_count", name)}
    return replace(one, metrics=kept)


def table_rows(analysis: Analysis, metrics: Sequence[str], form: str = ".6g") -> list[list[str]]:
    """Return a heading and a row an experiment: its name, the parameters that differ, and metrics as text.

    ``form`` is how numbers are written, as Python's ``format`` takes it.
    """
    rows = [["experiment", *analysis.parameters, *metrics]]
    for one in analysis.experiments:
        values = (one.metrics.get(name, math.nan) for name in metrics)
        numbers = ["" if math.isnan(value) else format(value, form) for value in values]
        rows.append([one.name, *(one.parameters.get(key, "") for key in analysis.parameters), *numbers])
    return rows


def write_csv(path: Path, analysis: Analysis) -> None:
    """Write the analysis as CSV, atomically: path, parameters that differ, all metrics."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    heading, *rows = table_rows(analysis, analysis.metrics)
    writer.writerow([csv_cell(cell) for cell in ("path", *heading)])
    for one, row in zip(analysis.experiments, rows, strict=True):
        writer.writerow([csv_cell(cell) for cell in (str(one.files.config), *row)])
    write_text(path, buffer.getvalue())
