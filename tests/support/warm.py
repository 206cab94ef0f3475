"""``musket`` as a process of its own that need not import everything first: forked from one that has.

A process of the command line, in a session of its own, with its own pipes, folder, environment, signals and exit
status, is forked from a server that each pytest process starts once. What is read at an interpreter's start or by an
import (PYTHONPATH, a full disk, a signal while it imports) needs ``PROGRAM`` instead.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.support.processes import whole_session

REPOSITORY = Path(__file__).resolve().parents[2]
IMPORTED = (
    *(f"instance_segmentation_pipeline.cli.{name}" for name in ("fit", "check", "task", "predict", "analize", "convert")),
    "instance_segmentation_pipeline.experiment.pipeline_config",
    "instance_segmentation_pipeline.musket_adapters.experiment",
    "instance_segmentation_pipeline.training.train_detector",
    "musket_core.projects",
    "matplotlib.backends.backend_agg",
    "torch._dynamo",
    "yapf.yapflib.yapf_api",
)  # fmt: skip
LARGEST = 1 << 20


class WarmProcess:
    """What ``subprocess.Popen`` is of a text process whose stdout and stderr are pipes, or go nowhere.

    ``before`` is code that is run in the process before the command.
    """

    def __init__(self, arguments, *, before="", cwd=None, env=None, quiet=False):
        self.args = ["musket", *(str(part) for part in arguments)]
        asked = {
            "arguments": self.args[1:],
            "before": before,
            "cwd": str(cwd or os.getcwd()),
            "env": dict(os.environ if env is None else env),
        }
        ends, theirs, self.stdout, self.stderr = [], [], None, None
        if quiet:
            theirs = [os.open(os.devnull, os.O_WRONLY) for _ in range(2)]
        else:
            ends = [os.pipe() for _ in range(2)]
            theirs = [writer for _, writer in ends]
            self.stdout, self.stderr = (open(reader, encoding="utf-8", errors="replace") for reader, _ in ends)  # noqa: SIM115
        self._told, told = socket.socketpair()
        with told:
            socket.send_fds(_server(), [json.dumps(asked).encode()], [*theirs, told.fileno()])
        for number in theirs:
            os.close(number)
        self.returncode = None
        self.pid = int(self._line())

    def _line(self):
        text = b""
        while not text.endswith(b"\n"):
            part = self._told.recv(64)
            assert part, "the process that forks others is gone"
            text += part
        return text

    def poll(self):
        """Return the exit status, ``None`` while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout=None):
        """Wait for the end; return the exit status, negative for a signal."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = int(self._line())
            self._told.close()
        return self.returncode

    def communicate(self, timeout=None):
        """Read both streams to their ends and wait; return what they gave."""
        end, texts = None if timeout is None else time.monotonic() + timeout, {}

        def read(name):
            texts[name] = getattr(self, name).read()

        readers = [threading.Thread(target=read, args=(name,), daemon=True) for name in ("stdout", "stderr")]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if end is None else max(0.0, end - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout)
        self.wait(None if end is None else max(0.0, end - time.monotonic()))
        return texts["stdout"], texts["stderr"]

    def send_signal(self, number):
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def started_musket(*arguments, **options):
    """Yield ``musket`` with arguments as a ``WarmProcess``; what is left of its session is killed."""
    with whole_session(WarmProcess(arguments, **options)) as process:
        yield process


def run_musket(*arguments, timeout, **options):
    """Run ``musket`` with arguments to its end; return a ``subprocess.CompletedProcess`` with text."""
    with started_musket(*arguments, **options) as process:
        out, err = process.communicate(timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@functools.cache
def _server():
    """Start the server of this pytest process; return the socket that it takes requests from."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=REPOSITORY, start_new_session=True)

    def end():
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(requests):
    """Import, then fork a process for each request, until nobody can ask any more. Return in those processes only."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # collections in what is forked leave these pages alone
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        asked, numbers, _, _ = socket.recv_fds(requests, LARGEST, 3)
        if not asked:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _forked(numbers)
            return json.loads(asked)
        for number in numbers:
            os.close(number)


def _forked(numbers):
    """Return in a new process whose output goes to the first two numbers; another tells the third of its end."""
    out, err, told = numbers
    pid = os.fork()
    if pid == 0:
        os.close(told)
        os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        return
    for number in (0, 1, 2, out, err):
        os.close(number)
    os.write(told, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _main():
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.argv[:] = [str(Path(sys.executable).parent / "musket"), *asked["arguments"]]
    sys.path[0] = str(Path(sys.executable).parent)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    tempfile.tempdir = None
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        stream = open(number, "w", encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)  # which outlives what takes the place of the other
    for seed in (random.seed, sys.modules["numpy"].random.seed):
        seed()  # as two interpreters, two forks do not draw the same
    exec(asked["before"], {"__name__": "before"})
    from instance_segmentation_pipeline.cli import main

    sys.exit(main())


if __name__ == "__main__":
    _main()
