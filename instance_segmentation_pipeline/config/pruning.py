"""``pruning``: when a trial of a search ends before its last epoch."""

from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, nearest, shortened
from .values import Integer

MEDIAN = "median"
LEAST = {"epochs": Integer(0, 1_000_000), "trials": Integer(1, 1_000_000)}


@dataclass(frozen=True)
class Pruning:
    """The median rule.

    Attributes:
        epochs: Epochs of a stage that each trial trains whatever it reaches.
        trials: Trials that must have been completed before one is ended.
    """

    epochs: int = 1
    trials: int = 4


def pruning_of(value: Any) -> "Pruning | None":
    """Return what ``pruning`` asks for: ``median``, or a mapping with ``type``, ``epochs`` and ``trials``.

    Raises:
        ConfigError: It is none of that.
    """
    if value is None:
        return None
    given = {"type": value} if isinstance(value, str) else value
    if not isinstance(given, dict):
        raise ConfigError(
            f"pruning is {shortened(value)}, but it must be median, or a mapping with type, epochs and trials."
        )
    for key in given:
        if key not in ("type", "epochs", "trials"):
            raise ConfigError(
                f"pruning has {shortened(key)}{nearest(str(key), ('type', 'epochs', 'trials'))}: remove it."
            )
    if given.get("type", MEDIAN) != MEDIAN:
        raise ConfigError(f"pruning.type is {shortened(given['type'])}, but the rule that there is is median.")
    counts = {}
    for key, check in LEAST.items():
        if given.get(key) is not None:
            try:
                counts[key] = check(given[key])
            except ValueError:
                raise ConfigError(f"pruning.{key} is {shortened(given[key])}, but it must be {check}.") from None
    return Pruning(**counts)
