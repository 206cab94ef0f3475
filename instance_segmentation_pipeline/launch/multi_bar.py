"""What jobs show that run side by side: their words go to the process that started them, which owns the terminal."""

import io
import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from ..text import printable
from ..visualization.terminal import Bar, Terminal, progress_bar

Send = Callable[[str, Any], None]
"""Hands on a kind of thing to show, and the thing."""

_terminal = Terminal()


def terminal() -> Terminal:
    """Return where this process shows how far its work is: its own terminal, or that of the process it works for."""
    return _terminal


class Display:
    """Shows what jobs that run side by side have to show: lines, and on a terminal a moving bar for each.

    The process that starts the jobs owns it; ``process_pool.ProcessPool`` carries the words.

    Args:
        once: Of lines that several jobs say alike, show one.
    """

    def __init__(self, once: bool = False) -> None:
        self.once = once
        self._bars: dict[int, tqdm] = {}
        self._said: set[str] = set()

    def begin(self, send: Send) -> None:
        """Let this process, which runs a job, hand what it shows to ``send``."""
        global _terminal  # noqa: PLW0603 - it is the process's
        _terminal = _RelayedTerminal(send)
        sys.stdout = _RelayedText(send)

    def show(self, slot: int, kind: str, value: Any) -> None:
        """Show what the job in a slot sent."""
        if kind == "bar":
            total, done, words = value
            if slot not in self._bars:
                self._bars[slot] = progress_bar(total, done, slot)
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


class _RelayedTerminal(Terminal):
    """Lines and bars that another process shows."""

    def __init__(self, send: Send) -> None:
        self.send = send

    def line(self, text: str) -> None:
        self.send("error line", printable(text))

    def bar(self, total: int, done: int) -> Bar:
        return _RelayedBar(self.send, total, done)


class _RelayedBar:
    """A bar that another process shows; a few times a second it says where it is."""

    INTERVAL = 0.2

    def __init__(self, send: Send, total: int, done: int) -> None:
        self.send, self.total, self.n, self.words, self.said = send, total, done, "", 0.0

    def set_description(self, desc: str, refresh: bool = False) -> None:
        self.words = desc

    def update(self, n: float = 1) -> None:
        self.n += int(n)
        if time.monotonic() - self.said > self.INTERVAL:
            self.said = time.monotonic()
            self.send("bar", (self.total, self.n, self.words))

    def close(self) -> None:
        self.send("close", None)


class _RelayedText(io.TextIOBase):
    """Standard output of a process whose lines another process shows."""

    def __init__(self, send: Send) -> None:
        self.send, self.rest = send, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.send("line", line)
        return len(text)
