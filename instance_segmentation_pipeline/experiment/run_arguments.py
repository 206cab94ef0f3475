"""What ``fit`` is asked for, checked before anything is read or locked."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from ..errors import ConfigError, shortened


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


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
