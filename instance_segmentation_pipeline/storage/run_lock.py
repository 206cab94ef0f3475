"""A lock on an experiment's folder: one run trains it at a time, and a run that died does not bar the next.

The lock is ``flock(2)`` on an open file, given back by the kernel when the process ends; the file tells who holds it.
Where a network file system keeps such locks to one machine (NFS mounted with ``local_lock``), what the file tells of
another machine is believed, until somebody says that it is gone.
"""

import contextlib
import fcntl
import json
import os
import socket
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .atomic import not_writable

NAME = "fit.lock"

Holder = dict[str, Any]
"""What a lock's file tells: ``pid``, ``host``, ``started`` and ``run``, as far as it tells them."""

_held: set[int] = set()
"""Descriptors of the locks that this process holds."""


class Locked(ConfigError):
    """Another run holds the lock of an experiment's folder."""


def _forget() -> None:
    """Close a parent's locks in a forked process: they are given back when the parent ends."""
    while _held:
        with contextlib.suppress(OSError):
            os.close(_held.pop())


os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def only_run(folder: Path, break_lock: bool = False) -> Iterator[None]:
    """Hold the lock of an experiment's folder.

    Args:
        folder: The folder.
        break_lock: Take a lock that another machine left. One that a process of this machine holds is never taken.

    Raises:
        Locked: Another run holds it, here or in this process; its process and host are named.
        ConfigError: The folder cannot be written to, or what has the name of the lock is no file.
    """
    path, owner = folder / NAME, os.getpid()
    lock = _taken(path, break_lock)
    try:
        yield
    finally:
        if os.getpid() == owner:
            path.unlink(missing_ok=True)  # before it is given back: who waits for it finds another file
            _held.discard(lock)
            os.close(lock)


def _taken(path: Path, break_lock: bool) -> int:
    """Return the descriptor of the lock's file, locked."""
    while True:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except OSError as error:
            if path.is_symlink() or path.is_dir():
                raise ConfigError(_no_lock(path)) from error
            raise ConfigError(not_writable(path.parent, error)) from error
        try:
            if not stat.S_ISREG(os.fstat(lock).st_mode):
                raise ConfigError(_no_lock(path))
            by_kernel = _lock(lock, path)
            if not _is_still(lock, path):
                os.close(lock)  # its holder has just ended, and removed it
                continue
            _check_holder(_read(lock), path, by_kernel, break_lock)
            _write(lock, path)
        except BaseException:
            os.close(lock)
            raise
        _held.add(lock)
        return lock


def _no_lock(path: Path) -> str:
    return f"{path} is no file, but a link, a folder, a pipe or a device, so that no run can be kept apart: remove it."


def _lock(lock: int, path: Path) -> bool:
    """Lock an open file; return false on a file system without locks, where what the file tells has to do."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Locked(f"{path.parent} is being trained by {_who(_read(lock))}: wait for it, or stop it.") from None
    except OSError:
        return False
    return True


def _check_holder(holder: Holder, path: Path, by_kernel: bool, break_lock: bool) -> None:
    """Refuse a lock whose holder may live although the file is not locked."""
    who = _who(holder)
    if not holder:
        return
    if holder.get("host") != socket.gethostname():
        if not break_lock:
            raise Locked(
                f"{path.parent} is being trained by {who}: wait for it, or stop it; if that machine or container is "
                "gone, give --break_lock true."
            )
        return
    if not (by_kernel and "run" in holder) and _lives(holder):  # versions before kept it without locking the file
        raise Locked(f"{path.parent} is being trained by {who}: wait for it, or stop it.")


def _who(holder: Holder) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"


def _is_still(lock: int, path: Path) -> bool:
    """Say whether an open file is the one of that name."""
    try:
        there = path.stat()
    except OSError:
        return False
    own = os.fstat(lock)
    return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)


def _read(lock: int) -> Holder:
    try:
        holder = json.loads(os.pread(lock, 4096, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _write(lock: int, path: Path) -> None:
    own = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": _started(os.getpid()),
        "run": uuid.uuid4().hex,
    }
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps(own).encode(), 0)
    except OSError as error:
        raise ConfigError(not_writable(path.parent, error)) from error


def _lives(holder: Holder) -> bool:
    """Say whether the process of a lock of this machine lives."""
    pid = holder.get("pid")
    if type(pid) is not int or not 0 < pid < 2**31:
        return False  # no lock of ours
    started = _started(pid)
    return started is not None and started == holder.get("started")


def _started(pid: int) -> "str | None":
    """Return what tells a process from a later one of the same number; ``None`` when there is none."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        return told.rpartition(")")[2].split()[19]  # starttime, proc(5)
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "running"
