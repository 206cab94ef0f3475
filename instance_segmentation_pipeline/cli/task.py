"""``python -m musket_core.task``, and ``musket task``: run tasks on the experiments of a project."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, UserError
from ..text import printable
from .argument_types import boolean, names, numbers_or_all, stages_or_word
from .project_lookup import add_common, chosen, prepare_experiment


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    task = argparse.ArgumentParser(
        prog="musket task",
        description="Run tasks (functions marked @tasks.task) on the experiments of a project.",
        epilog="Tasks of every project: export_predictions, draw_dataset, confusion_matrix, visualize, and the "
        "names of its visualizers and analyzers.",
    )
    add_common(task, "all that are finished")
    add = task.add_argument
    add("--task", type=names, default=["all"], help="tasks, separated by commas; all: those of the project (default)")
    add("--parameters", default="{}", help="arguments of the tasks, such as '{dataset: holdout}'")
    add("--folds", type=numbers_or_all, help="folds that the model stands for, such as 0,2 (default all)")
    add("--stages", type=stages_or_word, help="stages that the model stands for: 0,1, last, all, average (default all)")
    add("--allow_resume", type=boolean, default=False, help="false; tasks train nothing, so that true is refused")
    add("--force_recalc", type=boolean, default=False, help="forget stored predictions first (default false)")
    add("--launch_tasks", type=boolean, default=False, help="false; --task names what runs, so that true is refused")
    return task


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run the tasks; return 0, or 1 when one failed, or 2 when nothing could be started."""
    options = parser().parse_args(arguments)
    try:
        _refuse(options)
        given = _given(options)
        experiments = chosen(options, lambda experiment: experiment.isCompleted())
        if not experiments:
            raise ConfigError("no experiment of the project is finished: train one, or name one with --name.")
        for experiment in experiments:
            prepare_experiment(experiment, options)
        from ..launch.devices import leases
        from ..tasks.runner import choose_tasks, run_all

        tasks = choose_tasks(Path(experiments[0].project.path), options.task)
        if not tasks:
            raise ConfigError("the project has no task: mark a function of its modules with @tasks.task.")
        slots = leases(options.num_gpus, 1, options.num_workers)
    except UserError as error:
        print(f"musket task: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if options.force_recalc:
        from ..storage.archive import forget_predictions

        for experiment in experiments:
            forget_predictions(experiment.files)
    failures = run_all(experiments, tasks, given, slots)
    for failure in failures:
        print(printable(failure), file=sys.stderr)  # noqa: T201
    return 1 if failures or getattr(options, "passed_over", None) else 0


def _refuse(options: argparse.Namespace) -> None:
    """Refuse the flags of ``fit`` that mean nothing here, with the names of what does their job."""
    if options.gpus_per_net > 1:
        raise ConfigError(
            f"--gpus_per_net {options.gpus_per_net}: tasks predict, for which a net takes one device: give --num_gpus "
            "and --num_workers, for several at the same time."
        )
    if options.allow_resume:
        raise ConfigError("--allow_resume true: tasks train nothing: musket fit --allow_resume true goes on training.")
    if options.launch_tasks:
        raise ConfigError("--launch_tasks true is for musket fit: --task names the tasks to run.")


def _given(options: argparse.Namespace) -> dict[str, Any]:
    import yaml

    from ..storage.yaml_files import parse_yaml

    try:
        given = parse_yaml(options.parameters) or {}
    except yaml.YAMLError:
        given = None
    if not isinstance(given, dict):
        raise ConfigError(f"--parameters {options.parameters!r} is no mapping such as '{{dataset: holdout}}'.")
    chosen_parts = {"folds": options.folds, "stages": options.stages}
    return {**given, **{key: value for key, value in chosen_parts.items() if value is not None}}
