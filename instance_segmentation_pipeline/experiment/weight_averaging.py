"""``WeightAveraging``: a uniform average ("soup") of a fold's best weights, kept where it is better than each of them.

Weights are averaged within a fold, over its stages, which go on from one another: those of different folds start apart,
and no validation part would be left that none of them has seen.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musket_core.model import FoldsAndStages

from ..data.protocols import Part
from ..errors import ConfigError, WeightsError, shortened
from ..inference.averaged_weights import members_of
from ..inference.prediction_datasets import Predictions
from ..inference.predictor import Predictor, Question
from ..inference.trained_folds import Choice, Several
from ..metrics.metric_name import MetricName
from ..models.checkpoints import read_checkpoint
from ..models.trained_weights import check_trained
from ..models.uniform_average import save_average, uniform_average
from ..storage.archive import finish, set_aside
from ..storage.digests import digest_of_file
from ..storage.experiment_files import ExperimentFiles
from ..storage.run_lock import only_run
from ..storage.run_manifest import RunManifest
from .evaluator import Evaluator


@dataclass(frozen=True)
class FoldAverage:
    """What came of averaging the weights of a fold.

    Attributes:
        fold: Number of the fold.
        seed: Number of the training, with ``num_seeds``.
        metric: The primary metric, which is measured on the fold's validation part.
        stages: The stages whose best weights were averaged.
        values: Theirs, in the same order.
        average: That of the average.
        kept: Whether the average is better than each of them.
        path: Its file, where it was kept.
    """

    fold: int
    seed: "int | None"
    metric: str
    stages: tuple[int, ...]
    values: tuple[float, ...]
    average: float
    kept: bool
    path: "Path | None"


def average_weights(config: Any, folds: Several, stages: Several) -> list[FoldAverage]:
    """Average the best weights of stages, in each of some folds for itself; see ``PipelineConfig.average``."""
    _refuse_together(folds)
    if config.run.joined is not None:
        raise ConfigError("torchrun's processes train one net together: call average in a process of its own.")
    config.get_dataset()  # the project's modules may have the metric
    trained, where = config.trained(), config.files.config
    numbers = trained.numbers_of(stages)
    if len(numbers) < 2:
        raise ConfigError(
            f"{where}: stage {numbers[0]} alone was asked for, but an average is of two stages or more: "
            + ("name more." if len(config.stages) > 1 else "give the experiment more, or average over steps with ema.")
        )
    choice, metric = trained.choose(folds, sorted(numbers)), config.primary()
    if metric.is_loss:
        raise ConfigError(
            f"{where}: primary_metric is {metric.plain}, which training alone measures: set cfg.primary_metric to a "
            "metric that predictions have, such as coco_bbox_mAP."
        )
    members = list(config.members())
    found = []
    with contextlib.ExitStack() as stack:
        for files in dict.fromkeys([config.files, *(one.files for one in members)]):
            stack.enter_context(only_run(files.root, config.run.break_lock))
            finish(files)
        stack.enter_context(config.ground_truths.kept())
        for one in members:
            work = WeightAveraging(one, one.files, one.predictor(), one.evaluator(), metric)
            found += work.of(choice, [config.validation(None, fold) for fold in choice.folds])
    return found


@dataclass(frozen=True)
class WeightAveraging:
    """Averages the weights of one training.

    Attributes:
        config: Its config, for metrics of the project.
        files: Names of its files.
        predictor: What asks its nets.
        evaluator: What measures them.
        metric: The primary metric.
    """

    config: Any
    files: ExperimentFiles
    predictor: Predictor
    evaluator: Evaluator
    metric: MetricName

    def of(self, choice: Choice, parts: Sequence[Part]) -> list[FoldAverage]:
        """Average stages in each of some folds.

        Args:
            choice: The folds, and the stages, the newest last.
            parts: The validation part of each fold.
        """
        RunManifest(self.files).check([self._name(self.files.average_weights(fold)) for fold in choice.folds])
        pairs = list(zip(choice.folds, parts, strict=True))
        self.predictor.stores(  # all members, on all devices
            [Question(part, Choice((fold,), (stage,))) for fold, part in pairs for stage in choice.stages]
        )
        return [self._fold(fold, part, [int(stage) for stage in choice.stages]) for fold, part in pairs]

    def _fold(self, fold: int, part: Part, stages: Sequence[int]) -> FoldAverage:
        each = [Choice((fold,), (stage,)) for stage in stages]
        values = [
            self._value(store, FoldsAndStages(self.config, fold, stage))
            for store, stage in zip(self.predictor.stores([Question(part, one) for one in each]), stages, strict=True)
        ]
        paths = [self.files.stage(fold, stage).best_weights for stage in stages]
        members = [read_checkpoint(path) for path in paths]
        detector = self.predictor.detector_of(self.files, each[-1])
        for member, path in zip(members, paths, strict=True):
            check_trained(member, path, detector.net, self.predictor.class_names)
        state = uniform_average(members)
        detector.net.load_state_dict(state)
        value = self._value(self.predictor.answers(part, detector), _Unwritten())
        kept = all(self.metric.better(value, one) for one in values)
        digests = {stage: digest_of_file(path) for stage, path in zip(stages, paths, strict=True)}
        path = self.files.average_weights(fold)
        if self._make_room(path, digests if kept else {}) and kept:
            RunManifest(self.files).claim([self._name(path)])
            save_average(path, state, members[-1], digests, str(self.metric), value)
        seed = int(self.files.root.name) if self.files.is_of_seed else None
        whole = (self.metric.plain, tuple(stages), tuple(values), value)
        return FoldAverage(fold, seed, *whole, kept, path if kept else None)

    def _value(self, predictions: Predictions, model: Any) -> float:
        return float(self.evaluator.evaluate(predictions, lambda: model).get(self.metric.plain, float("nan")))

    def _make_room(self, path: Path, digests: "dict[int, str]") -> bool:
        """Put an average of other weights than these aside; return whether its name is free."""
        if not path.exists():
            return True
        with contextlib.suppress(WeightsError):  # damaged
            if members_of(path) == digests:
                return False
        set_aside(self.files, [self._name(path)])
        return True

    def _name(self, path: Path) -> str:
        return path.relative_to(self.files.root).as_posix()


class _Unwritten:
    """The model of weights that have no file yet, as a metric of the project gets it: it cannot be asked."""

    def __getattr__(self, name: str) -> Any:
        raise ConfigError(
            f"a metric asks the model for {shortened(name)} while averaged weights are measured, which are not written "
            "before they are known to be better: measure the predictions that the metric is given."
        )


def _refuse_together(folds: Any) -> None:
    """Refuse folds that are to be averaged with each other."""
    if isinstance(folds, (list, tuple)) and any(isinstance(one, (list, tuple, set, range)) for one in folds):
        raise ConfigError(
            f"folds {shortened(folds)} would be averaged together, but their nets start apart, and no validation part "
            "would be left that none of them has seen: give their numbers, and each is averaged over its stages."
        )
