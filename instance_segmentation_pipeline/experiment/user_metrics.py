"""Metrics of a project: functions of its modules marked ``@musket_core.metrics.final_metric``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from musket_core import configloader


def user_metric(name: str) -> "Callable[..., Any] | None":
    """Return the function of this name marked ``@musket_core.metrics.final_metric``; ``None`` if there is none."""
    entry = configloader.load("layers").catalog.get(name)
    function = getattr(entry, "func", entry)
    return function if getattr(function, "final_metric", False) else None


def user_values(name: str, answer: Any) -> dict[str, float]:
    """Return the numbers that a user's metric gave: one under its own name, or those of the mapping it returned."""
    if isinstance(answer, dict):
        return {str(key): float(value) for key, value in answer.items()}
    return {name: float(np.asarray(answer))}
