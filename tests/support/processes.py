"""Real processes: started, waited for without a race against a loaded machine, and never left behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 300
"""Seconds after which something counts as hung. It is no statement about speed: the slowest machine needs far less."""

ASLEEP = 3600
"""Seconds that a process sleeps which is to be stopped: it never wakes by itself."""

PROGRAM = Path(sys.executable).parent / "musket"
"""The ``musket`` command of this environment."""


@contextlib.contextmanager
def started(*command, **options):
    """Yield a process in a session of its own, output in pipes as text; what is left of its session is killed."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    with whole_session(subprocess.Popen([str(part) for part in command], start_new_session=True, **options)) as process:
        yield process


@contextlib.contextmanager
def whole_session(process):
    """Yield the first process of a session; what is left of the session is killed, and its streams are closed."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def single_threaded(**more):
    """Return this environment with one thread for each process."""
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def wait_until(condition, process=None):
    """Wait until a condition holds.

    Args:
        condition: Asked again and again; its value, once it is true, is returned.
        process: Where it ends before, the test fails with what it said.
    """
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        if process is not None and process.poll() is not None and not condition():
            said = "" if process.stderr is None else process.stderr.read()
            raise AssertionError(f"the process ended with status {process.returncode}: {said}")
        assert time.monotonic() < end, f"nothing came of it in {PATIENCE} s"
        time.sleep(0.02)
    return found


def of_session(session):
    """Return the processes of a session that are no zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[3]) == session and words[0] != "Z":
            found.append(int(folder.name))
    return found


def free_port():
    """Return a port of this machine that nothing listens on, outside of those that it gives to outgoing connections."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first = 1024 + os.getpid() * 7 % max(1, lowest - 2048)
    for port in range(first, lowest):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("localhost", port))
            return port
    raise AssertionError(f"no port between {first} and {lowest} is free")
