"""Tasks: functions marked ``@tasks.task`` in a project's modules, run on an experiment."""

import contextlib
import importlib
import inspect
import os
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from musket_core import context
from musket_core.datasets import DataSet
from musket_core.model import FoldsAndStages, Model
from tqdm import tqdm

from ..config.loader import read_mapping
from ..data.providers import project_modules
from ..errors import ConfigError, nearest, one_line, sentence
from ..launch.deadline import Deadline
from ..launch.executors import Executor
from ..launch.jobs import Job
from ..launch.scheduler import scheduler_for
from ..storage.atomic import write_yaml
from ..text import printable
from .item_tables import plain
from .visualizing import is_analyzer, is_filter, is_visualizer, task_of, visualize_task

ALL = "all"
Task = Callable[..., Any]
"""A function of a project that was marked ``@tasks.task``, or one that this package ships."""


def find_tasks(project: Path) -> dict[str, Task]:
    """Return the tasks of a project by name: those of its modules and imports, and those that this package ships.

    Its visualizers and analyzers are tasks too; a task of the same name goes first.

    Raises:
        ConfigError: A module cannot be imported.
    """
    from . import builtin as shipped

    found, marked, filters = _tasks_in(shipped), dict[str, Any](), dict[str, Any]()
    for module in modules_of(project):
        found.update(_tasks_in(module))
        members = {key: value for key, value in vars(module).items() if not key.startswith("_")}
        marked.update({key: one for key, one in members.items() if is_visualizer(one) or is_analyzer(one)})
        filters.update({key: one for key, one in members.items() if is_filter(one)})
    shown = {key: task_of(key, one, filters) for key, one in marked.items()}
    visualizers = {key: one for key, one in marked.items() if is_visualizer(one)}
    return {**shown, **found, "visualize": visualize_task(visualizers, filters)}


def modules_of(project: Path) -> Iterator[Any]:
    """Give the modules of a project, those that ``common.yaml`` imports first.

    Raises:
        ConfigError: One cannot be imported.
    """
    common = project / "common.yaml"
    imports = read_mapping(common).get("imports") or [] if os.path.lexists(common) else []
    imports = [imports] if isinstance(imports, str) else imports
    for name in dict.fromkeys([*imports, *project_modules(project)]):
        try:
            yield importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise ConfigError(f"{project}: the module {name!r} cannot be imported: {one_line(error)}.") from error


def choose_tasks(project: Path, names: Sequence[str]) -> dict[str, Task]:
    """Return the tasks of these names; ``all`` stands for the project's own.

    Raises:
        ConfigError: There is no such task.
    """
    from . import builtin as shipped

    known = find_tasks(project)
    own = [name for name, function in known.items() if is_own(function, shipped.__name__)]
    chosen = dict.fromkeys(name for wanted in names for name in (own if wanted == ALL else [wanted]))
    for name in chosen:
        if name not in known:
            raise ConfigError(
                f"--task {name!r} is no task of {project}{nearest(name, known)}; there are: {', '.join(sorted(known))}."
            )
    return {name: known[name] for name in chosen}


def run_task(name: str, function: Task, experiment: Any, given: Mapping[str, Any]) -> Path:
    """Run a task on an experiment, in the folder of the task's name below the experiment's.

    Args:
        name: The task's name.
        function: The task. A parameter annotated with a ``musket_core.model.Model`` gets the experiment, or the folds
            and stages of ``given``; one annotated with a ``DataSet`` the dataset whose name is given.
        experiment: A ``musket_core.experiment.Experiment`` of ours.
        given: Arguments by name; for a model, ``folds`` and ``stages``.

    Returns:
        The folder; what the task returned is in its ``result.yaml``.

    Raises:
        UserError: An argument is missing, unknown or wrong.
    """
    cfg = experiment.parse_config()
    folder: Path = experiment.files.root / getattr(function, "folder", name)
    arguments = _bound(name, function, cfg, given)
    here, made = Path.cwd(), [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    context.context.projectPath = cfg.get_project_path()
    try:
        os.chdir(folder)
        result = function(**arguments)
    except BaseException:
        os.chdir(here)
        for one in made:
            with contextlib.suppress(OSError):  # what it wrote stays
                one.rmdir()
        raise
    finally:
        os.chdir(here)
    if result is not None:
        write_yaml(folder / "result.yaml", plain(result))
    return folder


def _tasks_in(module: Any) -> dict[str, Task]:
    return {name: value for name, value in vars(module).items() if getattr(value, "task", None) is True}


def is_own(function: Task, shipped: str) -> bool:
    """Say whether a task is one that a project marked ``@tasks.task``."""
    return getattr(function, "task", None) is True and function.__module__ != shipped


def _bound(name: str, function: Task, cfg: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters
    kinds = typing.get_type_hints(function)
    choice = {key: given[key] for key in ("folds", "stages") if key in given and key not in parameters}
    unknown = [key for key in given if key not in parameters and key not in choice]
    if unknown:
        known = list(parameters)
        raise ConfigError(f"task {name}: {unknown[0]!r} is no parameter of it{nearest(unknown[0], known)}: remove it.")
    values: dict[str, Any] = {}
    for key, parameter in parameters.items():
        kind = kinds.get(key)
        if inspect.isclass(kind) and issubclass(kind, Model):
            values[key] = _model(cfg, choice or given.get(key) or {})
        elif inspect.isclass(kind) and issubclass(kind, DataSet) and key in given:
            values[key] = cfg.dataset_named(given[key])
        elif key in given:
            values[key] = given[key]
        elif parameter.default is inspect.Parameter.empty:
            what = "a dataset's name" if inspect.isclass(kind) and issubclass(kind, DataSet) else "a value"
            raise ConfigError(f"task {name}: the parameter {key!r} is missing: give --parameters '{{{key}: {what}}}'.")
    return values


def _model(cfg: Any, choice: Mapping[str, Any]) -> Any:
    """Return the experiment, or some of its folds and stages; checked before the task starts."""
    if not choice:
        return cfg
    unknown = [key for key in choice if key not in ("folds", "stages")]
    if unknown:
        raise ConfigError(f"a model is chosen by folds and stages, but {unknown[0]!r} was given.")
    return FoldsAndStages(cfg, cfg.folds_of(choice.get("folds")), cfg.stages_of(choice.get("stages")))


def run_all(
    experiments: Sequence[Any],
    tasks: Mapping[str, Callable[..., Any]],
    given: Mapping[str, Any],
    slots: Sequence[Sequence[str]],
) -> list[str]:
    """Run each task on each experiment; print what came of it, and return a sentence for each that failed.

    Args:
        experiments: Experiments of ours.
        tasks: Tasks by name.
        given: Arguments by name.
        slots: Devices of the experiments that are worked with at the same time (``launch.devices.leases``); where there
            is one, they are in turn, in this process.
    """

    def job(experiment: Any) -> Job:
        def work(executor: Executor, _: Deadline) -> list[str]:
            if len(slots) > 1 and len(experiments) > 1:  # one alone has all devices
                experiment.lease = executor.devices
            return _run_each(experiment, tasks, given)

        return Job(experiment.name(), work)

    jobs = [job(experiment) for experiment in experiments]
    failures: list[str] = []
    for outcome in scheduler_for(slots, len(jobs)).run(jobs):
        failures += [f"{outcome.label}: {outcome.error}"] if outcome.error else outcome.result
    return failures


def _run_each(experiment: Any, tasks: Mapping[str, Callable[..., Any]], given: Mapping[str, Any]) -> list[str]:
    failures = []
    for name, function in tasks.items():
        what = f"{experiment.name()}: task {name}"
        try:
            folder = run_task(name, function, experiment, given)
        except (Exception, SystemExit) as error:
            failures.append(f"{what} failed: {sentence(error)}")
        else:
            result = folder / "result.yaml"
            tqdm.write(printable(f"{what}: done, {result if result.exists() else folder}"))
    return failures
