"""From what was declared to callbacks: names are looked up and checked before training, objects made when it begins."""

import copy
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ...config.callback_table import BUILT_IN, CYCLIC, EARLY_STOPPING, LAMBDA, PLATEAU, REFUSED, TENSORBOARD, VARIATOR
from ...config.callbacks import Callback, two_owners
from ...errors import ConfigError, nearest, one_line
from ...metrics.metric_name import MetricName
from ...storage.experiment_files import ExperimentFiles, StageFiles
from .base import StageCallback
from .curves import curve_of
from .early_stopping import EarlyStopping
from .monitor import Measured, monitored
from .project import SETS_RATE, Functions, KerasBridge, check_arguments, check_methods, is_keras_class
from .rate import Plateau, RateSchedule
from .tensorboard import TensorBoard

Find = Callable[[str], Any]
"""Returns the function or class of the project's modules of a name; ``None`` where there is none."""


@dataclass(frozen=True)
class PlannedCallback:
    """A callback that can be made.

    Attributes:
        declared: What the YAML says.
        columns: The column of each monitor in its chain, by its place.
        made: The class or function of the project, or of MMEngine, that makes it.
        functions: Those of ``LambdaCallback``, by moment.
    """

    declared: Callback
    columns: Mapping[str, MetricName] = field(default_factory=dict)
    made: "Callable[..., Any] | None" = None
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    @property
    def sets_rate(self) -> bool:
        """Whether it sets the learning rate."""
        return self.declared.sets_rate or bool(getattr(self.made, SETS_RATE, False))

    @property
    def is_hook(self) -> bool:
        """Whether it is a hook of MMEngine's kind."""
        return inspect.isclass(self.made) and issubclass(self.made, Hook)


@dataclass(frozen=True)
class CallbackPlan:
    """The callbacks of a stage, looked up and checked; see ``plan_of``."""

    callbacks: tuple[PlannedCallback, ...] = ()

    @property
    def owner(self) -> "PlannedCallback | None":
        """The one that sets the learning rate."""
        return next((one for one in self.callbacks if one.sets_rate), None)

    @property
    def owner_note(self) -> "str | None":
        """What is said of the one that sets the learning rate: its name, and whether the stage's ``lr`` counts."""
        owner = self.owner
        if owner is None:
            return None
        name, arguments = owner.declared.name, owner.declared.arguments
        starts_at_lr = name == PLATEAU or (name == VARIATOR and arguments["fromVal"] is None)
        if not owner.declared.is_built_in:
            return f"{name}, which finds lr {{lr:g}}"
        return (
            f"{name}, from lr {{lr:g}}"
            if starts_at_lr
            else f"{name}, which has its own rates (lr {{lr:g}} is not used)"
        )

    def check_lengths(self, iterations: int) -> None:
        """See to it that curves fit their periods.

        Raises:
            ConfigError: One does not.
        """
        for one in self.callbacks:
            if one.declared.name in (VARIATOR, CYCLIC):
                curve_of(one.declared, iterations)

    def hooks(self) -> list[Hook]:
        """Make those that are MMEngine's hooks."""
        return [_hook(one) for one in self.callbacks if one.is_hook]

    def make(self, files: StageFiles) -> tuple[list[StageCallback], list[Hook]]:
        """Make the callbacks of a stage, and MMEngine's hooks among them.

        Args:
            files: Names of the stage's files.
        """
        return [_callback(one, files) for one in self.callbacks if not one.is_hook], self.hooks()


def plan_of(
    declared: Sequence[Callback],
    find: Find,
    known: Sequence[str],
    measured: Measured,
    primary: MetricName,
) -> CallbackPlan:
    """Return the plan of a stage's callbacks; no net is made.

    Args:
        declared: What the YAML declares.
        find: Looks a name up in the project's modules.
        known: Names of the classes and functions there, for messages.
        measured: What is computed after each epoch.
        primary: The metric that chooses the best weights.

    Raises:
        ConfigError: There is no such callback, argument, function or monitor, or two set the learning rate.
    """
    planned = tuple(_planned(one, find, known, measured, primary) for one in declared)
    owners = [one.declared.where for one in planned if one.sets_rate]
    if len(owners) > 1:
        raise two_owners(owners[0], owners[1])
    return CallbackPlan(planned)


def _planned(
    declared: Callback, find: Find, known: Sequence[str], measured: Measured, primary: MetricName
) -> PlannedCallback:
    for link in declared.chain():
        _check_ownership(link, find, known)
    columns = {
        link.where: monitored(link.arguments["monitor"], link.arguments["mode"], measured, link.where)
        for link in declared.chain()
        if link.name in (EARLY_STOPPING, PLATEAU)
    }
    if declared.name == EARLY_STOPPING and declared.arguments["restore_best_weights"]:
        _check_restoring(columns[declared.where], primary, declared.where)
    if declared.name == LAMBDA:
        moments = {moment: one for moment, one in declared.arguments.items() if one is not None}
        functions = {
            moment: _function(one, find, known, f"{declared.where}.{moment}") for moment, one in moments.items()
        }
        return PlannedCallback(declared, functions=functions)
    if declared.is_built_in:
        return PlannedCallback(declared, columns)
    made = find(declared.name)
    if made is None:
        made = HOOKS.get(declared.name)
    if made is None or not callable(made):
        hooks = [name for name in HOOKS.module_dict if name not in REFUSED]
        names = [*BUILT_IN, *known, *hooks]
        raise ConfigError(
            f"{declared.where}: there is no callback {declared.name!r}{nearest(declared.name, names)}: it is none of "
            f"{', '.join(BUILT_IN)}, no class or function of the project's modules, and no hook of MMEngine."
        )
    planned = PlannedCallback(declared, made=made)
    if planned.is_hook:
        check_hook(planned)
    else:
        _check_project(made, declared)
    return planned


def _check_ownership(declared: Callback, find: Find, known: Sequence[str]) -> None:
    """See to it that a name means one callback: not a built-in one, and one that the project defines, too."""
    if not declared.is_built_in:
        return
    for name in known:
        made = find(name) if name.lower() == declared.name.lower() else None
        is_callback = is_keras_class(made) or issubclass(made, Hook) if inspect.isclass(made) else made is not None
        if is_callback:
            raise ConfigError(
                f"{declared.where}: {declared.name} is built in, so that {name} of the project's modules would not be "
                f"used: rename it, such as to My{name}, and name that, or remove it for the built-in one."
            )


def _check_restoring(column: MetricName, primary: MetricName, where: str) -> None:
    if str(column) != str(primary) or column.lower_is_better != primary.lower_is_better:
        raise ConfigError(
            f"{where}: restore_best_weights goes by {column}, but the best weights, from which everything goes on, are "
            f"chosen by primary_metric {primary.text.removeprefix('val_')}: make the two one, or remove it."
        )


def _check_project(made: Any, declared: Callback) -> None:
    """See to it that a class or a function of the project can be a callback."""
    if inspect.isclass(made):
        if not is_keras_class(made):
            raise ConfigError(
                f"{declared.where}: {declared.name} is a class, but neither on keras.callbacks.Callback nor on "
                "mmengine.hooks.Hook: make it one of the two."
            )
        check_methods(made, declared.where)
    check_arguments(made, declared.arguments, declared.where)


def _function(given: str, find: Find, known: Sequence[str], where: str) -> Callable[..., Any]:
    found: Any = find(given)
    if not callable(found):
        raise ConfigError(
            f"{where} {given!r} is no function of the project's modules{nearest(given, known)}: define it there, or "
            "name its module in imports."
        )
    wanted = [object()] * (1 if "train_" in where.rpartition(".")[2] and "batch" not in where else 2)
    try:
        signature = inspect.signature(found)
        signature.bind(*wanted, **({"model": None} if "model" in signature.parameters else {}))
    except TypeError:
        takes = "logs" if len(wanted) == 1 else "the number of the epoch or batch, and logs"
        raise ConfigError(f"{where} {given!r} is called with {takes}, which it does not take: correct it.") from None
    except ValueError:
        pass  # some functions of C do not tell what they take
    made: Callable[..., Any] = found
    return made


def check_hook(planned: PlannedCallback) -> None:
    """See to it that a hook can be made of its arguments.

    Raises:
        ConfigError: It cannot.
    """
    assert planned.made is not None
    arguments = {key: value for key, value in planned.declared.arguments.items() if key != "priority"}
    check_arguments(planned.made, arguments, planned.declared.where)
    _hook(planned)


def _hook(planned: PlannedCallback) -> Hook:
    declared = planned.declared
    arguments: dict[str, Any] = copy.deepcopy(dict(declared.arguments))
    priority = arguments.pop("priority", None)
    assert planned.made is not None
    try:
        hook: Hook = planned.made(**arguments)
        if priority is not None:
            from mmengine.runner import get_priority

            hook.priority = get_priority(priority)
    except Exception as error:
        raise ConfigError(f"{declared.where} cannot be made ({one_line(error)[:300]}): correct it.") from error
    return hook


def _callback(planned: PlannedCallback, files: StageFiles) -> StageCallback:
    declared = planned.declared
    name, arguments = declared.name, declared.arguments
    if name == EARLY_STOPPING:
        return EarlyStopping(arguments, planned.columns[declared.where])
    if name == PLATEAU:
        return Plateau(arguments, planned.columns[declared.where])
    if name in (VARIATOR, CYCLIC):
        last = list(declared.chain())[-1]
        plateau = Plateau(last.arguments, planned.columns[last.where]) if last.name == PLATEAU else None
        return RateSchedule(name, partial(curve_of, declared), plateau)
    if name == TENSORBOARD:
        return TensorBoard(arguments, _folder(arguments["log_dir"], files))
    if name == LAMBDA:
        return Functions(name, planned.functions)
    assert planned.made is not None
    return KerasBridge(name, partial(planned.made, **copy.deepcopy(dict(arguments))))


def _folder(given: "str | None", files: StageFiles) -> Path:
    """Return where a stage's event files go: a folder of its own in ``log_dir``.

    A ``log_dir`` in the experiment's folder is one in that of each seed and trial. Several would write into one outside
    of it: there each has a folder by its place, from the experiment's name on.
    """
    if given is None:
        return files.logs / "tensorboard"
    stage = files.logs.name
    if Path(os.path.normpath(files.root / given)).is_relative_to(os.path.normpath(files.root)):
        return files.root / given / stage
    base = ExperimentFiles.in_folder(files.root).base
    return base / given / files.root.relative_to(base.parent) / stage
