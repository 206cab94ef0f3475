"""Lists of metrics in the YAML: names, and for the summary's also mappings of a name to what is asked of it."""

from collections.abc import Sequence
from typing import Any

from ..errors import ConfigError, nearest, shortened
from .values import names, text

FOR_VALIDATION = "for_validation"
"""Key of a metric of ``final_metrics``: whether it is computed each epoch, too."""

EPOCH_METRICS = "a metric's name or a list of names"
FINAL_METRICS = "a metric's name, a list of names, or a mapping of names to {for_validation: true}"


def epoch_metrics(value: object) -> list[str]:
    """Accept a name or a list of names, each once.

    Raises:
        ConfigError: One stands there twice.
    """
    return _each_once([text(name) for name in names(value)], "metrics")


def final_metrics(value: object) -> "list[str | dict[str, Any]]":
    """Accept names, and mappings of a name to ``{for_validation: true}`` as Musket writes them.

    Raises:
        ConfigError: A mapping says something else of a metric.
    """
    if isinstance(value, str):
        return [text(value)]
    if isinstance(value, dict):
        value = [{name: said} for name, said in value.items()]
    if not isinstance(value, list):
        raise ValueError
    entries = [_entry(one) for one in value]
    _each_once([name for name, _ in named(entries)], "final_metrics")
    return entries


def named(entries: "Sequence[str | dict[str, Any]]") -> list[tuple[str, bool]]:
    """Return the name of each entry of ``final_metrics``, and whether it is computed each epoch, too."""
    pairs = []
    for one in entries:
        name, said = (one, None) if isinstance(one, str) else next(iter(one.items()))
        pairs.append((str(name), bool((said or {}).get(FOR_VALIDATION, False))))
    return pairs


def _entry(entry: object) -> "str | dict[str, Any]":
    if not isinstance(entry, dict):
        return text(entry)
    if len(entry) != 1:
        raise ValueError
    name, said = next(iter(entry.items()))
    where = f"final_metrics.{text(name)}"
    if said is not None and not isinstance(said, dict):
        raise ConfigError(f"{where} is {shortened(said)}, but it must be a mapping such as {{for_validation: true}}.")
    for key, value in (said or {}).items():
        if key != FOR_VALIDATION:
            known = nearest(str(key), [FOR_VALIDATION])
            raise ConfigError(f"{where}.{key} is not known{known}: a metric has {FOR_VALIDATION}, true or false.")
        if not isinstance(value, bool):
            raise ConfigError(f"{where}.{FOR_VALIDATION} is {shortened(value)}, but it must be true or false.")
    return {str(name): said}


def _each_once(given: list[str], key: str) -> list[str]:
    twice = [name for name in dict.fromkeys(given) if given.count(name) > 1]
    if twice:
        raise ConfigError(f"{key} has {shortened(twice[0])} {given.count(twice[0])} times: name it once.")
    return given
