"""The one place where a command ends: whatever reaches it becomes a sentence and an exit status, never a traceback.

| what ended the command | status |
|---|---|
| it came to its end | what it returned |
| a flag that is wrong (argparse) | 2 |
| Ctrl-C, SIGTERM | 130, 143 |
| nobody reads its output any more (``musket models | head``) | 141, without a word |
| its output cannot be written (a full disk) | 1 |
| ``sys.exit`` in code that it called, any exception | 1 |
"""

import contextlib
import io
import os
import signal
import sys
import tempfile
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import Stopped, UserError, one_line, traceback_of

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PAUSE = 0.05  # seconds
BROKEN_PIPE = 128 + signal.SIGPIPE


class OutputLost(BaseException):
    """Nothing can be written to stdout or stderr any more. No ``Exception``: nobody else is to go on after it."""

    def __init__(self, stream: str, reason: OSError) -> None:
        super().__init__(stream, reason)
        self.stream, self.reason = stream, reason


def guard(name: str, run: Callable[[], int], *, hint: str = "", whole_process: bool = False) -> int:
    """Run a command and return its exit status.

    Args:
        name: What its messages begin with, such as ``musket fit``.
        run: The command; returns its status.
        hint: What to add to the message when a signal stops it.
        whole_process: The command is all that the process does: stdout and stderr are watched, take characters that
            the terminal cannot show as escapes, and a signal after the command's end ends the process at once.

    Raises:
        SystemExit: argparse's own, with status 2, or 0 after ``--help``.
    """
    with _signals(whole_process) as delivery, _output(whole_process):
        try:
            try:
                status = run()
            except SystemExit as end:
                if not _is_of_argparse(end):
                    raise
                _flush()
                raise
            _flush()
            return status
        except BaseException as error:
            delivery.arrived()
            if isinstance(error, SystemExit) and _is_of_argparse(error):
                raise
            return _told(name, error, hint)


class _Delivery:
    """Raises ``Stopped`` for a signal, again each time that something between here and there swallowed it."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._is_over = False

    def arrived(self) -> None:
        """Take note that the command has ended: nothing is raised again."""
        self._is_over = True

    def __call__(self, number: int, frame: Any) -> None:
        if os.getpid() != self._process:
            _in_a_fork(number)
            return
        raise self._stopped(number)  # no local variable: its frame would keep it alive in a ring

    def _stopped(self, number: int) -> Stopped:
        stopped = Stopped(number)
        weakref.finalize(stopped, self._again, number).atexit = False
        return stopped

    def _again(self, number: int) -> None:
        """Send the signal anew: its exception is gone, and did not arrive (a bare ``except`` of a library's).

        From a thread and a moment later: what a handler raises within a finalizer is lost.
        """
        if not self._is_over and os.getpid() == self._process:  # a fork has copies of what was raised before it
            timer = threading.Timer(PAUSE, self._send, (number,))
            timer.daemon = True
            timer.start()

    def _send(self, number: int) -> None:
        if not self._is_over:
            signal.pthread_kill(threading.main_thread().ident or 0, number)


def _in_a_fork(number: int) -> None:
    """Take a signal in a process that was forked and has no handler of its own (yet).

    Ctrl-C reaches every process of the terminal: the first one decides, and ends the others. SIGTERM is its word.
    """
    if number != signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


@contextlib.contextmanager
def _signals(whole_process: bool) -> Iterator[_Delivery]:
    delivery = _Delivery()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup and the like keep what they asked for
            signal.signal(number, delivery)
    try:
        yield delivery
    finally:
        delivery.arrived()
        for number, handler in before.items():
            kept = handler is signal.SIG_IGN or not whole_process
            signal.signal(number, (handler or signal.SIG_DFL) if kept else signal.SIG_DFL)


class _Watched(io.TextIOWrapper):
    """A text stream that raises ``OutputLost`` where another raises ``OSError``."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise OutputLost(self.name, error) from None

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise OutputLost(self.name, error) from None


@contextlib.contextmanager
def _output(whole_process: bool) -> Iterator[None]:
    """Watch stdout and stderr until the process ends; what cannot be written then goes nowhere."""
    if whole_process:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if isinstance(stream, io.TextIOWrapper):
                # line by line also into a pipe: `| tee` shows it at once, a closed one is noticed, a fork copies none
                setattr(sys, name, _Watched(stream.buffer, stream.encoding, "backslashreplace", None, True))
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr) if whole_process else ():
            if isinstance(stream, _Watched):
                try:
                    stream.flush()
                except (OutputLost, ValueError):
                    _to_nowhere(stream)


def _to_nowhere(stream: io.TextIOWrapper) -> None:
    """Let Python's own flush at the end succeed: what is left in the buffer has no reader."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _told(name: str, error: BaseException, hint: str) -> int:
    """Say on stderr what ended the command; return the status."""
    if isinstance(error, KeyboardInterrupt):
        number = getattr(error, "number", signal.SIGINT)
        return _say(f"{name}: stopped by {signal.Signals(number).name}{hint}.", 128 + number)
    if isinstance(error, OutputLost):
        if isinstance(error.reason, BrokenPipeError):
            return BROKEN_PIPE
        return _say(f"{name}: {error.stream} cannot be written: {error.reason.strerror}.", 1)
    if isinstance(error, UserError):
        return _say(f"{name}: {error}", 1)
    log = _logged(error)
    return _say(f"{name}: {one_line(error)}{f' (traceback in {log})' if log else ''}", 1)


def _say(message: str, status: int) -> int:
    with contextlib.suppress(OutputLost, OSError, ValueError):
        print(message, file=sys.stderr, flush=True)  # noqa: T201
    return status


def _logged(error: BaseException) -> "str | None":
    """Write the traceback to a new file in the folder for temporary files; return its path, if it can be written."""
    with contextlib.suppress(OSError):
        number, path = tempfile.mkstemp(prefix="musket-", suffix=".log", text=True)
        with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123 - a descriptor
            file.write(traceback_of(error))
        return path
    return None


def _is_of_argparse(end: SystemExit) -> bool:
    """Whether argparse raised it: a wrong flag, or ``--help``.

    What it calls may be another function than Python's: wandb puts one of its own in the place of ``sys.exit``.
    """
    return any(
        frame.f_code.co_name == "exit" and frame.f_globals.get("__name__") == "argparse"
        for frame, _ in traceback.walk_tb(end.__traceback__)
    )
