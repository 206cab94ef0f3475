"""A group of processes that trains one net: torch's elastic launch, started from Python.

Processes are forked, so that datasets need not be pickled. Each group has its own rendezvous. The first error of any
process is the group's error.
"""

import contextlib
import ctypes
import json
import logging
import os
import signal
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from ..errors import ConfigError, Stopped, TrainingError, UserError, one_line, sentence
from .job_environment import RUN_PREFIX, number_in_environment


def patience() -> timedelta:
    """Return how long a process waits for the others, as ``MUSKET_MMDETECTION_GROUP_TIMEOUT`` says in minutes.

    Raises:
        ConfigError: That is no number of minutes.
    """
    return timedelta(minutes=number_in_environment("MUSKET_MMDETECTION_GROUP_TIMEOUT", 30, 0.01, 100_000))


def run_group(function: Callable[[str], Any], devices: Sequence[str]) -> Any:
    """Run a function in a process for each device, together; return what the first one returned.

    Args:
        function: Gets the name of its device; ``torch.distributed`` is ready when it is called.
        devices: ``cuda:<n>`` each, or ``cpu`` each.

    Raises:
        UserError: What the first process that failed says.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if devices[0] != "cpu" and torch.cuda.is_initialized():
        raise ConfigError(
            "CUDA is in use in this process already, so that it cannot be forked to train on several devices: start "
            "the training before anything else uses CUDA, or with the command musket fit."
        )
    for name in ("torch.distributed.elastic", "torch.multiprocessing", "torchelastic-events-null"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="musket-group-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=len(devices),
            run_id=f"{RUN_PREFIX}{uuid.uuid4().hex}",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=0.1,
            start_method="fork",
        )
        try:
            results = elastic_launch(config, _rank)(function, list(devices), folder)
        except ChildFailedError as error:
            raise _first_error(Path(folder), error) from None
        except SignalException as error:
            raise Stopped(error.sigval) from None
    return results[0]


def _rank(function: Callable[[str], Any], devices: list[str], folder: str) -> Any:
    """Be one process of the group."""
    die_with_parent()
    rank = int(os.environ["RANK"])
    device = devices[int(os.environ["LOCAL_RANK"])]
    try:
        if device == "cpu":
            torch.set_num_threads(1)  # threads that were started before a fork are gone after it
        else:
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("gloo" if device == "cpu" else "nccl", timeout=patience())
        result = function(device)
        torch.distributed.barrier()
        return result if rank == 0 else None
    except BaseException as error:
        record = {
            "time": time.time(),
            "rank": rank,
            "kind": type(error).__name__,
            "message": sentence(error),
            "expected": isinstance(error, UserError),
            "trace": traceback.format_exc(),
        }
        Path(folder, f"{rank}.json").write_text(json.dumps(record), encoding="utf-8")
        raise
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _first_error(folder: Path, error: Any) -> UserError:
    """Return the error of the process that failed first; one that was killed leaves no words."""
    records = sorted((json.loads(path.read_text()) for path in folder.glob("*.json")), key=lambda one: one["time"])
    killed = {rank: failure for rank, failure in error.failures.items() if failure.exitcode < 0}
    if killed:
        rank, failure = min(killed.items(), key=lambda entry: entry[1].timestamp)
        name = signal.Signals(-failure.exitcode).name
        found = TrainingError(
            f"process {rank} of {len(error.failures) or 1} that trained one net was killed by {name}: often memory ran "
            "out; lower imagesPerGpu, shape or workersPerGpu, and go on with --allow_resume true."
        )
    elif records and all(is_lost_connection(one["message"]) for one in records):
        found = TrainingError(
            "a process of the group that trained one net died without a word: often memory ran out; lower "
            "imagesPerGpu, shape or workersPerGpu, and go on with --allow_resume true."
        )
    elif records:
        first = next(one for one in records if not is_lost_connection(one["message"]))
        words = first["message"] if first["expected"] else f"process {first['rank']} failed: {first['message']}"
        found = TrainingError(words)
        found.__cause__ = RuntimeError(f"\n{first['trace']}")
    else:
        found = TrainingError(f"a process of the group failed: {one_line(error)}")
    return found


def is_lost_connection(message: str) -> bool:
    """Say whether an error only tells that another process is gone."""
    return "onnection reset" in message or "onnection closed" in message or "ncclRemoteError" in message


def die_with_parent() -> None:
    """Let this process end when its parent does, however that happens (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
