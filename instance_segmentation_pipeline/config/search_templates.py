"""Parameters of a search in an experiment's YAML: texts that are expressions of them, and what uses which."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .search_space import space_of
from .templates import evaluated, filled_in, names_in

SEARCH_KEYS = ("hyperparameters", "max_evals", "pruning")
"""Properties that declare a search; a trial has none of them."""

_CONDITION = re.compile(r"if\s*\((?P<inner>.*)\)", re.DOTALL)


def without_search(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of an experiment's YAML without those that declare a search."""
    return {key: value for key, value in properties.items() if key not in SEARCH_KEYS}


def with_parameters(value: Any, parameters: Mapping[str, Any], where: str = "config.yaml") -> Any:
    """Return a value of the YAML with parameters filled in.

    A text that is an expression of parameters, and of nothing else that has a name, becomes its value; of a list, an
    entry ``if(condition): what`` over parameters becomes ``what``, or nothing. Keys stay as they are.

    Raises:
        ConfigError: An expression has no value.
    """
    if isinstance(value, dict):
        return {key: with_parameters(entry, parameters, f"{where}: {key}") for key, entry in value.items()}
    if not isinstance(value, list):
        return filled_in(value, parameters, where)
    filled = []
    for entry in value:
        condition = _condition(entry, parameters)
        if condition is None:
            filled.append(with_parameters(entry, parameters, where))
        elif evaluated(condition, parameters, where):
            filled.append(with_parameters(next(iter(entry.values())), parameters, where))
    return filled


def with_first_values(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties with the first value of each parameter filled in; themselves where there is no search.

    Raises:
        ConfigError: A parameter is declared wrongly, or an expression has no value.
    """
    if properties.get("hyperparameters") is None:
        return dict(properties)
    space = space_of(properties["hyperparameters"])
    first = {name: one.first() for name, one in space.items()}
    kept = {key: properties[key] for key in SEARCH_KEYS if key in properties}
    return {**with_parameters(without_search(properties), first), **kept}


def parameters_used(value: Any, names: Mapping[str, Any]) -> set[str]:
    """Return the parameters that a value of the YAML refers to."""
    return set(_used(value, names))


def _used(value: Any, names: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, dict):
        for entry in value.values():
            yield from _used(entry, names)
    elif isinstance(value, list):
        for entry in value:
            condition = _condition(entry, names)
            yield from names_in(condition, anywhere=True) if condition is not None else ()
            yield from _used(entry, names)
    elif isinstance(value, str):
        found = {value} if value in names else names_in(value)
        yield from found if found <= set(names) else ()


def _condition(entry: Any, names: Mapping[str, Any]) -> "str | None":
    """Return the condition of an entry of a list, where it is one over parameters of the search."""
    if not isinstance(entry, dict) or len(entry) != 1:
        return None
    match = _CONDITION.fullmatch(str(next(iter(entry))).strip())
    if match is None:
        return None
    found = names_in(match["inner"], anywhere=True)
    return match["inner"] if found and found <= set(names) else None
