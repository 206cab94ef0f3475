"""What ``fit`` is asked for, checked before anything is read or locked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from ..data.dataset_length import check_dataset
from ..errors import ConfigError, shortened


@dataclass(frozen=True)
class FoldRequest:
    """What is asked of one fold, wherever it is trained: here, by a forked process, or on another machine.

    Attributes:
        fold: Its number.
        first_stage: The first stage to train; those before it have been trained.
        subsample: Share of its training items to use.
    """

    fold: int
    first_stage: int = 0
    subsample: float = 1.0


@dataclass(frozen=True)
class TrainRequest:
    """What is asked of a run.

    Attributes:
        folds: Numbers of the folds to train; ``None`` for all.
        first_stage: The first stage to train; those before it have been trained.
        subsample: Share of each fold's training items to use.
    """

    folds: "tuple[int, ...] | None" = None
    first_stage: int = 0
    subsample: float = 1.0

    @classmethod
    def of(cls, folds: Any, first_stage: Any, subsample: Any, stages: int) -> "TrainRequest":
        """Return what the arguments of ``PipelineConfig.fit`` ask for.

        Raises:
            ConfigError: One of them is nothing that can be asked for.
        """
        check_run(folds, subsample, first_stage, stages)
        return cls(None if folds is None else tuple(int(fold) for fold in folds), int(first_stage), float(subsample))

    def fold_requests(self, folds: Iterable[int]) -> list[FoldRequest]:
        """Return what is asked of each of these folds that is to be trained."""
        chosen = [fold for fold in folds if self.folds is None or fold in self.folds]
        return [FoldRequest(fold, self.first_stage, self.subsample) for fold in chosen]


def check_run(folds: Any, subsample: Any, start_from_stage: Any, stages: int) -> None:
    """Check the arguments of ``PipelineConfig.fit``; whether folds exist is known later.

    Args:
        folds: ``None`` for all, or the numbers of folds, each once.
        subsample: Share of the training items, above 0 and at most 1.
        start_from_stage: Number of a stage.
        stages: How many stages there are.

    Raises:
        ConfigError: An argument is none of that.
    """
    if folds is not None:
        chosen = list(folds) if isinstance(folds, Sequence) and not isinstance(folds, (str, bytes)) else []
        sound = all(_is_whole(fold) and fold >= 0 for fold in chosen)
        if not chosen or not sound or len(set(chosen)) < len(chosen):
            raise ConfigError(
                f"foldsToExecute is {shortened(folds)}, expected a list of fold numbers, each once, or None for all."
            )
    if isinstance(subsample, bool) or not isinstance(subsample, (int, float)) or not 0 < subsample <= 1:
        raise ConfigError(f"subsample is {shortened(subsample)}, expected a number above 0 to 1.")
    if not _is_whole(start_from_stage) or not 0 <= start_from_stage < stages:
        raise ConfigError(
            f"start_from_stage is {shortened(start_from_stage)}, but the config has stages 0 to {stages - 1}: name one "
            "of them."
        )


def refuse_upstream(drawing_function: Any, parallel: Any) -> None:
    """Refuse arguments of musket_core's ``fit`` that have no meaning here, naming what does their job.

    Raises:
        ConfigError: One is given.
    """
    if parallel:
        raise ConfigError(
            "fit(parallel=True) hands out tasks, which would train without the experiment's lock: set num_gpus and "
            "num_workers, which train folds and seeds at the same time, or cluster, and call fit without it."
        )
    if drawing_function is not None:
        raise ConfigError(
            "fit(drawingFunction=…) is not called: examples/ gets pictures of validation items after each epoch, and "
            "the task draw_dataset draws more."
        )


def checked_dataset(given: Any) -> Any:
    """Return what is given as a dataset, where the number of a fold could be given too.

    Raises:
        ConfigError: It is none.
    """
    check_dataset(given, "the number of a fold where a part is asked for")
    return given


def is_fold(given: Any) -> bool:
    """Say whether something is given as the number of a fold, or as a list of such, and not as a dataset."""
    if isinstance(given, (list, tuple)):
        return bool(given) and all(isinstance(one, Integral) for one in given)
    return isinstance(given, Integral)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
