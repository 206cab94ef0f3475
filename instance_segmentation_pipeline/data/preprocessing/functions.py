"""The functions that steps name: those that the project's modules marked by musket_core's decorators."""

import importlib
import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from musket_core.datasets import PredictionItem

from ...config.step_chain import BUILT_IN, Step, names_in
from ...errors import ConfigError, UserError, nearest, one_line, shortened

_REST = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
_PREPROCESSOR = "dataset_preprocessor"


@dataclass(frozen=True)
class MarkedFunction:
    """What a module marked ``@preprocessing.dataset_preprocessor`` or ``@preprocessing.dataset_transformer``.

    Attributes:
        name: Its name in the module.
        function: The function or class itself, without the decorator.
        transforms_datasets: Whether it takes and gives a dataset, not an item.
    """

    name: str
    function: Any
    transforms_datasets: bool

    def bound(self, step: Step) -> "Bound":
        """Return the function with the arguments that a step gives it; a class is made an object of.

        Raises:
            ConfigError: It does not take these arguments, or cannot be made.
        """
        parameters = _parameters(self.function)
        arguments = _arguments(step, list(parameters), f"{step.where}: {self.name}")
        arguments.update({name: value for name, value in step.given.items() if name in parameters})
        missing = [
            name
            for name, one in parameters.items()
            if one.default is inspect.Parameter.empty and name not in arguments and one.kind not in _REST
        ]
        if missing:
            raise ConfigError(f"{step.where}: {self.name} is not given {', '.join(missing)}: give it.")
        try:
            made = Bound(self.function, self.name, arguments)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise ConfigError(f"{step.where}: {self.name} cannot be made: {one_line(error)}.") from error
        if not callable(made.function):
            raise ConfigError(
                f"{step.where}: {self.name} cannot be called: give the class a method __call__(self, input)."
            )
        return made

    @property
    def takes_items(self) -> bool:
        """Whether it takes a ``PredictionItem``, as its first parameter is annotated, and not the image alone."""
        called: Any = self.function
        if inspect.isclass(called):
            if "__call__" not in dir(called):
                return False
            called = called.__call__
        names = list(_signature(called))
        first = next((name for name in names if name != "self"), None)
        if first is None:
            return False
        try:
            annotation = typing.get_type_hints(called).get(first)
        except Exception:  # names of types that are not there at run time
            annotation = getattr(called, "__annotations__", {}).get(first)
        if isinstance(annotation, str):
            return annotation.strip("'\"").rpartition(".")[2] == "PredictionItem"
        return inspect.isclass(annotation) and bool(issubclass(annotation, PredictionItem))


class Bound:
    """A marked function with its arguments, or the object that a marked class is made with them.

    Processes that are not forked are handed its name: pickled by itself, it is not found below the decorator's wrapper.

    Args:
        marked: The function or class.
        name: Its name in its module.
        arguments: What it is given beside the item.
    """

    def __init__(self, marked: Any, name: str, arguments: dict[str, Any]) -> None:
        self._made_of = (str(marked.__module__), name, arguments)
        self._rest = {} if inspect.isclass(marked) else arguments
        self.function: Any = marked(**arguments) if inspect.isclass(marked) else marked

    def __call__(self, value: Any) -> Any:
        """Return what the function makes of an image, an item or a dataset."""
        return self.function(value, **self._rest)

    def __reduce__(self) -> tuple[Any, ...]:
        return _bound_anew, self._made_of


def _bound_anew(module: str, name: str, arguments: dict[str, Any]) -> Bound:
    found = getattr(importlib.import_module(module), name)
    return Bound(getattr(found, "original", found), name, arguments)


def find_function(step: Step, modules: Sequence[ModuleType], declared: Sequence[str]) -> MarkedFunction:
    """Return the function that a step names.

    Args:
        step: The step.
        modules: Where to look: the project's modules and ``imports``.
        declared: Names of the chains of ``declarations``, for the message.

    Raises:
        ConfigError: No module has such a function, or it is not marked.
    """
    unmarked = None
    for module in modules:
        found = vars(module).get(step.name)
        if found is None:
            continue
        if getattr(found, "preprocessor", False) is True:
            kind = str(getattr(found, "__qualname__", "")).partition(".")[0]
            return MarkedFunction(step.name, getattr(found, "original", found), kind != _PREPROCESSOR)
        unmarked = module
    if unmarked is not None:
        raise ConfigError(
            f"{step.where}: {step.name} of the module {unmarked.__name__} is no preprocessor: mark it "
            "@preprocessing.dataset_preprocessor, or @preprocessing.dataset_transformer where it takes a dataset."
        )
    known = [
        name for module in modules for name, one in vars(module).items() if getattr(one, "preprocessor", 0) is True
    ]
    known = list(dict.fromkeys([*known, *declared, *BUILT_IN]))
    raise ConfigError(
        f"{step.where}: {shortened(step.name)} is no preprocessor{nearest(step.name, known)}: known are "
        f"{', '.join(known[:30])}."
    )


def check_given(name: str, declared: Mapping[str, Any], modules: Sequence[ModuleType]) -> None:
    """See to it that what a declared chain gives to its steps by ``with`` is known by at least one of them.

    Args:
        name: The chain's name.
        declared: What ``declarations`` says of it: ``body`` and ``with``.
        modules: Where functions are looked for.

    Raises:
        ConfigError: An argument is known by none of the steps in ``body``, those of conditions included.
    """
    named = [vars(module).get(step) for step in names_in(declared["body"]) for module in modules]
    steps = [getattr(one, "original", one) for one in named if getattr(one, "preprocessor", False) is True]
    known = list(dict.fromkeys(parameter for step in steps for parameter in _parameters(step)))
    idle = next((key for key in declared["with"] if key not in known), None)
    if idle is not None:
        raise ConfigError(
            f"declarations.{name}.with gives {shortened(idle)}, which none of its steps takes{nearest(idle, known)}: "
            "correct or remove it."
        )


def _signature(function: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _parameters(function: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters that a step may give; of a function the first is the item."""
    every = list(_signature(function).items())
    return dict(every if inspect.isclass(function) else every[1:])


def _arguments(step: Step, names: list[str], where: str) -> dict[str, Any]:
    """Return a step's arguments by name."""
    arguments = step.arguments
    if isinstance(arguments, dict) and set(arguments) == {"args"} and "args" not in names:
        arguments = arguments["args"]
    if arguments is None:
        return {}
    if isinstance(arguments, dict):
        return _named(arguments, names, where)
    listed = arguments if isinstance(arguments, list) else [arguments]
    if len(listed) > len(names):
        takes = f"takes {', '.join(names)}" if names else "takes none"
        raise ConfigError(f"{where} is given {len(listed)} arguments ({shortened(listed)}), but {takes}.")
    return dict(zip(names, listed, strict=False))


def _named(arguments: dict[Any, Any], names: list[str], where: str) -> dict[str, Any]:
    unknown = next((key for key in arguments if key not in names), None)
    if unknown is not None and "kwargs" not in names:
        takes = f"it takes {', '.join(names)}" if names else "it takes none"
        raise ConfigError(f"{where} has no argument {shortened(unknown)}{nearest(str(unknown), names)}: {takes}.")
    return dict(arguments)
