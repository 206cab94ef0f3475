"""Putting aside what earlier runs trained: into ``previous/<time>/``, file by file, and never anything of the user's.

What is to be moved is written into the manifest before the first file moves: a move that was interrupted is completed
by the next run.
"""

import contextlib
import errno
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from .atomic import sync_folder, write_atomically
from .experiment_files import ExperimentFiles
from .run_manifest import RunManifest, average_of, is_of_run, is_store, is_trial, stage_of


def belonging(files: ExperimentFiles, folds: "Sequence[int] | None" = None, first_stage: int = 0) -> list[str]:
    """Return what a fresh run of these folds would put aside, as names relative to the experiment's folder.

    Args:
        files: The experiment's files.
        folds: Numbers of the folds; by default all, and then the split belongs to it.
        first_stage: The first stage that is trained anew.
    """
    owned = RunManifest(files).owned()
    if folds is None and not first_stage:
        return owned
    splits = (files.folds_split.name, files.holdout_split.name)

    def belongs(name: str) -> bool:
        number, averaged = stage_of(name), average_of(name)
        if averaged is not None:  # whatever stages it is of: it is compared with those of its fold
            return folds is None or averaged in folds
        if number is not None:
            return (folds is None or number[0] in folds) and number[1] >= first_stage
        return name not in splits and not name.startswith(("predictions/", "reports/"))

    return [name for name in owned if belongs(name)]


def archive(files: ExperimentFiles, folds: "Sequence[int] | None" = None, first_stage: int = 0) -> "Path | None":
    """Move what earlier runs left of some folds and stages into ``previous/<time>/``; see ``belonging``.

    Returns:
        The folder, ``None`` where nothing is worth keeping: no weights, no metrics, and no summary of all folds.
    """
    names = belonging(files, folds, first_stage)
    some = folds is not None or first_stage > 0
    if any(_is_worth_keeping(name) or (name == files.summary.name and not some) for name in names):
        return set_aside(files, names)
    for name in names:
        (files.root / name).unlink(missing_ok=True)
    remove_emptied(files.root, names)
    return None


def set_aside(files: ExperimentFiles, names: Sequence[str]) -> "Path | None":
    """Move files of these names, which runs wrote, into ``previous/<time>/``, and return that folder."""
    if not names:
        return None
    manifest = RunManifest(files)
    target = _unused(files.root / "previous" / time.strftime("%Y%m%d-%H%M%S"))
    manifest.moving = {"to": target.name, "files": list(names)}
    manifest.write()
    finish(files)
    return target


def finish(files: ExperimentFiles) -> None:
    """Complete a move into ``previous/`` that was interrupted; do nothing where none was."""
    manifest = RunManifest(files)
    if manifest.moving is None:
        return
    target = files.root / "previous" / Path(manifest.moving["to"]).name
    names = [
        name for name in manifest.moving["files"] if is_of_run(files, name)
    ]  # a manifest that was edited moves nothing else
    target.mkdir(parents=True, exist_ok=True)
    with write_atomically(target / files.config.name) as temporary:
        shutil.copy2(files.config, temporary)
    for name in names:
        source, place = files.root / name, target / name
        if (source.is_file() or source.is_symlink() or (is_trial(name) and source.is_dir())) and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            _move(source, place)
    for folder in {(target / name).parent for name in names}:
        sync_folder(folder)
    remove_emptied(files.root, names)
    manifest.claimed -= set(names)
    manifest.moving = None
    manifest.write()


def forget_predictions(files: ExperimentFiles) -> None:
    """Delete the prediction stores of an experiment, its seeds and trials; the next question is answered anew."""
    for trial in files.trials():
        forget_predictions(trial)
    seeds = [path for path in files.root.glob(f"*/{files.CONCRETE}") if path.parent.name.isdigit()]
    for one in (files, *(ExperimentFiles(path) for path in sorted(seeds))):
        stores = [name for name in RunManifest(one).owned() if is_store(name)]
        for name in stores:
            (one.root / name).unlink(missing_ok=True)
        remove_emptied(one.root, stores)


def _is_worth_keeping(name: str) -> bool:
    whole = name.startswith(("weights/best-", "weights/last-", "metrics/"))
    return whole or average_of(name) is not None or is_trial(name)


def _move(source: Path, place: Path) -> None:
    """Rename a file; to another disk it is copied, whole, before it is removed."""
    try:
        source.rename(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if source.is_dir():
            _copy_folder(source, place)
            return
        with write_atomically(place) as temporary:
            shutil.copy2(source, temporary)
        source.unlink()


def _copy_folder(source: Path, place: Path) -> None:
    """Copy a folder to another disk, whole, before it is removed."""
    temporary = place.with_name(f".{place.name}.copy")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary, symlinks=True)
    temporary.rename(place)
    shutil.rmtree(source)


def remove_emptied(root: Path, names: Sequence[str]) -> None:
    """Remove the folders that are empty now that files of these names are gone from them."""
    folders = {parent for name in names for parent in Path(name).parents if parent != Path()}
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        with contextlib.suppress(OSError):  # not empty, a link, or gone
            (root / folder).rmdir()


def _unused(path: Path) -> Path:
    candidate, number = path, 1
    while candidate.exists():
        candidate, number = path.with_name(f"{path.name}-{number}"), number + 1
    return candidate
