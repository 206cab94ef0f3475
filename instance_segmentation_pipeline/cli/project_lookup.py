"""Which experiments of which project a command line means."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, nearest, sentence
from ..storage.experiment_search import config_files
from ..text import printable
from .argument_types import names, path, positive, project_around


def add_common(parser: argparse.ArgumentParser, wanted: str) -> None:
    """Add the flags that ``fit`` and ``task`` share; ``wanted`` says which experiments are meant without ``--name``."""
    add = parser.add_argument
    add("--project", type=path, help="root of the project; by default the one around the current folder")
    add("--name", type=names, help=f"experiments, separated by commas; by default {wanted}")
    add("--num_gpus", type=positive, default=1, help="GPUs to use at all (default 1; without a GPU, the CPU works)")
    add("--gpus_per_net", type=positive, default=1, help="GPUs to use for one net at most (default 1)")
    add(
        "--num_workers",
        type=positive,
        default=1,
        help="nets that train, or experiments, at the same time (default 1)",
    )
    add("--cache", type=path, help="folder for temporary data and downloaded weights")


def chosen(options: argparse.Namespace, by_default: Callable[[Any], bool]) -> list[Any]:
    """Return the experiments that are meant: in the order given, else in that of their names.

    Args:
        options: Parsed flags of ``add_common``.
        by_default: Says of an experiment whether it is meant where none is named.

    Raises:
        ConfigError: No project, or no such experiment.
    """
    root, wanted = options.project, options.name
    if root is None:
        root, here = project_around(Path.cwd())
        wanted = wanted or here
        if root is None:
            raise ConfigError("--project is missing, and the current folder is in no project: give --project.")
    root = root.absolute()
    if not (root / "experiments").is_dir():
        raise ConfigError(f"--project {root} is no project: it has no folder experiments.")
    if options.cache is not None:
        _use_cache(options)
    project = project_at(root)
    found = {experiment.name(): experiment for experiment in _experiments(project)}
    found = dict(sorted(found.items(), key=lambda entry: _by_number(entry[0])))
    if not found:
        raise ConfigError(f"--project {root} has no experiment: none of the folders in experiments has a config.yaml.")
    if not wanted:
        return [experiment for experiment in found.values() if _is_meant(experiment, by_default, options)]
    found.update(_linked(project, [name for name in wanted if name not in found]))
    for name in wanted:
        if name not in found:
            known = ", ".join(sorted(found))
            raise ConfigError(f"--name {name!r} is no experiment of {root}{nearest(name, found)}; there are: {known}.")
    return [found[name] for name in wanted]


def _by_number(name: str) -> list[tuple[str, int]]:
    """Return a key that orders names as people number them: exp2 before exp10."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [*((part, 0) if number % 2 == 0 else ("", int(part)) for number, part in enumerate(parts)), (name, 0)]


def _is_meant(experiment: Any, by_default: Callable[[Any], bool], options: argparse.Namespace) -> bool:
    """Say whether an experiment is meant; one whose files cannot be read is named, and passed over."""
    try:
        return by_default(experiment)
    except Exception as error:
        options.passed_over = [*getattr(options, "passed_over", []), experiment.name()]
        print(printable(f"{experiment.name()}: passed over: {sentence(error)}"), file=sys.stderr)  # noqa: T201
        return False


def _experiments(project: Any) -> list[Any]:
    """Return the experiments of a project; musket_core's own search goes round in circles of links."""
    from musket_core.experiment import Experiment

    folders = [path.parent for path in config_files(Path(project.experimentsPath()))]
    outermost = [folder for folder in folders if not any(other in folder.parents for other in folders)]
    return [Experiment(str(folder), project=project) for folder in outermost]


def _linked(project: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return the experiments of these names that only a link names, such as ``latest``."""
    found = {
        name: project.byName(name) for name in names if ".." not in Path(name).parts and not Path(name).is_absolute()
    }
    return {name: experiment for name, experiment in found.items() if experiment is not None}


def project_at(root: Path) -> Any:
    """Return musket_core's ``Project`` of a folder."""
    from musket_core.projects import Project

    return Project(str(root))


def prepare_experiment(experiment: Any, options: argparse.Namespace) -> None:
    """Give an experiment what the flags say of devices and cache.

    Raises:
        ConfigError: Its YAML is of another dialect.
    """
    experiment.gpus = options.gpus_per_net
    experiment.num_gpus = max(options.num_gpus, options.gpus_per_net)
    experiment.num_workers = options.num_workers
    experiment.cache = options.cache
    if not experiment.files.config.is_file():
        raise ConfigError(f"{experiment.files.config} is no file, but a folder, a pipe or a device: replace it.")
    if not experiment.ours:
        raise ConfigError(f"{experiment.files.config} does not begin with #%Musket MMDetection 1.0: add that line.")


def _use_cache(options: argparse.Namespace) -> None:
    options.cache = options.cache.absolute()
    try:
        options.cache.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--cache {options.cache} cannot be made ({reason}): give a folder.") from None
    from musket_core import caches

    caches.CACHE_DIR = str(options.cache)
