"""``musket fit``: train the experiments of a project. ``python -m musket_core.fit`` is the same program."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, UserError, nearest, one_line
from .arguments import boolean, fold_numbers, names, positive, project_around


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    fit = argparse.ArgumentParser(
        prog="musket fit",
        description="Train the experiments of a project, and write their metrics, pictures and summaries.",
        epilog="Inside an experiment's folder --project and --name are not needed.",
    )
    add = fit.add_argument
    add("--project", type=Path, help="root of the project; by default the one around the current folder")
    add("--name", type=names, help="experiments to train, separated by commas; by default all that are not finished")
    add("--num_gpus", type=positive, default=1, help="GPUs to use at all (default 1; without a GPU, the CPU trains)")
    add("--gpus_per_net", type=positive, default=1, help="GPUs to use for one net at most (default 1)")
    add("--num_workers", type=positive, default=1, help="nets to train at the same time (default 1)")
    add("--cache", type=Path, help="folder for temporary data and downloaded weights")
    add("--folds", type=fold_numbers, help="folds to train, such as 0,2 (default all)")
    add("--allow_resume", type=boolean, default=False, help="go on where an earlier run stopped (default false)")
    add("--force_recalc", type=boolean, default=False, help="compute the summaries anew, without training")
    add("--only_report", type=boolean, default=False, help="only compute the summaries of what is trained")
    add("--launch_tasks", type=boolean, default=False, help="run the project's tasks after training (default false)")
    add("--time", type=int, default=-1, help="seconds after which training ends, at the end of an epoch")
    return fit


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Train; return 0, or 1 when an experiment failed, or 2 when nothing could be started."""
    options = parser().parse_args(arguments)
    try:
        experiments = _chosen(options)
    except UserError as error:
        return _say(f"musket fit: {error}", 2)
    failed = [experiment.name() for experiment in experiments if not _fit(experiment, options)]
    if failed:
        count = len(experiments)
        return _say(f"musket fit: {len(failed)} of {count} experiments failed: {', '.join(failed)}.", 1)
    if options.launch_tasks:
        return _run_tasks(experiments)
    return 0


def _chosen(options: argparse.Namespace) -> list:
    """Return the experiments to train, in the order given."""
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
    project = _project(root)
    found = {experiment.name(): experiment for experiment in project.experiments()}
    if not found:
        raise ConfigError(f"--project {root} has no experiment: none of the folders in experiments has a config.yaml.")
    if not wanted:
        return [experiment for experiment in found.values() if options.only_report or not experiment.isCompleted()]
    for name in wanted:
        if name not in found:
            known = ", ".join(sorted(found))
            raise ConfigError(f"--name {name!r} is no experiment of {root}{nearest(name, found)}; there are: {known}.")
    return [found[name] for name in wanted]


def _use_cache(options: argparse.Namespace) -> None:
    options.cache = options.cache.absolute()
    options.cache.mkdir(parents=True, exist_ok=True)
    from musket_core import caches

    caches.CACHE_DIR = str(options.cache)


def _project(root: Path) -> Any:
    from musket_core.projects import Project

    return Project(str(root))


def _fit(experiment: Any, options: argparse.Namespace) -> bool:
    """Train one experiment; say what went wrong, and whether it went well."""
    experiment.allowResume = options.allow_resume
    experiment.gpus = options.gpus_per_net
    experiment.onlyReports = options.only_report or options.force_recalc
    experiment.folds = options.folds
    experiment.time = options.time
    experiment.cache = options.cache
    began = time.monotonic()
    print(f"{experiment.name()}: {experiment.files.root}", flush=True)  # noqa: T201
    try:
        if not experiment.ours:
            raise ConfigError(f"{experiment.files.config} does not begin with #%Musket MMDetection 1.0: add that line.")
        experiment.fit()
    except UserError as error:
        _say(f"{experiment.name()}: {error}", 1)
        return False
    except Exception as error:
        _say(f"{experiment.name()}: {one_line(error)} (see {experiment.files.error})", 1)
        return False
    _report(experiment, time.monotonic() - began)
    return True


def _report(experiment: Any, seconds: float) -> None:
    from ..reporting.progress import duration
    from ..reporting.tables import experiment_table, last_pictures

    if not experiment.isCompleted():
        print(f"{experiment.name()}: time is over; --allow_resume true goes on.")  # noqa: T201
        return
    summary, cfg = experiment.metrics(), experiment.parse_config()
    result = cfg.result_of(summary)
    print(experiment_table(experiment.files, summary, cfg.primary_metric, cfg.better))  # noqa: T201
    print(f"{experiment.name()}: done in {duration(seconds)}, result {result:.4f}")  # noqa: T201
    print(f"  summary {experiment.files.summary}")  # noqa: T201
    for picture in last_pictures(experiment.files, summary):
        print(f"  picture {picture}")  # noqa: T201


def _run_tasks(experiments: Sequence[Any]) -> int:
    """Run every task of the project on each experiment, as ``musket_core.task`` would with ``--task all``."""
    for experiment in experiments:
        for task in experiment.project.get_tasks():
            here = Path.cwd()
            for todo in task.createTodo(experiment, None, experiment.project):
                try:
                    todo.func(todo)
                except Exception as error:
                    words = " ".join(str(error).split())
                    return _say(f"{experiment.name()}: task {task.name} failed: {words}", 1)
                finally:
                    os.chdir(here)
    return 0


def _say(message: str, status: int) -> int:
    print(message, file=sys.stderr, flush=True)  # noqa: T201
    return status
