"""Callbacks that set the learning rate: along a curve, or by a metric."""

from collections.abc import Callable, Mapping
from typing import Any

from ...metrics.metric_name import MetricName
from ...storage.metrics_csv import Row
from .base import RunningStage, StageCallback, State
from .curves import RateCurve
from .monitor import Monitor


class Plateau(StageCallback):
    """``ReduceLROnPlateau``: the rate is lowered when a column of the metrics CSV does not become better.

    The rules are those of Keras's callback of that name. Behind a chain of curves it looks at the epochs that end
    after them, and lowers the rate that they leave.

    Args:
        arguments: Those of ``config.callback_table``.
        column: The column, with its direction.

    Attributes:
        follows: The iterations before it begins.
    """

    name = "ReduceLROnPlateau"

    def __init__(self, arguments: Mapping[str, Any], column: MetricName) -> None:
        self.monitor = Monitor(column, arguments["min_delta"], self.name)
        self.factor: float = arguments["factor"]
        self.patience: int = arguments["patience"]
        self.cooldown: int = arguments["cooldown"]
        self.lowest: float = arguments["min_lr"]
        self.tells = bool(arguments["verbose"])
        self.follows = 0
        self.rate: float | None = None
        self.best: float | None = None
        self.wait = 0
        self.cooling = 0

    def on_epoch_begin(self, epoch: int) -> None:
        """Set the rate."""
        if self.stage.iteration >= self.follows:
            self.stage.rates.set(self._rate())

    def on_epoch_end(self, epoch: int, row: Row) -> None:
        """Look at the epoch's value; one without a value is passed over."""
        value = self.monitor.value(row)
        if value is None or self.stage.iteration <= self.follows:
            return
        self.rate = self._rate()
        if self.cooling > 0:
            self.cooling -= 1
            self.wait = 0
        if self.monitor.improves(value, self.best):
            self.best, self.wait = value, 0
        elif self.cooling == 0:
            self.wait += 1
            if self.wait >= self.patience and self.rate > self.lowest:
                before, self.rate = self.rate, max(self.rate * self.factor, self.lowest)
                self.cooling, self.wait = self.cooldown, 0
                if self.tells:
                    self.stage.say(
                        f"{self.name}: the learning rate is {self.rate:g} from epoch {epoch + 2} on, in place of "
                        f"{before:g}: {self.monitor.column} is no better than {self.best:g}"
                    )

    def _rate(self) -> float:
        """Return the rate; until something was lowered, the one that it finds."""
        return self.stage.rates.now if self.rate is None else self.rate

    def state(self) -> State:
        """Return the rate, the best value, and how long it waits and cools down."""
        return {"rate": self.rate, "best": self.best, "wait": self.wait, "cooling": self.cooling}

    def restore(self, state: State) -> None:
        """Go on with them."""
        self.rate, self.best = state["rate"], state["best"]
        self.wait, self.cooling = state["wait"], state["cooling"]


class RateSchedule(StageCallback):
    """``LRVariator`` and ``CyclicLR``: each iteration has the rate that a curve gives it.

    Args:
        name: What messages call it.
        make_curve: Returns the curve for a number of batches of an epoch.
        plateau: What goes on from its end, by a metric.
    """

    follows_batches = True

    def __init__(self, name: str, make_curve: Callable[[int], RateCurve], plateau: "Plateau | None" = None) -> None:
        self.name, self.plateau = name, plateau
        self._make_curve = make_curve
        self.curve = RateCurve()

    def on_train_begin(self, stage: RunningStage) -> None:
        """Begin."""
        super().on_train_begin(stage)
        self.curve = self._make_curve(stage.iterations)
        if self.plateau is not None:
            self.plateau.follows = self.curve.steps
            self.plateau.on_train_begin(stage)

    def on_epoch_begin(self, epoch: int) -> None:
        """Set the rate of the epoch's first iteration."""
        self._set()

    def on_batch_begin(self, batch: int) -> None:
        """Set the rate of the iteration."""
        self._set()

    def _set(self) -> None:
        iteration, rates = self.stage.iteration, self.stage.rates
        if self.plateau is None or self.plateau.rate is None:
            rates.set(self.curve.at(iteration, rates.base))
        else:
            rates.set(self.plateau.rate)

    def on_epoch_end(self, epoch: int, row: Row) -> None:
        """Let the plateau look at the epoch."""
        if self.plateau is not None:
            self.plateau.on_epoch_end(epoch, row)

    def state(self) -> State:
        """Return that of the plateau; a curve follows from the iteration."""
        return {} if self.plateau is None else self.plateau.state()

    def restore(self, state: State) -> None:
        """Go on with it."""
        if self.plateau is not None:
            self.plateau.restore(state)
