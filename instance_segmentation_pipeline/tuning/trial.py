"""``Trial``: one trial of a search, an experiment in a folder of its own, from its YAML to its score."""

import contextlib
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..config.loader import HEADER
from ..config.pruning import Pruning
from ..errors import ConfigError, TrainingError, sentence, stop_behind
from ..experiment.run_arguments import TrainRequest
from ..experiment.run_options import RunOptions
from ..metrics.metric_name import MetricName
from ..storage.atomic import write_atomically, write_yaml
from ..storage.experiment_files import ExperimentFiles
from ..storage.failure_file import write_failure
from ..storage.run_lock import Locked
from ..storage.search_record import DONE, FAILED, PRUNED, RUNNING, TrialRecord
from ..storage.summary_file import read_summary
from .median_rule import MedianRule


class TrialConfig(Protocol):
    """What a trial asks of its config, a ``PipelineConfig``."""

    run: RunOptions
    canceled_by_timer: bool

    def kfold(self) -> Any:
        """Return its folds, fixed on disk."""
        ...

    def fit(self, dataset_: Any = None, subsample: float = 1.0, foldsToExecute: "Sequence[int] | None" = None) -> None:
        """Train it."""
        ...

    def primary(self) -> MetricName:
        """Return the metric that chooses the best weights."""
        ...

    def result_of(self, summary: dict[str, Any]) -> float:
        """Return the number that stands for it."""
        ...

    def members(self) -> Sequence[Any]:
        """Return the configs that are trained."""
        ...


class TrialMaker(Protocol):
    """Makes the configs of trials."""

    def trial_config(self, files: ExperimentFiles, properties: dict[str, Any]) -> TrialConfig:
        """Return the config of a trial whose YAML is written."""
        ...

    def primary(self) -> MetricName:
        """Return the metric that chooses the best weights, where nothing else is said by a trial's parameters."""
        ...


@dataclass(frozen=True)
class Trial:
    """A trial that is to be trained, or gone on with.

    Attributes:
        record: Its number and parameters.
        properties: Its properties, with the parameters filled in.
        search: The files of the search.
        request: The folds and the share of their items that all trials train on.
        pruning: When it ends early.
        completed: Numbers of the trials that were completed when it began.
    """

    record: TrialRecord
    properties: dict[str, Any]
    search: ExperimentFiles
    request: TrainRequest
    pruning: "Pruning | None"
    completed: Sequence[int]

    @property
    def files(self) -> ExperimentFiles:
        """Its files."""
        return self.search.of_trial(self.record.number)

    def train(self, maker: TrialMaker, run: RunOptions) -> TrialRecord:
        """Train it, or go on with it; return what became of it: still running, where time was over.

        A trial that fails is recorded, with a traceback in its ``error.yaml``.

        Raises:
            Locked: Another run trains it.
        """
        began = time.monotonic()
        try:
            state, score = self._trained(maker, run)
            self.files.error.unlink(missing_ok=True)
        except Locked:
            raise
        except (Exception, SystemExit) as error:
            stop = stop_behind(error)
            if stop is not None:
                raise stop from None
            with contextlib.suppress(OSError):
                write_failure(self.files.error, error)
            return self.record.ended(FAILED, None, time.monotonic() - began, sentence(error))
        return self.record.ended(state, score, time.monotonic() - began)

    def prepare(self) -> None:
        """Write its YAML, and the split of the search beside it.

        Raises:
            OSError: They cannot be written.
        """
        files = self.files
        files.root.mkdir(exist_ok=True)
        write_yaml(files.config, dict(self.properties), f"{HEADER}\n")
        for source, place in self._splits(files):
            with write_atomically(place) as temporary:
                shutil.copy2(source, temporary)

    def _splits(self, files: ExperimentFiles) -> "list[tuple[Any, Any]]":
        pairs = ((self.search.folds_split, files.folds_split), (self.search.holdout_split, files.holdout_split))
        return [(source, place) for source, place in pairs if source.exists()]

    def _trained(self, maker: TrialMaker, run: RunOptions) -> "tuple[str, float | None]":
        self.prepare()
        config = maker.trial_config(self.files, self.properties)
        config.run = replace(run, resume=True, replace_finished=True, within_lock=contextlib.nullcontext)
        config.kfold()
        if any(source.read_bytes() != place.read_bytes() for source, place in self._splits(self.files)):
            raise ConfigError(
                f"{self.files.config}: with its parameters the dataset has other items than that of the search, or "
                "another order of them, but the split is one for all trials: use the parameter elsewhere."
            )
        self._check_goal(config, maker)
        rule = self._rule(config)
        judge = _Judge(rule, self.files, run.reporter)
        if judge.is_too_bad():  # it was ended, and nobody had noted it yet
            return PRUNED, None
        config.run = replace(config.run, reporter=judge)
        config.fit(None, self.request.subsample, None if self.request.folds is None else list(self.request.folds))
        if config.canceled_by_timer:
            return (PRUNED if judge.is_too_bad() else RUNNING), None
        score = config.result_of(read_summary(self.files.summary))
        if not math.isfinite(score):
            raise TrainingError(
                f"{self.files.summary}: the number that the trial is judged by is {score}: see primary_metric and "
                "experiment_result."
            )
        return DONE, score

    def _check_goal(self, config: TrialConfig, maker: TrialMaker) -> None:
        own, others = config.primary().plain, maker.primary().plain
        if own != others:
            raise ConfigError(
                f"{self.files.config}: with its parameters the best weights are those with the best {own}, and of the "
                f"search {others}: set primary_metric to one that all models have, as coco_bbox_mAP."
            )

    def _rule(self, config: TrialConfig) -> "MedianRule | None":
        if self.pruning is None:
            return None
        members = config.members()
        count = range(len(config.kfold().folds)) if self.request.folds is None else self.request.folds
        stages = list(enumerate(members[0].stages))
        each = [(one, fold, number, stage) for one in members for fold in count for number, stage in stages]
        return MedianRule(
            self.pruning,
            config.primary(),
            [self.search.of_trial(number).root for number in self.completed],
            [
                one.files.stage(fold, number).metrics.relative_to(self.files.root).as_posix()
                for one, fold, number, _ in each
            ],
            [stage.epochs for *_, stage in each],
        )


class _Judge:
    """Musket's reporter of a trial: cancels it where its rule says so, or where somebody has cancelled the search."""

    def __init__(self, rule: "MedianRule | None", files: ExperimentFiles, reporter: Any) -> None:
        self._rule, self._files, self._reporter = rule, files, reporter

    def is_too_bad(self) -> bool:
        """Say whether the trial is to end, by what it has reached."""
        return self._rule is not None and self._rule.verdict(self._files.root) is not None

    def isCanceled(self) -> bool:
        """Say whether training is to end; the name is musket_core's."""
        return (self._reporter is not None and bool(self._reporter.isCanceled())) or self.is_too_bad()
