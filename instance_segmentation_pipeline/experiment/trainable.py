"""``Trainable``: what training asks of a config, of an experiment's or of one of its seeds'."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..data.cross_validation import DetectionFolds
from ..metrics.metric_name import MetricName
from ..reporting.report_figures import ValidationView
from ..storage.experiment_files import ExperimentFiles
from ..training.callbacks.making import CallbackPlan
from .assembly import ExperimentParts
from .run_options import RunOptions


class Trainable(Protocol):
    """A config whose folds can be trained."""

    run: RunOptions
    canceled_by_timer: bool
    seed: int

    @property
    def files(self) -> ExperimentFiles:
        """Names of its files."""
        ...

    @property
    def parts(self) -> ExperimentParts:
        """The objects that do its work."""
        ...

    def check(self, dataset: Any = None, folds: "Sequence[int] | None" = None) -> None:
        """Raise a ``UserError`` for whatever can be known before training."""
        ...

    def properties(self) -> dict[str, Any]:
        """Return the value of each property, as it is now."""
        ...

    def kfold(self) -> DetectionFolds:
        """Return its folds, fixed on disk."""
        ...

    def primary(self) -> MetricName:
        """Return the metric that chooses the best weights, with its direction."""
        ...

    def further_metrics(
        self, source: Any, fold: int, stage: int
    ) -> "Callable[[list[Any], list[Any]], dict[str, float]] | None":
        """Return what computes the metrics of each epoch that are not those of every experiment; ``None``: no such."""
        ...

    def callback_plan(self, stage: int) -> CallbackPlan:
        """Return the callbacks of a stage, looked up and checked."""
        ...

    def announce_once(self, stage: int, decisions: Sequence[str]) -> None:
        """Print what was decided for a stage, the first time it comes up."""
        ...

    def createSummary(self, foldsToExecute: Sequence[int], subsample: float) -> dict[str, Any]:
        """Return the metrics of its folds."""
        ...

    def generateReports(self, foldsToExecute: "Sequence[int] | None" = None, subsample: float = 1.0) -> None:
        """Measure its folds, and write its summary."""
        ...

    def truths_kept(self) -> contextlib.AbstractContextManager[Any]:
        """Keep the ground truth of items that are read meanwhile."""
        ...


class TrainableExperiment(Trainable, Protocol):
    """The config of an experiment, which may be trained with several seeds."""

    def predictions(self, name: Any, fold: Any = None, stage: Any = None) -> Any:
        """Return predictions as a dataset."""
        ...

    def hasHoldout(self) -> bool:
        """Say whether a part of the dataset is held out."""
        ...

    def seeds(self) -> "Sequence[Trainable]":
        """Return the configs of its seeds; none where it is trained once."""
        ...

    def validation_view(self, folds: Sequence[int]) -> ValidationView:
        """Return what is there and what is found in the validation parts of folds."""
        ...

    def members(self) -> "Sequence[Trainable]":
        """Return the configs that are trained: those of its seeds, or just this one."""
        ...
