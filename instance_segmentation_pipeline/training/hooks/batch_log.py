"""``BatchLog``: what ``logAll`` asks for, a CSV with a row for each batch of a stage."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...storage.batch_csv import BatchTable
from ...visualization.terminal import Terminal


class BatchLog(Hook):
    """Writes a row a batch: epoch and iteration (from 0), the learning rate it was learnt with, loss and its parts.

    Losses are those of the first process. They stay on the device until ``INTERVAL`` of them are looked at together.
    All rows of an epoch are on disk before its checkpoint is, so that a resumed run has each batch once.

    Args:
        path: The CSV.
        label: What messages call the training.
        terminal: Where it is told that earlier rows are gone.
    """

    priority = "HIGH"
    INTERVAL = 50

    def __init__(self, path: Path, label: str, terminal: Terminal) -> None:
        self.table = BatchTable(path)
        self.label, self.terminal = label, terminal
        self._waiting: list[tuple[int, int, float, dict[str, torch.Tensor]]] = []

    def before_train(self, runner: Runner) -> None:
        """Keep the rows of the batches that a resumed run does not train again."""
        self._waiting = []
        if is_main_process() and self.table.begin(runner.iter) < runner.iter:
            self.terminal.line(
                f"{self.label}: {self.table.path} does not have all of the {runner.iter} batches that are trained: "
                "what is there of them stays, and what comes now is added"
            )

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Take the batch's losses."""
        if not is_main_process():
            return
        rate = float(runner.optim_wrapper.get_lr()["lr"][0])
        losses = {name: value.detach() for name, value in outputs.items()}
        self._waiting.append((runner.epoch, runner.iter, rate, losses))
        if len(self._waiting) >= self.INTERVAL:
            self._write()

    def after_train_epoch(self, runner: Runner) -> None:
        """Have all of the epoch on disk."""
        if is_main_process():
            self._write()
            self.table.sync()

    def _write(self) -> None:
        self.table.add(
            {"epoch": epoch, "iteration": iteration, "lr": rate, **{name: float(one) for name, one in losses.items()}}
            for epoch, iteration, rate, losses in self._waiting
        )
        self._waiting = []
