"""Temporary files that processes which are gone left in an experiment's folder."""

import os
import re
import shutil
from pathlib import Path

from .atomic import host_name, writer_of
from .experiment_files import ExperimentFiles
from .run_manifest import NAME, is_of_run

_TEMPORARY = re.compile(
    r"\.(?P<stem>.+)\.(?:(?P<host>[A-Za-z0-9_-]{1,40})-)?(?P<pid>\d{1,10})(?:-[0-9a-f]{16})?\.tmp(?P<suffix>\.\w+)?"
)


def remove_leftovers(files: ExperimentFiles) -> None:
    """Delete the temporary files of an experiment whose writers are gone.

    A file is one only where its name tells its process, and which file of a run it was to become; those of processes
    that live, or of other machines, stay.
    """
    root = files.root
    for folder in (root, *(root / name for name in ("weights", "metrics", "predictions", "reports", "examples"))):
        found = folder.rglob(".*.tmp*") if folder.name == "examples" and folder != root else folder.glob(".*.tmp*")
        for path in sorted(found):
            if path.is_file() and not path.is_symlink() and _is_left(files, path):
                path.unlink(missing_ok=True)


def remove_left_folders(place: Path) -> None:
    """Delete the temporary folders that were to become ``place``, whose writers on this machine are gone."""
    for path in place.parent.glob(".*.tmp"):
        writer = writer_of(path)
        mine = path.name.startswith(f".{place.name[:80]}.") and path.is_dir() and not path.is_symlink()
        if mine and writer is not None and writer[0] == host_name() and not _lives(writer[1]):
            shutil.rmtree(path, ignore_errors=True)


def _is_left(files: ExperimentFiles, path: Path) -> bool:
    match = _TEMPORARY.fullmatch(path.name)
    if match is None:
        return False
    finals = [f"{match['stem']}{match['suffix'] or ''}", match["stem"]]
    known = (files.config.name, NAME, files.in_progress.name, files.torchrun.name, "fit.lock")
    names = [path.with_name(final).relative_to(files.root).as_posix() for final in finals]
    if not any(name in known or is_of_run(files, name) for name in names):
        return False
    return match["host"] in (None, host_name()) and not _lives(int(match["pid"]))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
