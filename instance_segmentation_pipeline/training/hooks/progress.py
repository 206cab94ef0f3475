"""``ProgressLine``: the progress of a training, and the line that each epoch leaves behind."""

import math
import sys
import time
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...metrics.metric_name import MetricName
from ...storage.metrics_csv import Row
from ...visualization.terminal import Bar, Terminal, duration
from .checkpoint import WeightsKeeper
from .csv_logger import TrainingLog


class ProgressLine(Hook):
    """Shows fold, stage, epoch, iteration, loss and time to go; on a terminal as a moving bar.

    Where stderr is no terminal only the line of each epoch is written, so that logs stay readable.

    Args:
        label: What the lines call the training.
        metric: The primary metric.
        keeper: Knows whether the epoch was the best so far.
        log: Has the rows.
        terminal: Where all is shown.
        verbose: 0 shows neither bar nor lines of epochs, 1 both, 2 the lines. What is wrong is told in any case.
    """

    priority = "VERY_LOW"

    def __init__(
        self,
        label: str,
        metric: MetricName,
        keeper: WeightsKeeper,
        log: TrainingLog,
        terminal: Terminal,
        verbose: int = 1,
    ) -> None:
        self.label = label
        self.metric = metric
        self.keeper = keeper
        self.log = log
        self.terminal = terminal
        self.verbose = verbose
        self._bar: Bar | None = None
        self._began = 0.0
        self._first = 0
        self._said: set[str] = set()
        self._notes: list[str] = []

    def before_train(self, runner: Runner) -> None:
        """Open the bar."""
        self._began, self._first = time.monotonic(), runner.epoch
        if self.verbose == 1 and is_main_process() and sys.stderr.isatty():
            self._bar = self.terminal.bar(runner.max_iters, runner.iter)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        if (runner.iter + 1) % (1 if outputs["loss"].device.type == "cpu" else 20) == 0:
            iterations = len(runner.train_dataloader)
            self._bar.set_description(
                f"{self.label} epoch {runner.epoch + 1}/{runner.max_epochs} iteration {batch_idx + 1}/{iterations} "
                f"loss {float(outputs['loss'].detach()):.3f}",
                refresh=False,
            )
        self._bar.update(1)

    def after_val_epoch(self, runner: Runner, metrics: "dict[str, float] | None" = None) -> None:
        """Write the epoch's line."""
        notes, self._notes = self._notes, []
        if not is_main_process():
            return
        row = self.log.rows[-1]
        if self.verbose:
            self.terminal.line(self._line(runner, row))
        for reason in self._reasons(runner, row):
            if reason not in self._said:
                self._said.add(reason)
                self.terminal.line(f"{self.label}: {reason}")
        for note in notes:
            self.terminal.line(f"{self.label}: {note}")

    def _line(self, runner: Runner, row: Row) -> str:
        done, left = runner.epoch - self._first, runner.max_epochs - runner.epoch
        seconds = (time.monotonic() - self._began) / done
        parts = [f"loss {row['loss']:.3f}"]
        shown = dict.fromkeys(("val_loss", str(self.metric))) if "val_loss" in row else [str(self.metric)]
        parts += [f"{name} {_number(row.get(name, math.nan))}" for name in shown]
        best = ", best so far" if self.keeper.improved else ""
        text = f"{self.label} epoch {runner.epoch}/{runner.max_epochs}: {', '.join(parts)}{best}"
        return f"{text}  [{seconds:.0f} s an epoch, {duration(seconds * left)} left]"

    def note(self, text: str) -> None:
        """Write a line below that of the epoch."""
        self._notes.append(text)

    def _reasons(self, runner: Runner, row: Row) -> list[str]:
        """Return sentences on numbers that are not there."""
        reasons = []
        objects, vanished = runner.val_loop.objects, runner.val_loop.vanished
        if objects and vanished == objects:
            reasons.append(
                f"val_loss has no value: at this shape none of the {objects} objects of the validation part is left "
                "(all are less than a pixel): make shape larger"
            )
        if math.isnan(row.get(str(self.metric), math.nan)):
            why = "no object to find" if not objects else "nothing that it measures"
            reasons.append(
                f"{self.metric} has no value, since the validation part has {why}: until an epoch has one, the latest "
                "weights are kept as the best"
            )
        return reasons

    def after_train(self, runner: Runner) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"
