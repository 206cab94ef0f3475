"""Jobs that run at the same time, each in a process of its own with devices of its own."""

import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import torch

from ..errors import sentence, traceback_of
from .deadline import Deadline
from .executors import executor_for
from .forking import check_forkable, die_with_parent
from .jobs import Job, Outcome
from .process_group import Pipe

CONTEXT = multiprocessing.get_context("fork")


INTERVAL = 1.0
"""Seconds between looks at whether the run is to end."""


class Display(Protocol):
    """Shows what jobs have to show; ``slot`` is the number of the lease."""

    def begin(self, send: Callable[[str, Any], None]) -> None:
        """Let this process, which runs a job, hand what it shows to ``send``: a kind, and what can be pickled."""
        ...

    def show(self, slot: int, kind: str, value: Any) -> None:
        """Show what the job in a slot sent."""
        ...

    def end(self, slot: int) -> None:
        """The job in a slot has ended."""
        ...


class ProcessPool:
    """Runs jobs at the same time, each in a forked process: as many as there are leases.

    Args:
        leases: Lists of devices; each belongs to one job at a time.
        display: Where jobs show how far they are; by default each writes to the terminal itself.
    """

    def __init__(self, leases: Sequence[Sequence[str]], display: "Display | None" = None) -> None:
        self.leases = [list(lease) for lease in leases]
        self.display = display

    def run(
        self,
        jobs: Iterable[Job],
        stop: "Deadline | None" = None,
        ended: Callable[[int, Outcome], None] = lambda number, outcome: None,
    ) -> list[Outcome]:
        """Run jobs; what each returns can be pickled. One that fails leaves the others alone.

        Args:
            jobs: They may be made while others run: the next is asked for when it can begin.
            stop: When no further job begins.
            ended: Told of each job that has ended, with its place among them.

        Raises:
            ConfigError: CUDA is in use in this process, and would be in the forked ones.
        """
        check_forkable([device for lease in self.leases for device in lease])
        turn = _Turn(iter(jobs), stop or Deadline(), list(range(len(self.leases))), ended)
        try:
            while self._begin(turn) or turn.running:
                turn.stop()  # who cancelled the run told this process alone
                multiprocessing.connection.wait(turn.signs(), INTERVAL)
                self._listen(turn)
        finally:
            self._end(turn)
        began = [turn.outcomes.get(number, Outcome(label, began=False)) for number, label in enumerate(turn.labels)]
        return began + [Outcome(job.label, began=False) for job in turn.jobs]

    def _begin(self, turn: "_Turn") -> bool:
        """Begin jobs while there is room and time; say whether any is left to begin."""
        while not turn.stop():
            if not turn.free:
                return True
            job = next(turn.jobs, None)
            if job is None:
                return False
            slot = turn.free.pop(0)
            ours, theirs = CONTEXT.Pipe(duplex=False)
            arguments = (job, self.leases[slot], turn.stop, theirs, self.display)
            process = CONTEXT.Process(target=_child, args=arguments, name=job.label)
            process.start()
            theirs.close()
            turn.running[len(turn.labels)] = _Running(job.label, slot, process, ours)
            turn.labels.append(job.label)
        return False

    def _listen(self, turn: "_Turn") -> None:
        """Take what each job says next, or how it ended."""
        for number, one in list(turn.running.items()):
            message = one.message()
            if message is not None and message[0] == "show":
                if self.display is not None:
                    self.display.show(one.slot, *message[1:])
            elif message is not None:
                turn.outcomes[number] = _outcome(one.label, one.process, *message)
                turn.free.append(turn.running.pop(number).slot)
                if self.display is not None:
                    self.display.end(one.slot)
                turn.ended(number, turn.outcomes[number])

    def _end(self, turn: "_Turn") -> None:
        """Let no job live on."""
        for one in turn.running.values():
            one.process.terminate()
        for one in turn.running.values():
            one.process.join(20)
            if one.process.is_alive():
                one.process.kill()
            if self.display is not None:
                self.display.end(one.slot)


@dataclass(frozen=True)
class _Running:
    """A job that runs: its process, the slot of its lease, and the pipe it speaks through."""

    label: str
    slot: int
    process: BaseProcess
    pipe: Pipe

    def message(self) -> "tuple[Any, ...] | None":
        """Return what the job says next, ``None`` while it is silent; the end of its process is a message too."""
        ended = not self.process.is_alive()
        try:
            if self.pipe.poll():
                message: tuple[Any, ...] = self.pipe.recv()
                return message
        except (EOFError, OSError):
            return "killed", "", ""
        return ("killed", "", "") if ended else None


@dataclass
class _Turn:
    """How far one call of ``ProcessPool.run`` is: the jobs to begin, those that run, the slots without one."""

    jobs: Iterator[Job]
    stop: Deadline
    free: list[int]
    ended: Callable[[int, Outcome], None]
    labels: list[str] = field(default_factory=list)
    running: dict[int, _Running] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def signs(self) -> "list[Pipe | int]":
        """Return what is worth waiting for: words of a job, and its end."""
        return [sign for one in self.running.values() for sign in (one.pipe, one.process.sentinel)]


def _outcome(label: str, process: BaseProcess, kind: str, value: Any, trace: str) -> Outcome:
    process.join()
    if kind == "result":
        return Outcome(label, value)
    if kind == "killed":
        code = process.exitcode or 0
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        value = f"its process was {how}: often memory ran out; go on with --allow_resume true"
    return Outcome(label, None, value, trace)


def _child(job: Job, devices: list[str], stop: Deadline, pipe: Pipe, display: "Display | None") -> None:
    """Run a job and send what came of it; leave without the parent's clean-up."""
    die_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    status = 0
    if display is not None:
        display.begin(lambda kind, value: pipe.send(("show", kind, value)))
    try:
        if devices[0] == "cpu":
            torch.set_num_threads(1)  # threads that were started before a fork are gone after it
        pipe.send(("result", job.local(executor_for(devices), stop), ""))
    except BaseException as error:
        pipe.send(("error", sentence(error), traceback_of(error)))
        status = 1
    finally:
        pipe.close()
        os._exit(status)
