"""The progress line of a training, and the line that each epoch leaves behind."""

import io
import math
import sys
import time
from collections.abc import Callable
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

from ..metrics.metric_name import MetricName
from ..text import printable


class ProgressLine(Hook):
    """Shows fold, stage, epoch, iteration, loss and time to go; on a terminal as a moving bar.

    Where stderr is no terminal only the line of each epoch is written, so that logs stay readable.
    """

    priority = "VERY_LOW"

    def __init__(self, label: str, metric: MetricName, keeper: Any, log: Any) -> None:
        self.label = label
        self.metric = metric
        self.keeper = keeper
        self.log = log
        self._bar: Any = None
        self._began = 0.0
        self._first = 0
        self._said: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Open the bar."""
        self._began, self._first = time.monotonic(), runner.epoch
        if is_main_process() and sys.stderr.isatty():
            self._bar = _RelayedBar(runner) if _relay else _bar(runner.max_iters, runner.iter)

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

    def after_val_epoch(self, runner: Runner, metrics: "dict | None" = None) -> None:
        """Write the epoch's line."""
        if not is_main_process():
            return
        row = self.log.rows[-1]
        done, left = runner.epoch - self._first, runner.max_epochs - runner.epoch
        seconds = (time.monotonic() - self._began) / done
        parts = [f"loss {row['loss']:.3f}"]
        shown = dict.fromkeys(("val_loss", str(self.metric))) if "val_loss" in row else [str(self.metric)]
        parts += [f"{name} {_number(row.get(name, math.nan))}" for name in shown]
        best = ", best so far" if self.keeper.improved else ""
        text = f"{self.label} epoch {runner.epoch}/{runner.max_epochs}: {', '.join(parts)}{best}"
        text = f"{text}  [{seconds:.0f} s an epoch, {duration(seconds * left)} left]"
        self._write(text)
        for reason in self._reasons(runner, row):
            if reason not in self._said:
                self._said.add(reason)
                self._write(f"{self.label}: {reason}")

    def _reasons(self, runner: Runner, row: dict) -> list[str]:
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

    @staticmethod
    def _write(text: str) -> None:
        text = printable(text)
        if _relay:
            _relay("error line", text)
        else:
            tqdm.write(text, file=sys.stderr)

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


def _bar(total: int, done: int, place: "int | None" = None) -> tqdm:
    return tqdm(total=total, initial=done, unit="it", dynamic_ncols=True, leave=False, position=place)


_relay: "Callable[[str, Any], None] | None" = None
"""In one of several processes that train side by side: hands what is to be shown to the one that shows it."""


class Display:
    """Shows what jobs that run side by side have to show: lines, and on a terminal a moving bar for each.

    The process that starts the jobs owns it; ``launch.side_by_side`` carries the words.

    Args:
        once: Of lines that several jobs say alike, show one.
    """

    def __init__(self, once: bool = False) -> None:
        self.once = once
        self._bars: dict[int, tqdm] = {}
        self._said: set[str] = set()

    def begin(self, send: Callable[[str, Any], None]) -> None:
        """Let this process, which runs a job, hand what it shows to ``send``."""
        global _relay
        _relay = send
        sys.stdout = _RelayedText(send)

    def show(self, slot: int, kind: str, value: Any) -> None:
        """Show what the job in a slot sent."""
        if kind == "bar":
            total, done, words = value
            if slot not in self._bars:
                self._bars[slot] = _bar(total, done, slot)
            bar = self._bars[slot]
            bar.total, bar.n = total, done
            bar.set_description(words, refresh=True)
        elif kind == "close":
            self.end(slot)
        elif not self.once or value not in self._said:
            self._said.add(value)
            tqdm.write(value, file=sys.stderr if kind == "error line" else sys.stdout)

    def end(self, slot: int) -> None:
        """Take a slot's bar off the terminal."""
        bar = self._bars.pop(slot, None)
        if bar is not None:
            bar.close()


class _RelayedBar:
    """A bar that another process shows; a few times a second it says where it is."""

    INTERVAL = 0.2

    def __init__(self, runner: Runner) -> None:
        self.total, self.n, self.words, self.said = runner.max_iters, runner.iter, "", 0.0

    def set_description(self, words: str, refresh: bool = False) -> None:
        self.words = words

    def update(self, count: int) -> None:
        self.n += count
        if _relay and time.monotonic() - self.said > self.INTERVAL:
            self.said = time.monotonic()
            _relay("bar", (self.total, self.n, self.words))

    def close(self) -> None:
        if _relay:
            _relay("close", None)


class _RelayedText(io.TextIOBase):
    """Standard output of a process whose lines another process shows."""

    def __init__(self, send: Callable[[str, Any], None]) -> None:
        self.send, self.rest = send, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.send("line", line)
        return len(text)


def duration(seconds: float) -> str:
    """Return a time as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
