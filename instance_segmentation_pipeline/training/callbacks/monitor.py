"""``Monitor``: a column of the metrics CSV that a callback goes by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import ConfigError, TrainingError, nearest
from ...metrics.metric_name import VALIDATION, MetricName
from ...storage.metrics_csv import Row, as_written

ALWAYS = ("loss", "val_loss", "lr")
"""Columns that every metrics CSV has."""


@dataclass(frozen=True)
class Measured:
    """What is computed after each epoch.

    Attributes:
        names: Names of metrics, without ``val_``.
        others: Names of those that ``metrics`` could have computed, too.
        and_more: A function of the project is among them, whose answer may be a mapping of several.
    """

    names: Sequence[str]
    others: Sequence[str] = ()
    and_more: bool = False


class Monitor:
    """Compares the values of a column, as the CSV has them.

    Args:
        column: The column, with its direction.
        min_delta: A value is better if it is so by more than this.
        name: The callback, for messages.
    """

    def __init__(self, column: MetricName, min_delta: float, name: str) -> None:
        self.column, self.min_delta, self.name = column, min_delta, name

    def value(self, row: Row) -> "float | None":
        """Return the value of an epoch; ``None`` where it has none.

        Raises:
            TrainingError: There is no such column.
        """
        if str(self.column) not in row:
            columns = [name for name in row if name != "epoch"]
            raise TrainingError(
                f"{self.name}: the metrics CSV has no column {str(self.column)!r}"
                f"{nearest(str(self.column), columns)}: monitor one of {', '.join(columns[:60])}."
            )
        value = as_written(float(row[str(self.column)]))
        return None if math.isnan(value) else value

    def improves(self, value: float, on: "float | None") -> bool:
        """Say whether a value is better than another by more than ``min_delta``; any is better than none."""
        if on is None:
            return True
        return value + self.min_delta < on if self.column.lower_is_better else value - self.min_delta > on


def monitored(name: str, mode: str, measured: Measured, where: str) -> MetricName:
    """Return the column that a monitor names, with its direction.

    Args:
        name: A column, or the metric in it without ``val_``; a part of the loss, which the net alone knows, is looked
            for after the first epoch.
        mode: ``auto``, ``min`` or ``max``.
        measured: What is computed after each epoch.
        where: The callback, for messages.

    Raises:
        ConfigError: No metrics CSV has it.
    """
    columns = [*ALWAYS, *(f"{VALIDATION}{metric}" for metric in measured.names)]
    for column in (name, f"{VALIDATION}{name}"):
        if column in columns or (MetricName(column).is_loss and column == name):
            return MetricName(column, mode)
    plain = name.removeprefix(VALIDATION)
    if plain in measured.others:
        raise ConfigError(f"{where}: monitor {name!r} is not computed after each epoch: list {plain} in metrics.")
    if measured.and_more and plain not in ("", name):
        return MetricName(name, mode)
    raise ConfigError(
        f"{where}: monitor {name!r} is no column of the metrics CSV{nearest(name, [*columns, *measured.names])}: use "
        f"one of {', '.join(columns[:60])}, a part of the loss such as val_loss_cls, or one that is listed in metrics."
    )
