"""``StageCallback``: what is called while a stage trains, and ``RunningStage``: what it can do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from ...storage.metrics_csv import Row
from ..hooks.stage_end import StageEnd

State = dict[str, Any]
"""What a callback knows, in numbers, texts, lists and mappings of such, kept in checkpoints."""


class LearningRates:
    """The learning rates of an optimizer's parameter groups, set by one number.

    Groups whose rate is a multiple of the optimizer's (``paramwise_cfg``) stay such multiples.

    Args:
        base: The optimizer's rate, as the stage asks for it.
    """

    def __init__(self, base: float) -> None:
        self.base = base
        self._set: float | None = None
        self._groups: list[tuple[dict[str, Any], float]] = []

    @property
    def now(self) -> float:
        """The rate: what was set last, or, where no callback sets it, what the optimizer has by its schedule."""
        if self._set is not None:
            return self._set
        return next((float(group["lr"]) / share for group, share in self._groups if share), self.base)

    def begin(self, groups: list[dict[str, Any]]) -> None:
        """Take the groups of a new optimizer, before the state of an earlier run is put into it."""
        self._groups = [(group, group["lr"] / self.base if self.base else 1.0) for group in groups]

    def take(self, groups: list[dict[str, Any]]) -> None:
        """Take the groups as they are now; loading a state replaces them."""
        self._groups = [(group, share) for group, (_, share) in zip(groups, self._groups, strict=True)]

    def set(self, rate: float) -> None:
        """Set the rate."""
        self._set = rate
        for group, share in self._groups:
            group["lr"] = rate * share


@dataclass
class RunningStage:
    """A stage while it trains.

    Attributes:
        label: What messages call it.
        epochs: Its epochs.
        rates: The learning rates.
        end: Ends it, when it is asked to.
        say: Writes a line to the terminal, below that of the epoch.
        net: The net.
        iterations: Batches of an epoch.
        iteration: Batches since the stage began.
        may_set_rate: Names of the callbacks that may set the learning rate.
    """

    label: str
    epochs: int
    rates: LearningRates
    end: StageEnd
    say: Callable[[str], None]
    net: "torch.nn.Module | None" = None
    iterations: int = 0
    iteration: int = 0
    may_set_rate: set[str] = field(default_factory=set)


class StageCallback:
    """Called at the moments of a stage; each does nothing unless it is overridden.

    Attributes:
        name: What messages call it.
        everywhere: It is called in all processes of the net; otherwise in the first.
        follows_batches: It is called before and after each batch.
        stage: The stage.
    """

    name = ""
    everywhere = True
    follows_batches = False
    stage: RunningStage

    def on_train_begin(self, stage: RunningStage) -> None:
        """Begin; the state of an earlier run comes afterwards."""
        self.stage = stage

    def on_train_end(self) -> None:
        """End."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Begin an epoch, counted from 0."""

    def on_batch_begin(self, batch: int) -> None:
        """Begin a batch of an epoch, counted from 0."""

    def on_batch_end(self, batch: int, losses: Callable[[], dict[str, float]]) -> None:
        """End a batch; its losses are looked at where they are needed."""

    def on_validation_begin(self) -> None:
        """Begin the validation after an epoch."""

    def on_epoch_end(self, epoch: int, row: Row) -> None:
        """End an epoch, whose row of the metrics CSV is complete."""

    def state(self) -> State:
        """Return what a resumed run needs."""
        return {}

    def restore(self, state: State) -> None:
        """Go on with the state of an earlier run."""
