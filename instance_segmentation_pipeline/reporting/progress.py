"""The progress line of a training, and the line that each epoch leaves behind."""

import math
import sys
import time
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm


class ProgressLine(Hook):
    """Shows fold, stage, epoch, iteration, loss and time to go; on a terminal as a moving bar.

    Where stderr is no terminal only the line of each epoch is written, so that logs stay readable.
    """

    priority = "VERY_LOW"

    def __init__(self, label: str, metric: str, keeper: Any, log: Any) -> None:
        self.label = label
        self.metric = metric
        self.keeper = keeper
        self.log = log
        self._bar: Any = None
        self._began = 0.0
        self._first = 0

    def before_train(self, runner: Runner) -> None:
        """Open the bar."""
        self._began, self._first = time.monotonic(), runner.epoch
        if is_main_process() and sys.stderr.isatty():
            self._bar = tqdm(total=runner.max_iters, initial=runner.iter, unit="it", dynamic_ncols=True, leave=False)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        self._bar.update(1)
        if self._bar.n % (1 if outputs["loss"].device.type == "cpu" else 20) == 0:
            iterations = len(runner.train_dataloader)
            self._bar.set_description(
                f"{self.label} epoch {runner.epoch + 1}/{runner.max_epochs} iteration {batch_idx + 1}/{iterations} "
                f"loss {float(outputs['loss'].detach()):.3f}",
                refresh=False,
            )

    def after_val_epoch(self, runner: Runner, metrics: "dict | None" = None) -> None:
        """Write the epoch's line."""
        if not is_main_process():
            return
        row = self.log.rows[-1]
        done, left = runner.epoch - self._first, runner.max_epochs - runner.epoch
        seconds = (time.monotonic() - self._began) / done
        parts = [f"loss {row['loss']:.3f}"]
        parts += [f"val_loss {row['val_loss']:.3f}"] if "val_loss" in row else []
        score = row.get(self.metric, math.nan)
        parts += [] if self.metric in ("val_loss", "loss") else [f"{self.metric} {score:.3f}"]
        best = ", best so far" if self.keeper.improved else ""
        text = f"{self.label} epoch {runner.epoch}/{runner.max_epochs}: {', '.join(parts)}{best}"
        tqdm.write(f"{text}  [{seconds:.0f} s an epoch, {duration(seconds * left)} left]", file=sys.stderr)

    def after_train(self, runner: Runner) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def duration(seconds: float) -> str:
    """Return a time as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
