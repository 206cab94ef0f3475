"""Jobs that run at the same time, each in a process of its own with devices of its own."""

import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ..errors import TrainingError, sentence, traceback_of
from .process_group import die_with_parent


@dataclass(frozen=True)
class Outcome:
    """What came of a job: its result, or its error as a sentence and a traceback."""

    label: str
    result: Any = None
    error: str = ""
    trace: str = ""


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


def side_by_side(
    jobs: Sequence[tuple[str, Callable[[Sequence[str]], Any]]],
    leases: Sequence[Sequence[str]],
    display: "Display | None" = None,
) -> list[Outcome]:
    """Run jobs, as many at a time as there are leases.

    Args:
        jobs: Label and function of each; the function gets the devices of its lease, runs in a forked process, and
            returns something that can be pickled.
        leases: Lists of devices; each belongs to one job at a time.
        display: Where jobs show how far they are; by default each writes to the terminal itself.

    Returns:
        What came of each job, in order. A job that fails leaves the others alone.
    """
    context = multiprocessing.get_context("fork")
    waiting, free = list(enumerate(jobs)), list(range(len(leases)))
    running: dict[int, _Running] = {}
    outcomes: dict[int, Outcome] = {}
    try:
        while waiting or running:
            while waiting and free:
                number, (label, function) = waiting.pop(0)
                slot = free.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                arguments = (function, list(leases[slot]), theirs, display)
                process = context.Process(target=_child, args=arguments, name=label)
                process.start()
                theirs.close()
                running[number] = _Running(label, slot, process, ours)
            multiprocessing.connection.wait([one.process.sentinel for one in running.values()] + _pipes(running))
            for number, one in list(running.items()):
                message = one.message()
                if message is not None and message[0] == "show":
                    if display is not None:
                        display.show(one.slot, *message[1:])
                elif message is not None:
                    outcomes[number] = _outcome(one.label, one.process, *message)
                    free.append(running.pop(number).slot)
                    if display is not None:
                        display.end(one.slot)
    finally:
        for one in running.values():
            one.process.terminate()
        for one in running.values():
            one.process.join(20)
            if one.process.is_alive():
                one.process.kill()
            if display is not None:
                display.end(one.slot)
    return [outcomes[number] for number in range(len(jobs))]


@dataclass(frozen=True)
class _Running:
    """A job that runs: its process, the slot of its lease, and the pipe it speaks through."""

    label: str
    slot: int
    process: Any
    pipe: Any

    def message(self) -> "tuple | None":
        """Return what the job says next, ``None`` while it is silent; the end of its process is a message too."""
        ended = not self.process.is_alive()
        try:
            if self.pipe.poll():
                message: tuple = self.pipe.recv()
                return message
        except (EOFError, OSError):
            return "killed", "", ""
        return ("killed", "", "") if ended else None


def _pipes(running: "dict[int, _Running]") -> list:
    return [one.pipe for one in running.values()]


def _outcome(label: str, process: Any, kind: str, value: Any, trace: str) -> Outcome:
    process.join()
    if kind == "result":
        return Outcome(label, value)
    if kind == "killed":
        code = process.exitcode
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        value = f"its process was {how}: often memory ran out; go on with --allow_resume true"
    return Outcome(label, None, value, trace)


def _child(function: Callable[[Sequence[str]], Any], devices: list[str], pipe: Any, display: "Display | None") -> None:
    """Run a job and send what came of it; leave without the parent's clean-up."""
    die_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    status = 0
    if display is not None:
        display.begin(lambda kind, value: pipe.send(("show", kind, value)))
    try:
        if devices[0] == "cpu":
            torch.set_num_threads(1)  # threads that were started before a fork are gone after it
        pipe.send(("result", function(devices), ""))
    except BaseException as error:
        pipe.send(("error", sentence(error), traceback_of(error)))
        status = 1
    finally:
        pipe.close()
        os._exit(status)


def raise_failures(outcomes: Sequence[Outcome]) -> None:
    """Raise one error for the jobs that failed.

    Raises:
        TrainingError: The first one's words, and which others failed.
    """
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        others = f" (and {', '.join(one.label for one in failed[1:])} failed too)" if failed[1:] else ""
        error = TrainingError(f"{failed[0].label}: {failed[0].error}{others}")
        raise error from RuntimeError(f"\n{failed[0].trace}")
