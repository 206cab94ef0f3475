"""Where the experiments below a folder lie. Data, modules and what runs have written are not searched."""

import os
from pathlib import Path

CONFIG = "config.yaml"
OF_RUNS = frozenset({"examples", "logs", "metrics", "predictions", "previous", "reports", "weights"})
"""Folders that a run writes below its experiment's."""
OF_PROJECTS = frozenset({"data", "modules"})
"""Folders of a project beside ``experiments``."""


def config_files(folder: Path) -> list[Path]:
    """Return the ``config.yaml`` files below a folder in order of their paths.

    Links to folders are followed, but not to what holds ``folder``; each folder is looked into once, by its own path
    where it lies below ``folder``.
    """
    found: list[Path] = []
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        start = waiting.pop(0)
        if start != folder and _holds(os.path.realpath(start), os.path.realpath(folder)):
            continue
        for root, folders, files in os.walk(start):
            real = os.path.realpath(root)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            unsearched: frozenset[str] = frozenset()
            if CONFIG in files or CONFIG in folders:
                found.append(Path(root, CONFIG))
                unsearched |= OF_RUNS
            if "experiments" in folders:
                unsearched |= OF_PROJECTS
            searched = sorted(name for name in folders if name not in unsearched and not name.startswith("."))
            waiting += [Path(root, name) for name in searched if Path(root, name).is_symlink()]
            folders[:] = searched  # os.walk itself follows no link
    return sorted(found, key=lambda path: path.parent.parts)


def _holds(folder: str, other: str) -> bool:
    return other == folder or other.startswith(folder.rstrip(os.sep) + os.sep)
