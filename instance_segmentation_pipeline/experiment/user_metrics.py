"""Metrics of a project: functions of its modules marked ``@musket_core.metrics.final_metric``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from musket_core import configloader

from ..errors import DatasetError, UserError, one_line


def user_metric(name: str) -> "Callable[..., Any] | None":
    """Return the function of this name marked ``@musket_core.metrics.final_metric``; ``None`` if there is none."""
    entry = configloader.load("layers").catalog.get(name)
    function = getattr(entry, "func", entry)
    return function if getattr(function, "final_metric", False) else None


def user_values(name: str, function: Callable[..., Any], model: Any, predictions: Any) -> dict[str, float]:
    """Return the numbers that a user's metric gives: one under its own name, or those of the mapping it returns.

    Raises:
        DatasetError: It fails, or gives something else.
    """
    try:
        answer = function(model, predictions)
        if isinstance(answer, dict):
            return {str(key): float(value) for key, value in answer.items()}
        return {name: float(np.asarray(answer))}
    except UserError:
        raise
    except Exception as error:
        raise DatasetError(
            f"the metric {name} of the project's modules failed ({one_line(error)}): correct it, or leave it out of "
            "metrics, final_metrics, primary_metric and experiment_result."
        ) from error
