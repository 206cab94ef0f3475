"""What can be removed of experiments and made again: files that runs wrote, by kind, with their sizes.

Nothing of the user's is ever among them: in an experiment's folder only what its manifest says that runs wrote, below
``previous/`` only names that runs give, and of disk caches only files that are such.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .archive import remove_emptied
from .experiment_files import ExperimentFiles
from .regular_file import open_regular
from .run_manifest import RunManifest, is_of_run

DEFAULT = ("predictions", "caches", "logs", "previous")
"""What is made again when it is asked for, or tells of runs that are past."""

NAMED = ("pictures", "weights", "metrics", "splits", "summaries", "previous-all")
"""What is removed only where it is named: training alone makes most of it again."""

_CACHE = re.compile(r".+-[0-9a-f]{8,64}\.sqlite(?:-journal|-wal|-shm)?")
_TIME = re.compile(r"\d{8}-\d{6}(?:-\d+)?")
_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True)
class Removable:
    """A file that can be removed.

    Attributes:
        path: The file.
        kind: One of ``DEFAULT`` and ``NAMED``.
        size: Its bytes.
    """

    path: Path
    kind: str
    size: int


def kind_of(files: ExperimentFiles, name: str) -> str:
    """Return the kind of a name, relative to an experiment's folder, that runs give."""
    folder = name.partition("/")[0]
    if folder in ("predictions", "logs", "weights"):
        return folder
    if folder in ("examples", "reports") or name.endswith(".png"):
        return "pictures"
    if folder == "metrics":
        return "metrics"
    return "splits" if name in (files.folds_split.name, files.holdout_split.name) else "summaries"


def removable(files: ExperimentFiles, kinds: Collection[str]) -> list[Removable]:
    """Return what can be removed of an experiment, its seeds included, in the order of its names."""
    seeds = [path for path in files.root.glob(f"*/{files.CONCRETE}") if path.parent.name.isdigit()]
    found = []
    for one in (files, *(ExperimentFiles(path) for path in sorted(seeds))):
        names = [(name, kind_of(one, name)) for name in RunManifest(one).owned()]
        found += [entry for name, kind in names if kind in kinds for entry in _entry(one.root / name, kind)]
        found += _previous(one, kinds)
    return found


def removable_caches(project: Path) -> list[Removable]:
    """Return the disk caches of a project's datasets."""
    folder = project / ".cache"
    paths = sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
    there = [path for path in paths if _CACHE.fullmatch(path.name)]
    stores = {path.name for path in there if path.suffix == ".sqlite" and _is_sqlite(path)}
    kept = [path for path in there if path.name in stores or path.name.rpartition("-")[0] in stores]
    return [entry for path in kept for entry in _entry(path, "caches")]


def remove(root: Path, files: Sequence[Removable]) -> int:
    """Remove files below a folder, and the folders that are empty then; return how many bytes are free.

    Raises:
        OSError: One cannot be removed.
    """
    freed = 0
    for one in files:
        one.path.unlink(missing_ok=True)
        freed += one.size
    remove_emptied(root, [one.path.relative_to(root).as_posix() for one in files])
    return freed


def forget(files: ExperimentFiles, removed: Collection[Path]) -> None:
    """Take names that are gone out of the manifest of an experiment."""
    manifest = RunManifest(files)
    gone = {path.relative_to(files.root).as_posix() for path in removed if files.root in path.parents}
    if manifest.exists and gone & manifest.claimed:
        manifest.claimed -= gone
        manifest.write()


def _previous(files: ExperimentFiles, kinds: Collection[str]) -> Iterator[Removable]:
    """Give what earlier runs left below ``previous/``: what can be made again, or all of it."""
    whole, some = "previous-all" in kinds, "previous" in kinds
    if not whole and not some:
        return
    previous = files.root / "previous"
    if previous.is_symlink():
        return
    for folder in sorted(path for path in previous.glob("*") if _TIME.fullmatch(path.name) and path.is_dir()):
        if folder.is_symlink():
            continue
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if name == files.config.name:
                if whole:
                    yield from _entry(path, "previous-all")
            elif is_of_run(files, name):
                again = kind_of(files, name) in ("predictions", "logs", "pictures")
                if whole or again:
                    yield from _entry(path, "previous" if again else "previous-all")


def _entry(path: Path, kind: str) -> Iterator[Removable]:
    if path.is_file() or path.is_symlink():
        yield Removable(path, kind, path.lstat().st_size)


def _is_sqlite(path: Path) -> bool:
    try:
        with open_regular(path, "rb") as file:
            return bool(file.read(len(_SQLITE)) == _SQLITE)
    except OSError:
        return False
