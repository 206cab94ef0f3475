"""``EarlyStopping``: a stage ends when a column of the metrics CSV has not become better for some epochs.

The rules are those of Keras's callback of that name.
"""

from collections.abc import Mapping
from typing import Any

from ...metrics.metric_name import MetricName
from ...storage.metrics_csv import Row
from .base import StageCallback, State
from .monitor import Monitor


class EarlyStopping(StageCallback):
    """Asks that the stage ends.

    Args:
        arguments: Those of ``config.callback_table``.
        column: The column, with its direction.
    """

    name = "EarlyStopping"

    def __init__(self, arguments: Mapping[str, Any], column: MetricName) -> None:
        self.monitor = Monitor(column, arguments["min_delta"], self.name)
        self.patience: int = arguments["patience"]
        self.baseline: float | None = arguments["baseline"]
        self.first_epoch: int = arguments["start_from_epoch"]
        self.tells = bool(arguments["verbose"])
        self.best: float | None = None
        self.best_epoch = 0
        self.wait = 0

    def on_epoch_end(self, epoch: int, row: Row) -> None:
        """Look at the epoch's value; one without a value is passed over."""
        value = self.monitor.value(row)
        if value is None or epoch < self.first_epoch:
            return
        self.wait += 1
        if self.monitor.improves(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.baseline is None or self.monitor.improves(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            reason = self._reason(epoch)
            self.stage.end.ask(f"{self.name}: {reason}")
            if self.tells:
                self.stage.say(f"{self.name} ends the stage after epoch {epoch + 1}: {reason}")

    def _reason(self, epoch: int) -> str:
        waited = f"for {self.wait} epoch{'s' * (self.wait > 1)}"
        if self.best is None or not self.baseline_is_beaten():
            return f"{self.monitor.column} has not passed the baseline {self.baseline:g} {waited}"
        return f"{self.monitor.column} was best in epoch {self.best_epoch + 1} ({self.best:g}) and no better {waited}"

    def baseline_is_beaten(self) -> bool:
        """Say whether the best value is better than the baseline, or there is none."""
        return self.baseline is None or (self.best is not None and self.monitor.improves(self.best, self.baseline))

    def state(self) -> State:
        """Return the best value, its epoch, and for how long there was none better."""
        return {"best": self.best, "best_epoch": self.best_epoch, "wait": self.wait}

    def restore(self, state: State) -> None:
        """Go on with them."""
        self.best, self.best_epoch, self.wait = state["best"], state["best_epoch"], state["wait"]
