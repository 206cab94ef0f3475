"""A group of processes on this machine that trains one net.

Processes are forked, so that datasets need not be pickled. They find each other through a file in memory that only they
hold, and speak over the loopback interface: no other machine reaches a group, and nothing of it is left, whoever dies.
The first error of any process is the group's error.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..errors import ConfigError, Stopped, UserError, sentence, traceback_of
from .forking import check_forkable, die_with_parent
from .group_failures import Failure, error_of
from .job_environment import RUN_PREFIX, patience

Result = TypeVar("Result")

Pipe = multiprocessing.connection.Connection


GRACE = 2.0
"""Seconds in which, after a first failure, the other processes may end by themselves and say why."""

LENIENCE = 10.0
"""Seconds that a process has to end when it is asked to, before it is killed."""

INTERVAL = 0.2


class _Member:
    """A process of the group, as the one that started it sees it."""

    def __init__(self, rank: int, process: BaseProcess, pipe: Pipe) -> None:
        self.rank = rank
        self.process = process
        self.pipe = pipe
        self.result: Any = None
        self.failure: Failure | None = None
        self.ended = False

    def look(self) -> None:
        """Take what the process says, or how it ended."""
        alive = self.process.is_alive()
        with contextlib.suppress(EOFError, OSError):
            if self.pipe.poll():
                kind, value = self.pipe.recv()
                self.ended = True
                self.result, self.failure = (value, None) if kind == "result" else (None, value)
        if not alive and not self.ended:
            self.ended = True
            self.failure = self._silent()

    def _silent(self) -> Failure:
        code = self.process.exitcode or 0
        if code < 0:
            return Failure(self.rank, f"was killed by {signal.Signals(-code).name}", silent=True)
        return Failure(self.rank, f"ended with status {code}", silent=True)


def run_group(
    function: Callable[[str], Result], devices: Sequence[str], meanwhile: Callable[[], object] = lambda: None
) -> Result:
    """Run a function in a process for each device, together; return what the first one returned.

    Args:
        function: Gets the name of its device; ``torch.distributed`` is ready when it is called.
        devices: ``cuda:<n>`` each, or ``cpu`` each.
        meanwhile: Called in this process now and then, while the others work.

    Raises:
        UserError: What the first process that failed says.
        ConfigError: CUDA is in use in this process, and would be in the forked ones.
    """
    check_forkable(devices)
    context = multiprocessing.get_context("fork")
    members: list[_Member] = []
    run = f"{RUN_PREFIX}{uuid.uuid4().hex}"
    with _meeting_place() as place:
        try:
            for rank in range(len(devices)):
                ours, theirs = context.Pipe(duplex=False)
                arguments = (function, list(devices), rank, place, run, theirs, os.getpid())
                process = context.Process(target=_be_member, args=arguments, name=f"process {rank}")
                process.start()
                theirs.close()
                members.append(_Member(rank, process, ours))
            _watch(members, meanwhile)
        finally:
            _end(members)
    failures = [member.failure for member in members if member.failure is not None]
    if failures:
        raise error_of(failures, [member.rank for member in members if not member.ended], len(devices))
    result: Result = members[0].result
    return result


@contextlib.contextmanager
def _meeting_place() -> Iterator[str]:
    """Yield the path of an empty file that the processes of a group can open and that nobody can plant.

    On Linux it is a file in memory without a name, reached through the descriptor that forked processes inherit: it is
    gone with the last of them. Elsewhere it lies in a folder of this user's alone.
    """
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("musket-group")
        try:
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory(prefix="musket-group-") as folder:
            yield str(Path(folder, "store"))


def _watch(members: Sequence[_Member], meanwhile: Callable[[], Any]) -> None:
    """Wait until all processes have said what came of them, or one has failed and the others had time to follow."""
    end = None
    while True:
        for member in members:
            if not member.ended:
                member.look()
        running = [member for member in members if not member.ended]
        failures = [member.failure for member in members if member.failure is not None]
        if not running or any(not failure.is_of_another for failure in failures):
            return
        if failures:
            end = end or time.monotonic() + GRACE
            if time.monotonic() > end:
                return
        meanwhile()
        multiprocessing.connection.wait([member.pipe for member in running], INTERVAL)


def _end(members: Sequence[_Member]) -> None:
    """Let no process of the group live on."""
    told = any(member.failure is not None or not member.ended for member in members)
    for member in members:
        if told and member.process.is_alive():
            member.process.terminate()
    end = time.monotonic() + LENIENCE
    for member in members:
        member.process.join(max(0.0, end - time.monotonic()))
        if member.process.is_alive():
            member.process.kill()
            member.process.join()
        member.pipe.close()


def _be_member(
    function: Callable[[str], object], devices: list[str], rank: int, place: str, run: str, pipe: Pipe, parent: int
) -> None:
    """Be one process of the group, and say what came of it; leave without the clean-up of the process forked from."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the one that started the group decides
    signal.signal(signal.SIGTERM, _stop)
    status = 1
    try:
        result = _joined(function, devices, rank, place, run)
        pipe.send(("result", result if rank == 0 else None))
        status = 0
    except BaseException as error:
        failure = Failure(rank, sentence(error), isinstance(error, UserError), traceback_of(error))
        with contextlib.suppress(OSError):
            pipe.send(("failure", failure))
    finally:
        pipe.close()
        for worker in multiprocessing.active_children():  # those that load data
            worker.terminate()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status)


def _stop(number: int, frame: object) -> None:
    raise Stopped(number)


def _joined(function: Callable[[str], Result], devices: list[str], rank: int, place: str, run: str) -> Result:
    """Run the function as a process of the group."""
    device, size = devices[rank], len(devices)
    here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "TORCHELASTIC_RUN_ID": run}
    os.environ.update({name: str(value) for name, value in here.items()})
    _speak_on_loopback()
    cpu = device == "cpu"
    if cpu:
        torch.set_num_threads(1)  # threads that were started before a fork are gone after it
    else:
        torch.cuda.set_device(device)
    store = torch.distributed.FileStore(place, size)
    store.set_timeout(patience())
    torch.distributed.init_process_group(
        "gloo" if cpu else "nccl",
        store=store,
        rank=rank,
        world_size=size,
        timeout=patience(),
        device_id=None if cpu else torch.device(device),
    )
    try:
        result = function(device)
        torch.distributed.barrier()
        return result
    finally:
        torch.distributed.destroy_process_group()


def _speak_on_loopback() -> None:
    """Let Gloo and NCCL listen on the loopback interface alone, whatever the environment says of other machines."""
    names = [name for _, name in socket.if_nameindex()]
    loopback = next((name for name in ("lo", "lo0") if name in names), None)
    if loopback is None:
        raise ConfigError("this machine has no loopback interface, over which the processes of one net speak: add it.")
    os.environ["GLOO_SOCKET_IFNAME"] = loopback
    os.environ["NCCL_SOCKET_IFNAME"] = f"={loopback}"
