"""A lock on an experiment's folder: one run trains it at a time, and a run that died does not bar the next."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigError
from .experiment_files import not_writable
from .regular_file import read_text

NAME = "fit.lock"


@contextlib.contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold the lock of an experiment's folder.

    Raises:
        ConfigError: Another run holds it; its process and host are named. Or the folder cannot be written to.
    """
    path = folder / NAME
    own = {"pid": os.getpid(), "host": socket.gethostname(), "started": _started(os.getpid())}
    _take(path, own)
    try:
        yield
    finally:
        if _read(path) == own:
            path.unlink(missing_ok=True)


def _take(path: Path, own: dict) -> None:
    for _ in range(2):
        temporary = path.with_name(f".{NAME}.{os.getpid()}.tmp")
        try:
            temporary.write_text(json.dumps(own), encoding="utf-8")
        except OSError as error:
            raise ConfigError(not_writable(path.parent, error)) from error
        try:
            os.link(temporary, path)  # fails where the lock is there already, and is never half-written
        except FileExistsError:
            holder = _read(path)
            if holder and not _is_stale(holder):
                raise ConfigError(
                    f"{path.parent} is being trained by process {holder.get('pid')} on {holder.get('host')}: wait for "
                    f"it, or stop it; if it does not run any more, delete {path}."
                ) from None
            path.unlink(missing_ok=True)
        else:
            return
        finally:
            temporary.unlink(missing_ok=True)
    raise ConfigError(f"{path} cannot be taken: another run is just starting here.")


def _read(path: Path) -> dict:
    try:
        holder = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_stale(holder: dict) -> bool:
    """Say whether the process of a lock is gone; of other hosts that is not known."""
    if holder.get("host") != socket.gethostname():
        return False
    pid = holder.get("pid")
    if type(pid) is not int or not 0 < pid < 2**31:
        return True  # no lock of ours
    started = _started(pid)
    return started is None or started != holder.get("started")


def _started(pid: int) -> "str | None":
    """Return what tells a process from a later one of the same number; ``None`` when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        return stat.rpartition(")")[2].split()[19]  # starttime, proc(5)
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
