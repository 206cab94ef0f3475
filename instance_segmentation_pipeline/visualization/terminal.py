"""What a command shows while it works: lines, and moving bars."""

import sys
from typing import Protocol

from tqdm import tqdm

from ..text import printable


class Bar(Protocol):
    """A bar that moves; ``tqdm`` is one."""

    def set_description(self, desc: str, refresh: bool = True) -> None:
        """Change the words in front of it."""
        ...

    def update(self, n: float = 1) -> object:
        """Move it on."""
        ...

    def close(self) -> None:
        """Take it off."""
        ...


class Terminal:
    """Shows lines and bars on this process's standard error."""

    def line(self, text: str) -> None:
        """Show a line, above the bars."""
        tqdm.write(printable(text), file=sys.stderr)

    def bar(self, total: int, done: int) -> Bar:
        """Open a bar over ``total`` steps, of which ``done`` are done."""
        return progress_bar(total, done)


def progress_bar(total: int, done: int, position: "int | None" = None) -> Bar:
    """Return a bar that vanishes when it is closed; bars shown at one time have different positions, from 0."""
    bar: Bar = tqdm(total=total, initial=done, unit="it", dynamic_ncols=True, leave=False, position=position)
    return bar


def duration(seconds: float) -> str:
    """Return a time as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
