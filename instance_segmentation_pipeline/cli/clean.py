"""``musket clean``: remove what runs wrote and what can be made again, after showing it."""

import argparse
import contextlib
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, UserError, nearest, sentence
from ..storage.cleaning import DEFAULT, NAMED, Removable, forget, removable, removable_caches, remove
from ..storage.run_lock import only_run
from ..text import printable
from .argument_types import boolean, names, path
from .project_lookup import chosen

KINDS = (*DEFAULT, *NAMED)
UNITS = ("bytes", "KB", "MB", "GB", "TB")


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    clean = argparse.ArgumentParser(
        prog="musket clean",
        description="Remove what runs wrote and what can be made again, after showing it with its size.",
        epilog="What only training makes again is removed where --what names it: " + ", ".join(NAMED) + ".",
    )
    add = clean.add_argument
    add("--project", type=path, help="root of the project; by default the one around the current folder")
    add("--name", type=names, help="experiments, separated by commas; by default all of the project")
    add("--what", type=names, default=None, help=f"kinds of files, separated by commas (default {','.join(DEFAULT)})")
    add(
        "--cache",
        type=boolean,
        default=True,
        help="the disk caches too, where all experiments are meant (default true)",
    )
    add("--dry_run", action="store_true", help="show what would be removed, and remove nothing")
    add("--yes", action="store_true", help="remove without asking")
    return clean


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Clean; return 0, or 1 when an experiment had to be left alone, or 2 when nothing could be started."""
    options = parser().parse_args(arguments)
    try:
        kinds = _kinds(options)
        experiments = _experiments(options)
        project = Path(experiments[0].project.path)
        caches = removable_caches(project) if "caches" in kinds else []
        failed: list[str] = []
        looked_at = [(one, _found(one, kinds, failed)) for one in experiments]
        found = [(one, each) for one, each in looked_at if each is not None]
    except UserError as error:
        print(f"musket clean: {error}", file=sys.stderr)  # noqa: T201
        return 2
    total = [*caches, *(entry for _, each in found for entry in each)]
    for line in _lines(found, caches, project):
        print(printable(line))  # noqa: T201
    if not total:
        print("musket clean: there is nothing to remove.")  # noqa: T201
    elif options.dry_run:
        print(f"musket clean: {len(total)} files, {size_of(total)}, would be removed; nothing was.")  # noqa: T201
    else:
        answer = _answer(options, total)
        if answer is not None:
            print(f"musket clean: {answer}", file=sys.stderr)  # noqa: T201
            return 2
        freed = _removed(found, caches, project, kinds, failed)
        print(f"musket clean: {freed} were freed.")  # noqa: T201
    for failure in failed:
        print(printable(failure), file=sys.stderr)  # noqa: T201
    return 1 if failed or getattr(options, "passed_over", None) else 0


def _kinds(options: argparse.Namespace) -> set[str]:
    """Return the kinds of files that are meant.

    Raises:
        ConfigError: A kind is not known, or caches are named and switched off.
    """
    wanted = options.what
    for name in wanted or ():
        if name not in KINDS:
            raise ConfigError(f"--what {name!r} is no kind of files{nearest(name, KINDS)}: use {', '.join(KINDS)}.")
    if wanted is not None and "caches" in wanted and not options.cache:
        raise ConfigError("--what names caches, which --cache false keeps: give one of the two.")
    kinds = set(DEFAULT if wanted is None else wanted)
    if not options.cache or (wanted is None and options.name):
        kinds.discard("caches")  # experiments share them
    return kinds


def _experiments(options: argparse.Namespace) -> list[Any]:
    """Return the experiments that are meant.

    Raises:
        ConfigError: There is none, or one that is named is of another dialect.
    """
    options.cache = None  # the folder of downloads is another matter
    every = chosen(options, lambda experiment: bool(experiment.ours))
    if not every:
        raise ConfigError("the project has no experiment of this dialect: check --project.")
    other = next((one for one in every if not one.ours), None)
    if other is not None:
        raise ConfigError(f"{other.files.config} does not begin with #%Musket MMDetection 1.0: it is left alone.")
    return every


def _found(experiment: Any, kinds: set[str], failed: list[str]) -> "list[Removable] | None":
    try:
        return removable(experiment.files, kinds)
    except (UserError, OSError) as error:
        failed.append(f"{experiment.name()}: passed over: {sentence(error)}")
        return None


def _lines(found: "list[tuple[Any, list[Removable]]]", caches: list[Removable], project: Path) -> list[str]:
    lines = []
    for experiment, entries in found:
        lines += _by_kind(f"{experiment.name()}", entries)
    return lines + _by_kind(str(project / ".cache"), caches)


def _by_kind(title: str, entries: Sequence[Removable]) -> list[str]:
    kinds = Counter(entry.kind for entry in entries)
    return [
        f"{title}: {kind}: {count} files, {size_of([entry for entry in entries if entry.kind == kind])}"
        for kind, count in kinds.items()
    ]


def size_of(entries: Sequence[Removable]) -> str:
    """Return the size of files together, as people write it."""
    size = float(sum(entry.size for entry in entries))
    for unit in UNITS:
        if size < 1000 or unit == UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == UNITS[0] else f"{size:.1f} {unit}"
        size /= 1000
    return ""


def _answer(options: argparse.Namespace, total: Sequence[Removable]) -> "str | None":
    """Return why nothing is removed, ``None`` where it may be."""
    if options.yes:
        return None
    if not sys.stdin.isatty():
        return "nothing was removed, since nobody can be asked: give --yes, or --dry_run to see alone."
    try:
        said = input(f"Remove {len(total)} files, {size_of(total)}? [y/N] ")
    except EOFError:
        said = ""
    return None if said.strip().lower() in ("y", "yes") else "nothing was removed."


def _removed(
    found: "list[tuple[Any, list[Removable]]]",
    caches: list[Removable],
    project: Path,
    kinds: set[str],
    failed: list[str],
) -> str:
    """Remove what was shown, each experiment's under its lock; return the size of it."""
    removed: list[Removable] = []
    with contextlib.ExitStack() as stack:
        free = []
        for experiment, shown in found:
            try:
                stack.enter_context(only_run(experiment.files.root))
            except (UserError, OSError) as error:
                failed.append(f"{experiment.name()}: left alone: {sentence(error)}")
            else:
                free.append((experiment, shown))
        for experiment, shown in free:
            files = experiment.files
            there = {entry.path for entry in removable(files, kinds)}
            removed += _gone(files.root, [entry for entry in shown if entry.path in there], failed)
            forget(files, {entry.path for entry in shown})
        if caches and len(free) < len(found):
            failed.append(f"{project / '.cache'}: left alone, since an experiment that is left alone may use it.")
        elif caches:
            removed += _gone(project, caches, failed)
    return size_of(removed)


def _gone(root: Path, entries: Sequence[Removable], failed: list[str]) -> list[Removable]:
    try:
        remove(root, entries)
    except OSError as error:
        failed.append(f"{root}: {error.filename} cannot be removed ({error.strerror}).")
    return [entry for entry in entries if not entry.path.exists()]
