"""Work that gives many answers, of one process or of several side by side; all are taken in this process.

It has the form that ``inference.workers.Workers`` asks for.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from tqdm import tqdm

from ..errors import ConfigError
from .deadline import Deadline
from .executors import Executor
from .forking import check_forkable
from .jobs import Job, raise_failures
from .multi_bar import Display
from .process_pool import ProcessPool


class Work(Protocol):
    """A piece of work: its name, and a function that gives its answers on a device."""

    @property
    def label(self) -> str:
        """What messages call it."""
        ...

    @property
    def answers(self) -> Callable[[str], Iterator[Any]]:
        """Gets a device, and gives what can be pickled."""
        ...


class AnsweringPool:
    """Runs pieces of work on devices: in this process where there is one, else in a forked process for each.

    Args:
        devices: ``cpu`` or ``cuda:<n>``, as often as pieces are worked on at the same time.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self.devices = list(devices)
        try:
            check_forkable(self.devices if len(self.devices) > 1 else [])
        except ConfigError:
            tqdm.write(f"  note: CUDA is in use in this process: {self.devices[0]} answers alone")
            self.devices = self.devices[:1]

    def run(self, pieces: Sequence[Work], take: Callable[[int, Any], None]) -> None:
        """Run pieces of work; ``take`` gets the number of a piece and one of its answers, in this process.

        Raises:
            UserError: One failed; the others are ended.
        """
        if len(self.devices) == 1 or (len(pieces) <= 1 and self.devices[0] == "cpu"):  # CUDA here would end all forking
            for number, piece in enumerate(pieces):
                for answer in piece.answers(self.devices[0]):
                    take(number, answer)
            return
        display = _Taking(take)
        jobs = [Job(piece.label, _sending(display, number, piece)) for number, piece in enumerate(pieces)]
        raise_failures(ProcessPool([[device] for device in self.devices], display).run(jobs, Deadline()))


class _Taking(Display):
    """Shows what jobs show, and takes the answers that they send beside it."""

    def __init__(self, take: Callable[[int, Any], None]) -> None:
        super().__init__(once=True)
        self._take = take
        self._send: Callable[[str, Any], None] | None = None

    def begin(self, send: Callable[[str, Any], None]) -> None:
        """Let this process, which runs a job, hand what it shows and finds to ``send``."""
        super().begin(send)
        self._send = send

    def send(self, number: int, answer: Any) -> None:
        """Hand an answer to the process that takes it."""
        assert self._send is not None
        self._send("answer", (number, answer))

    def show(self, slot: int, kind: str, value: Any) -> None:
        """Take an answer, or show what the job in a slot sent."""
        if kind == "answer":
            self._take(*value)
        else:
            super().show(slot, kind, value)


def _sending(display: _Taking, number: int, piece: Work) -> Callable[[Executor, Deadline], None]:
    def run(executor: Executor, stop: Deadline) -> None:
        try:
            for answer in piece.answers(executor.devices[0]):
                display.send(number, answer)
                if stop():
                    return
        except BaseException:
            stop.end()
            raise

    return run
