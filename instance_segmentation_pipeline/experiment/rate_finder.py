"""``find_rates``: musket_core's ``LRFinder`` of one stage of one fold, filled by a sweep that leaves no trace."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from ..config.values import RATES
from ..errors import ConfigError, shortened
from ..launch.deadline import Deadline
from ..training.rate_sweep import RateRange, sweep_rates
from .run_arguments import FoldRequest
from .stage_work import StageWork
from .trainable import TrainableExperiment

MOST_EPOCHS = 10_000


@dataclass(frozen=True)
class RateRequest:
    """What ``lr_find`` is asked for.

    Attributes:
        request: The fold, and the share of its training items.
        stage: Number of the stage.
        rates: The rates.
    """

    request: FoldRequest
    stage: int
    rates: RateRange

    @classmethod
    def of(
        cls, folds: Any, stage: Any, subsample: Any, start_lr: Any, end_lr: Any, epochs: Any, stages: int
    ) -> "RateRequest":
        """Return what the arguments of ``PipelineConfig.lr_find`` ask for; which folds there are is known later.

        Raises:
            ConfigError: One of them is nothing that can be asked for.
        """
        start, end = _rate("start_lr", start_lr), _rate("end_lr", end_lr)
        if start >= end:
            raise ConfigError(f"start_lr is {start:g} and end_lr {end:g}, but rates rise: give a larger end_lr.")
        if not _is_whole(epochs) or not 1 <= epochs <= MOST_EPOCHS:
            raise ConfigError(f"epochs is {shortened(epochs)}, expected a whole number from 1 to {MOST_EPOCHS}.")
        if not _is_whole(stage) or not 0 <= stage < stages:
            raise ConfigError(f"stage is {shortened(stage)}, but the config has stages 0 to {stages - 1}: name one.")
        if isinstance(subsample, bool) or not isinstance(subsample, (int, float)) or not 0 < subsample <= 1:
            raise ConfigError(f"subsample is {shortened(subsample)}, expected a number above 0 to 1.")
        fold = FoldRequest(_fold(folds), int(stage), float(subsample))
        return cls(fold, int(stage), RateRange(start, end, int(epochs)))


def find_rates(config: TrainableExperiment, asked: RateRequest) -> Any:
    """Return a ``musket_core.lr_finder.LRFinder`` with the rates and losses of a sweep.

    The first device of a net works, alone. Nothing is written, and random states stay as they are.

    Args:
        config: The experiment's config.
        asked: The stage, and the rates.

    Raises:
        UserError: The experiment cannot be trained, or there is no such fold.
    """
    config.check()
    one = config.members()[0] if asked.stage else config  # a later stage starts from what is trained
    with one.parts.folds.unwritten(one.parts.datasets.main()) as split:
        if asked.request.fold >= len(split.folds):
            raise ConfigError(
                f"fold {asked.request.fold} was asked for, but there are folds 0 to {len(split.folds) - 1}: name one."
            )
        folds = one.parts.training.of(split, one.parts.model.images_per_gpu)
        job = StageWork(one, folds, asked.request, asked.stage).job(None, Deadline())
        sweep = sweep_rates(job, config.run.devices()[0], asked.rates)
    from musket_core.lr_finder import LRFinder

    finder = LRFinder(None)
    finder.lrs, finder.losses, finder.lr_mult = sweep.lrs, sweep.losses, sweep.factor
    finder.best_loss = min(filter(math.isfinite, sweep.losses))
    return finder


def _rate(name: str, value: Any) -> float:
    try:
        return RATES(value.item() if hasattr(value, "item") else value)
    except (ValueError, TypeError, OverflowError):
        raise ConfigError(f"{name} is {shortened(value)}, expected {RATES}.") from None


def _fold(folds: Any) -> int:
    """Return the one fold that is meant; the first, where none is named."""
    if folds is None:
        return 0
    chosen = list(folds) if isinstance(folds, Sequence) and not isinstance(folds, (str, bytes)) else []
    if len(chosen) != 1 or not _is_whole(chosen[0]) or chosen[0] < 0:
        raise ConfigError(
            f"foldsToExecute is {shortened(folds)}, but rates are looked for on one fold: give a list of its number, "
            "or None for the first."
        )
    return int(chosen[0])


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
