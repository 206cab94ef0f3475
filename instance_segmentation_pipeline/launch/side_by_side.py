"""Jobs that run at the same time, each in a process of its own with devices of its own."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import TrainingError, UserError, one_line
from .group import die_with_parent


@dataclass(frozen=True)
class Outcome:
    """What came of a job: its result, or its error as a sentence and a traceback."""

    label: str
    result: Any = None
    error: str = ""
    trace: str = ""


def side_by_side(
    jobs: Sequence[tuple[str, Callable[[Sequence[str]], Any]]], leases: Sequence[Sequence[str]]
) -> list[Outcome]:
    """Run jobs, as many at a time as there are leases.

    Args:
        jobs: Label and function of each; the function gets the devices of its lease, runs in a forked process, and
            returns something that can be pickled.
        leases: Lists of devices; each belongs to one job at a time.

    Returns:
        What came of each job, in order. A job that fails leaves the others alone.
    """
    context = multiprocessing.get_context("fork")
    waiting, free = list(enumerate(jobs)), list(leases)
    running: dict[int, tuple] = {}
    outcomes: dict[int, Outcome] = {}
    try:
        while waiting or running:
            while waiting and free:
                number, (label, function) = waiting.pop(0)
                lease = free.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_child, args=(function, list(lease), theirs), name=label)
                process.start()
                theirs.close()
                running[process.sentinel] = (number, label, lease, process, ours)
            for sentinel in multiprocessing.connection.wait([*running, *(one[4] for one in running.values())]):
                key = sentinel if sentinel in running else next(k for k, one in running.items() if one[4] is sentinel)
                if key not in running:
                    continue
                number, label, lease, process, pipe = running.pop(key)
                outcomes[number] = _outcome(label, process, pipe)
                free.append(lease)
                break
    finally:
        for _, _, _, process, _ in running.values():
            process.terminate()
        for _, _, _, process, _ in running.values():
            process.join(20)
            if process.is_alive():
                process.kill()
    return [outcomes[number] for number in range(len(jobs))]


def _outcome(label: str, process: Any, pipe: Any) -> Outcome:
    try:
        kind, value, trace = pipe.recv()
    except EOFError:
        kind, value, trace = "killed", "", ""
    process.join()
    if kind == "result":
        return Outcome(label, value)
    if kind == "killed":
        code = process.exitcode
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        value = f"its process was {how}: often memory ran out; go on with --allow_resume true"
    return Outcome(label, None, value, trace)


def _child(function: Callable[[Sequence[str]], Any], devices: list[str], pipe: Any) -> None:
    """Run a job and send what came of it; leave without the parent's clean-up."""
    die_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    status = 0
    try:
        if devices[0] == "cpu":
            torch.set_num_threads(1)  # threads that were started before a fork are gone after it
        pipe.send(("result", function(devices), ""))
    except BaseException as error:
        words = str(error) if isinstance(error, UserError) else one_line(error)
        pipe.send(("error", words, traceback.format_exc()))
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
