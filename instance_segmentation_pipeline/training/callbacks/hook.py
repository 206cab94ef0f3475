"""MMEngine's moments handed to the callbacks of a stage, and what they decide to all processes of its net."""

from collections.abc import Callable, Sequence
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..hooks.csv_logger import TrainingLog
from .base import RunningStage, StageCallback, State

STATES_KEY = "callbacks"
"""Where the ``meta`` of a last checkpoint has the states of callbacks, by their names."""

RATE = "learning rate"
"""Where the states have the rate that a callback of the project has set; names of callbacks have a number behind."""


class StageCallbacks:
    """The callbacks of a stage, in this process.

    Args:
        callbacks: All of them; those of a project are called in the first process.
        stage: The stage.
        sets_rate: Whether one of the project's may set the learning rate, which the others then follow.
    """

    def __init__(self, callbacks: Sequence[StageCallback], stage: RunningStage, sets_rate: bool = False) -> None:
        self.stage, self.sets_rate = stage, sets_rate
        self.called = [one for one in callbacks if one.everywhere or is_main_process()]
        names = [one.name for one in self.called]
        self._keys = [f"{name} {names[:number].count(name)}" for number, name in enumerate(names)]
        self._states: dict[str, State] = {}

    def call(self, moment: str, *arguments: Any) -> None:
        """Call a method of each callback."""
        for one in self.called:
            getattr(one, moment)(*arguments)

    def states(self) -> dict[str, State]:
        """Return what a resumed run needs."""
        rate = {RATE: {"now": self.stage.rates.now}} if self.sets_rate else {}
        return {**{key: one.state() for key, one in zip(self._keys, self.called, strict=True)}, **rate}

    def keep(self, states: dict[str, State]) -> None:
        """Take the states of the checkpoint that the run goes on from."""
        self._states = states

    def restore(self) -> None:
        """Give them to the callbacks."""
        if self.sets_rate and RATE in self._states:
            self.stage.rates.set(self._states[RATE]["now"])
        for key, one in zip(self._keys, self.called, strict=True):
            if key in self._states:
                one.restore(self._states[key])

    def share_rate(self) -> None:
        """Let all processes have the rate that a callback of the project set in the first."""
        if self.sets_rate:
            rate = [self.stage.rates.now]
            broadcast_object_list(rate)
            self.stage.rates.set(float(rate[0]))


class CallbackMoments(Hook):
    """Tells callbacks of begin and end of the training, of epochs, batches and the validation.

    It runs before ``TrainingLog`` notes the rate that an epoch begins with.
    """

    priority = 20

    def __init__(self, callbacks: StageCallbacks) -> None:
        self.callbacks, self.stage = callbacks, callbacks.stage
        self._with_batches: list[StageCallback] = []

    def before_run(self, runner: Runner) -> None:
        """Take the optimizer's groups, before the state of an earlier run is put into it."""
        self.stage.rates.begin(runner.optim_wrapper.optimizer.param_groups)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Take the states of the checkpoint that the run goes on from."""
        self.callbacks.keep(checkpoint.get("meta", {}).get(STATES_KEY) or {})

    def before_train(self, runner: Runner) -> None:
        """Begin, and go on where an earlier run was."""
        stage = self.stage
        stage.rates.take(runner.optim_wrapper.optimizer.param_groups)
        stage.iterations = len(runner.train_dataloader)
        stage.net, stage.iteration = getattr(runner.model, "module", runner.model), runner.iter
        self.callbacks.call("on_train_begin", stage)
        self.callbacks.restore()
        self._with_batches = [one for one in self.callbacks.called if one.follows_batches]

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin an epoch."""
        self.stage.iteration = runner.iter
        self.callbacks.call("on_epoch_begin", runner.epoch)
        self.callbacks.share_rate()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Begin a batch."""
        self.stage.iteration = runner.iter
        for one in self._with_batches:
            one.on_batch_begin(batch_idx)
        self.callbacks.share_rate()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """End a batch."""
        losses = _losses(outputs)
        for one in self._with_batches:
            one.on_batch_end(batch_idx, losses)

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin the validation."""
        self.callbacks.call("on_validation_begin")

    def after_train(self, runner: Runner) -> None:
        """End."""
        self.callbacks.call("on_train_end")


class CallbackDecisions(Hook):
    """Gives callbacks the row of an epoch: behind ``TrainingLog``, before ``StageEnd`` and the checkpoint."""

    priority = "ABOVE_NORMAL"

    def __init__(self, callbacks: StageCallbacks, log: TrainingLog) -> None:
        self.callbacks, self.log = callbacks, log

    def after_val_epoch(self, runner: Runner, metrics: "dict[str, float] | None" = None) -> None:
        """Let them look at the epoch; all processes see the same numbers."""
        row = [self.log.rows[-1] if is_main_process() else None]
        broadcast_object_list(row)
        self.callbacks.stage.iteration = runner.iter
        self.callbacks.call("on_epoch_end", runner.epoch - 1, row[0])


def _losses(outputs: Any) -> Callable[[], dict[str, float]]:
    """Return what gives the losses of a batch as numbers; they leave their device when it is called."""
    found: dict[str, float] = {}

    def losses() -> dict[str, float]:
        if not found:
            found.update({name: float(value.detach()) for name, value in (outputs or {}).items()})
        return dict(found)

    return losses
