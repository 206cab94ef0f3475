"""``LossWatch``: the losses of a training, watched."""

import math
from typing import Any

import torch
from mmengine.dist import all_reduce_dict
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...errors import TrainingError

Losses = dict[str, torch.Tensor]


class LossWatch(Hook):
    """Stops the run when the loss is not finite, and keeps the mean of the losses of an epoch.

    On a CPU the loss is looked at before it is propagated, so that weights stay sound (and deformable convolutions,
    which crash on offsets that are not numbers, are not reached). On a CUDA device, where looking costs a
    synchronisation, losses stay there and are looked at every ``INTERVAL`` iterations, and before anything of the
    epoch is saved.
    """

    priority = "VERY_HIGH"
    INTERVAL = 20

    def __init__(self, label: str) -> None:
        self.label = label
        self.means: dict[str, float] = {}
        self._pending: list[tuple[int, Losses]] = []
        self._sums: dict[str, float] = {}
        self._count = 0
        self._iteration: tuple[Runner, int] | None = None
        self._handle: Any = None

    def before_train(self, runner: Runner) -> None:
        """Look at each loss on its way to the optimizer, where that is cheap."""
        model = getattr(runner.model, "module", runner.model)
        self._handle = model.register_forward_hook(self._look_ahead)

    def after_train(self, runner: Runner) -> None:
        """Look no more."""
        if self._handle is not None:
            self._handle.remove()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Note which iteration's losses come."""
        self._iteration = (runner, batch_idx)

    def _look_ahead(self, model: Any, arguments: tuple[Any, ...], losses: Any) -> None:
        """Look at what the model answers in an iteration of the training."""
        if self._iteration is None or next(model.parameters()).device.type != "cpu":
            return
        with torch.no_grad():
            _, parts = model.parse_losses(losses)
        self._check(*self._iteration, _numbers(parts))

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin the epoch's means."""
        self._pending, self._sums, self._count = [], {}, 0

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Take the iteration's losses."""
        self._iteration = None
        self._pending.append((batch_idx, {name: value.detach() for name, value in outputs.items()}))
        if len(self._pending) >= (1 if outputs["loss"].device.type == "cpu" else self.INTERVAL):
            self._look(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Finish the epoch's means."""
        self._look(runner)
        means = {name: torch.tensor(total / self._count) for name, total in self._sums.items()}
        all_reduce_dict(means, "mean")
        self.means = {name: float(value) for name, value in means.items()}

    def _look(self, runner: Runner) -> None:
        for iteration, outputs in self._pending:
            losses = _numbers(outputs)
            self._check(runner, iteration, losses)
            for name, value in losses.items():
                self._sums[name] = self._sums.get(name, 0.0) + value
            self._count += 1
        self._pending = []

    def _check(self, runner: Runner, iteration: int, losses: dict[str, float]) -> None:
        if not math.isfinite(losses["loss"]):
            parts = ", ".join(f"{name} {value:g}" for name, value in losses.items())
            raise TrainingError(
                f"{self.label}, epoch {runner.epoch}, iteration {iteration}: the loss is not finite ({parts}): "
                "lower lr, or look for extreme values in the data; weights of earlier epochs are kept."
            )


def _numbers(losses: Losses) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in losses.items()}
