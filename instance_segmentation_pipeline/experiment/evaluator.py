"""Numbers of a trained experiment: final metrics of its predictions, over folds and stages, and its summary."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from musket_core.generic_config import TaskConfigInfo
from musket_core.model import FoldsAndStages

from ..data.item_cache import ItemCache
from ..data.item_reader import ItemReader
from ..detection.arrays import FoundArrays, TruthRecord
from ..detection.detections import Detections, from_arrays
from ..detection.records import to_middle_format
from ..errors import ConfigError, nearest
from ..inference.prediction_datasets import Predictions
from ..inference.predictor import in_memory
from ..metrics.coco import metric_names
from ..metrics.fold_statistics import best_row, over_folds
from ..metrics.instance_metrics import final_metric_names, final_metrics
from ..metrics.metric_name import HOLDOUT, PER_CLASS, VALIDATION, MetricName
from ..models.finished_config import FinishedConfig
from ..storage.metrics_csv import read_rows
from .user_metrics import user_metric, user_values


class Scoring:
    """The part of ``PipelineConfig`` that measures; the methods' names are musket_core's."""

    files: Any
    path: Any
    stages: list
    fold_count: Callable[[], int]
    primary_metric: Any
    primary_metric_mode: str
    experiment_result: Any
    final_metrics: Any
    finished: Callable[[], FinishedConfig]
    class_names: Callable[[], tuple[str, ...]]
    reader: Callable[[], ItemReader]
    get_dataset: Callable[..., Any]
    predictions: Callable[..., Predictions]
    hasHoldout: Callable[[], bool]
    _truths: "ItemCache[TruthRecord] | None" = None

    def evaluate(self, name: Any = "validation", fold: Any = None, stage: Any = None) -> dict[str, float]:
        """Return the final metrics of what folds and stages find on a dataset; the arguments are ``predictions``'s."""
        if isinstance(name, str):
            self.get_dataset()
        self._check_metrics()
        return self._final(self.predictions(name, fold, stage), fold, stage)

    def createSummary(self, foldsToExecute: Sequence[int], subsample: float) -> dict:
        """Return the metrics of each stage over the folds, and under ``allStages`` those of all stages blended.

        Each metric has mean, max, min and std over the folds' validation parts; with several folds also ``pooled``, its
        value on all validation parts together. ``<metric>_holdout`` is that of the folds' blend on the holdout, and
        ``<metric>_holdout_folds`` has mean, max, min and std of the single folds there.
        """
        folds = list(foldsToExecute)
        numbers = list(range(len(self.stages)))
        stages = [self._over_folds(folds, [number]) for number in numbers]
        both = stages[0] if len(numbers) == 1 else self._over_folds(folds, numbers)
        return {"stages": stages, "allStages": _copied(both)}

    def _over_folds(self, folds: list[int], stages: list[int]) -> dict[str, Any]:
        summary: dict[str, Any] = {}
        values = [self.evaluate("validation", fold, stages) for fold in folds]
        pooled = self.evaluate("validation", folds, stages) if len(folds) > 1 else {}
        for name in dict.fromkeys(name for value in values for name in value):
            summary[name] = over_folds([value.get(name, math.nan) for value in values])
            if name in pooled:
                summary[name]["pooled"] = _rounded(pooled[name])
        if len(stages) == 1:
            best = [best_row(self._rows(fold, stages[0]), self.primary()) for fold in folds]
            columns = dict.fromkeys(name for row in best for name in row if name.startswith(VALIDATION))
            names = [name for name in columns if MetricName(name).is_loss]
            summary.update({name[4:]: over_folds([row.get(name, math.nan) for row in best]) for name in names})
        if self.hasHoldout():
            alone = [self.evaluate("holdout", fold, stages) for fold in folds]
            blend = self.evaluate("holdout", folds, stages) if len(folds) > 1 else alone[0]
            summary.update({f"{name}_holdout": _rounded(value) for name, value in blend.items()})
            if len(folds) > 1:
                for name in blend:
                    over = over_folds([value.get(name, math.nan) for value in alone])
                    summary[f"{name}_holdout_folds"] = over
        return summary

    def _rows(self, fold: int, stage: int) -> list:
        rows = read_rows(self.files.stage(fold, stage).metrics)
        if not rows:
            raise ConfigError(
                f"fold {fold} stage {stage} is not trained: {self.files.stage(fold, stage).metrics} has no epoch."
            )
        return rows

    def truths(self, predictions: Any) -> list[TruthRecord]:
        """Return the ground truth of a dataset as ``records.to_middle_format`` records, masks as RLE.

        Inside ``truths_kept`` each item is read once, and its record must not be changed.
        """
        source = predictions
        while isinstance(source, Predictions):
            source = source.parent
        with self.truths_kept() as truths:
            return truths.of(source, range(len(source)))

    @contextlib.contextmanager
    def truths_kept(self, known: "ItemCache[TruthRecord] | None" = None) -> Iterator[ItemCache[TruthRecord]]:
        """Keep the ground truth of items that are read in this context: a summary asks for it many times.

        Args:
            known: What another config keeps of the same dataset, to be used and added to.
        """
        if self._truths is not None:
            yield self._truths
            return

        def truth(dataset: Any, number: int) -> TruthRecord:
            item_id, _, instances = self.reader().read(dataset, number)
            return to_middle_format(instances, item_id)

        self._truths = ItemCache(truth) if known is None else known
        try:
            yield self._truths
        finally:
            self._truths = None

    def _final(self, predictions: Predictions, fold: Any, stage: Any) -> dict[str, float]:
        found = [predictions.detections(number) for number in range(len(predictions))]
        return self._measured(self.truths(predictions), found, predictions, fold, stage)

    def _measured(
        self, truths: list[TruthRecord], found: Sequence[Detections], predictions: Any, fold: Any, stage: Any
    ) -> dict[str, float]:
        wanted = self.wanted_metrics()
        values = final_metrics(truths, found, self.class_names(), self.finished().needs_masks)
        if self.final_metrics is not None:
            values = {name: value for name, value in values.items() if name in wanted}
        for name in wanted:
            function = user_metric(name)
            if function is not None:
                values.update(user_values(name, function(FoldsAndStages(self, fold, stage), predictions)))
        return values

    # -- names -----------------------------------------------------------------------------------------------

    def known_metrics(self) -> list[str]:
        """Return the names of the built-in metrics, those of single classes last."""
        with_masks = self.finished().needs_masks
        kinds = ("bbox", "segm") if with_masks else ("bbox",)
        classes = [f"coco_{kind}{PER_CLASS}{name}" for kind in kinds for name in self.class_names()]
        return [*final_metric_names(with_masks), *classes]

    def wanted_metrics(self) -> list[str]:
        """Return the names of the metrics that a summary has: ``final_metrics``, and those that decide."""
        chosen = list(self.final_metrics) if self.final_metrics is not None else self.known_metrics()
        chosen += [self._plain_name(key, name) for key, name in self._deciding()]
        return list(dict.fromkeys(name for name in chosen if not MetricName(name).is_loss))

    def _check_metrics(self) -> None:
        """Settle ``primary_metric`` and check the names of metrics, before anything trains."""
        if self.primary_metric is None:
            self.primary_metric = "val_coco_segm_mAP" if self.finished().needs_masks else "val_coco_bbox_mAP"
        named = {key: self._plain_name(key, name) for key, name in self._deciding()}
        self.primary_metric = f"{VALIDATION}{named['primary_metric']}"
        if self.final_metrics is not None:
            self.final_metrics = [self._plain_name("final_metrics", name) for name in self.final_metrics]

    def _deciding(self) -> list[tuple[str, str]]:
        """Return the properties that name one metric, with its name."""
        return [(key, getattr(self, key)) for key in ("primary_metric", "experiment_result") if getattr(self, key)]

    def _plain_name(self, key: str, name: str) -> str:
        """Return what is measured for a name of the YAML: the metric without ``val_`` and ``_holdout``.

        Raises:
            ConfigError: No such metric, or it names the holdout and there is none.
        """
        known = [*self.known_metrics(), "loss"]
        text = name.removeprefix(VALIDATION)
        if text in known or user_metric(text) is not None:
            return text
        plain = text.removesuffix(HOLDOUT)
        if plain not in known and user_metric(plain) is None:
            raise ConfigError(
                f"{self.path}: {key} {name!r} is not known{nearest(name, known)}: use one of {known[:40]}, or a "
                "function of the project's modules marked @metrics.final_metric."
            )
        if plain == "loss" or not self.hasHoldout():
            why = "losses are those of the validation parts" if plain == "loss" else "there is no holdout"
            raise ConfigError(f"{self.path}: {key} is {name!r}, but {why}: name {plain}, or set testSplit.")
        return plain

    def further_metrics(self, source: Any, fold: int, stage: int) -> "Callable[[list, list], dict] | None":
        """Return what computes the primary metric after each epoch, where it is not among those of every epoch."""
        name = self.primary().plain
        if name in (*metric_names(self.finished().needs_masks), "loss"):
            return None
        reader = self.reader()

        def measure(truths: list[TruthRecord], arrays: list[FoundArrays]) -> dict[str, float]:
            found = [
                from_arrays(one, truth["height"], truth["width"]) for truth, one in zip(truths, arrays, strict=True)
            ]
            answers = in_memory(source, found, reader)
            function = user_metric(name)
            if function is not None:
                return user_values(name, function(FoldsAndStages(self, fold, stage), answers))
            values = final_metrics(truths, found, self.class_names(), self.finished().needs_masks)
            return {name: values[name]}

        return measure

    def primary(self) -> MetricName:
        """Return the primary metric, with its direction as ``primary_metric_mode`` says."""
        if self.primary_metric is None:
            self.get_dataset()
            self._check_metrics()
        return MetricName(self.primary_metric, self.primary_metric_mode)

    def info(self, metric: "str | None" = None) -> list[TaskConfigInfo]:
        """Return the best value of a column of the metrics CSVs, and the lowest learning rate, of each fold and stage.

        Args:
            metric: The column, with or without ``val_``; by default the primary metric.

        Raises:
            ConfigError: What is trained has no such column.
        """
        primary = self.primary()
        places = [(fold, stage) for fold in range(self.fold_count()) for stage in range(len(self.stages))]
        read = {place: read_rows(self.files.stage(*place).metrics) for place in places}
        trained = {place: rows for place, rows in read.items() if rows}
        columns = list(dict.fromkeys(name for rows in trained.values() for row in rows for name in row))
        wanted = metric or str(primary)
        column = wanted if wanted in columns else f"{VALIDATION}{wanted}"
        if columns and column not in columns:
            raise ConfigError(f"no metrics CSV has {wanted!r}{nearest(wanted, columns)}: use one of {columns[:40]}.")
        name = primary if column == str(primary) else MetricName(column)
        return [
            TaskConfigInfo(*place, name.best(row.get(column, math.nan) for row in rows), min(row["lr"] for row in rows))
            for place, rows in trained.items()
        ]

    def result_of(self, summary: dict) -> float:
        """Return the number that stands for the whole experiment: ``experiment_result``, else the primary metric.

        Of a metric that was also measured on the holdout, the holdout's value; else the mean over folds.
        """
        self.get_dataset()
        self._check_metrics()
        name = self.experiment_result or self.primary_metric
        name = name.removeprefix(VALIDATION)
        values = {**(summary["stages"] or [{}])[-1], **summary["allStages"]}
        value = values.get(f"{name}_holdout", values.get(name, math.nan))
        return float(value["mean"] if isinstance(value, dict) else value)


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _copied(summary: dict) -> dict:
    return {name: dict(value) if isinstance(value, dict) else value for name, value in summary.items()}
