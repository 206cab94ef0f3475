"""A forked process that answers through a pipe, and may die without taking this one along."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from ..launch.forking import die_with_parent

CONTEXT = multiprocessing.get_context("fork")
Send = Callable[[Any], None]


class Forked:
    """A process that does some work, and sends what can be pickled.

    Args:
        work: Gets a function that sends. What it raises ends the process.
        waits: Begin when ``begin`` is called: what is forked early has none of the threads that come later.
    """

    def __init__(self, work: "Callable[[Send], None]", *, waits: bool = False) -> None:
        self.answers: Connection
        self.answers, theirs = CONTEXT.Pipe(duplex=False)
        word, self._word = CONTEXT.Pipe(duplex=False)
        self.process = CONTEXT.Process(target=_run, args=(work, theirs, word, os.getpid()))
        self.process.start()
        theirs.close()
        word.close()
        if not waits:
            self.begin()

    def begin(self) -> None:
        """Let it begin."""
        try:
            self._word.send("begin")
        except OSError:
            return  # it is gone: the end of its answers says so

    def answer(self, seconds: "float | None" = None) -> Any:
        """Return its next answer.

        Raises:
            EOFError: It ended without one.
            TimeoutError: There was none in so many seconds.
        """
        if seconds is not None and not self.answers.poll(seconds):
            raise TimeoutError
        try:
            return self.answers.recv()
        except OSError:
            raise EOFError from None

    def end(self) -> str:
        """Let it live no longer; return how it ended, such as ``killed by SIGKILL``."""
        self.process.join(0.2)
        lived = self.process.is_alive()
        if lived:
            self.process.kill()
        self.process.join()
        self.answers.close()
        self._word.close()
        code = self.process.exitcode or 0
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"ended with status {code}"


def _run(work: "Callable[[Send], None]", answers: Connection, word: Connection, parent: int) -> None:
    die_with_parent(parent)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    status = 1
    try:
        word.recv()
        work(answers.send)
        status = 0
    finally:
        answers.close()
        os._exit(status)
