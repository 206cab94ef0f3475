"""Where the experiments below a folder lie. Data, modules and what runs have written are not searched."""

import os
from collections.abc import Iterator
from pathlib import Path

CONFIG = "config.yaml"
OF_RUNS = frozenset({"examples", "logs", "metrics", "predictions", "previous", "reports", "weights"})
"""Folders that a run writes below its experiment's."""
OF_PROJECTS = frozenset({"data", "modules"})
"""Folders of a project beside ``experiments``."""


def config_files(folder: Path) -> Iterator[Path]:
    """Yield the ``config.yaml`` files below a folder in order of their paths, without following links to folders."""
    for root, folders, files in os.walk(folder):
        unsearched: frozenset[str] = frozenset()
        if CONFIG in files:
            yield Path(root, CONFIG)
            unsearched |= OF_RUNS
        if "experiments" in folders:
            unsearched |= OF_PROJECTS
        folders[:] = sorted(name for name in folders if name not in unsearched and not name.startswith("."))
