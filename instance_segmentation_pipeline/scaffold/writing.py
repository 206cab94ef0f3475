"""Puts a first experiment onto the disk; nothing that is there is changed."""

import contextlib
import os
from pathlib import Path

from ..errors import ConfigError
from ..storage.atomic import write_text
from ..text import printable


def check_project(project: Path) -> None:
    """Refuse to write into a project that is there, or where none can be made.

    Raises:
        ConfigError: What stands in the way.
    """
    shown = printable(project, 300)
    if (project / "experiments").exists() or (project / "modules").exists():
        raise ConfigError(
            f"{shown} is a project already: give another name, or add a folder with a config.yaml to its experiments."
        )
    if project.exists() and not project.is_dir():
        raise ConfigError(f"{shown} is a file: give the name of a folder that is not there yet.")
    if (project / "config.yaml").exists():
        raise ConfigError(f"{shown} is an experiment's folder, it has a config.yaml: give another name.")
    there = next(folder for folder in (project, *project.parents) if folder.exists())
    if not there.is_dir():
        raise ConfigError(f"{printable(there, 300)} is no folder, so that {shown} cannot be made: give another name.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{printable(there, 300)} may not be written to: give a project elsewhere.")


def write_experiment(project: Path, name: str, text: str) -> Path:
    """Write the experiment; return its YAML. What was made before an error is removed.

    Raises:
        ConfigError: It cannot be written.
    """
    folder = project / "experiments" / name
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True)
        write_text(folder / "config.yaml", text)
    except (OSError, ValueError) as error:
        for one in made:
            with contextlib.suppress(OSError):
                one.rmdir()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{printable(folder, 300)} cannot be written ({reason}).") from None
    return folder / "config.yaml"
