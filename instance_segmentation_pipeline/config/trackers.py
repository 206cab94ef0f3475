"""``trackers``, ``description`` and ``tags``: who is told of a training, and how an experiment is called there."""

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, nearest, shortened
from .values import Check, text

MODES = ("online", "offline")
"""Where wandb keeps a run: on its server, or in a folder for ``wandb sync``."""


def _mode(value: object) -> str:
    if value not in MODES:
        raise ValueError
    return str(value)


ARGUMENTS: dict[str, dict[str, Check]] = {
    "tensorboard": {},
    "mlflow": {"tracking_uri": text, "experiment": text},
    "wandb": {"project": text, "entity": text, "mode": _mode},
}
"""Each tracker, and what it can be given."""

OTHERS = ("aim", "clearml", "neptune", "dvclive")
"""Trackers that MMEngine has a backend for, none of which goes on with a run where a training goes on."""

TRACKERS = f"a tracker's name ({', '.join(ARGUMENTS)}), a mapping of it to its arguments, or a list of these"
TAGS = "a list of words, or a mapping of names to values"


def check_trackers(value: object) -> list[dict[str, dict[str, Any]]]:
    """Accept names and mappings of a name to arguments; return a list of such mappings.

    Raises:
        ConfigError: There is no such tracker, or argument of it.
    """
    if isinstance(value, str):
        value = [value]
    if isinstance(value, dict):
        value = [{name: given} for name, given in value.items()]
    if not isinstance(value, list):
        raise ValueError
    found = [_tracker(one) for one in value]
    names = [next(iter(one)) for one in found]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ConfigError(f"trackers has {twice[0]} {names.count(twice[0])} times: name it once.")
    return found


def _tracker(entry: object) -> dict[str, dict[str, Any]]:
    if isinstance(entry, dict):
        if len(entry) != 1:
            raise ValueError
        name, given = next(iter(entry.items()))
    else:
        name, given = entry, None
    text(name)
    if name not in ARGUMENTS:
        why = "is not known" if name not in OTHERS else "is none that a resumed training could go on with"
        raise ConfigError(f"trackers: {shortened(name)} {why}{nearest(str(name), ARGUMENTS)}: use {_known()}.")
    if given is not None and not isinstance(given, dict):
        raise ConfigError(f"trackers.{name} is {shortened(given)}, but it must be a mapping of its arguments.")
    return {name: _arguments(name, given or {})}


def _arguments(name: str, given: Mapping[Any, Any]) -> dict[str, Any]:
    known = ARGUMENTS[name]
    checked = {}
    for key, value in given.items():
        if key not in known:
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"trackers.{name} has no argument {shortened(key)}{nearest(str(key), known)}: {there}.")
        try:
            checked[str(key)] = known[key](value)
        except (ValueError, TypeError):
            form = " or ".join(MODES) if key == "mode" else "text"
            raise ConfigError(f"trackers.{name}.{key} is {shortened(value)}, but it must be {form}.") from None
    return checked


def _known() -> str:
    *first, last = ARGUMENTS
    return f"{', '.join(first)} or {last}"


def check_tags(value: object) -> "list[str] | dict[str, str]":
    """Accept words, or names with values; numbers become text."""
    if isinstance(value, list):
        return [_word(one) for one in value]
    if isinstance(value, dict):
        return {text(name): _word(one) for name, one in value.items()}
    return [text(value)]


def _word(value: object) -> str:
    return text(str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value)


def tags_by_name(tags: "list[str] | dict[str, str]") -> dict[str, str]:
    """Return tags as names with values; a word alone has the value ``true``."""
    return dict(tags) if isinstance(tags, dict) else dict.fromkeys(tags, "true")
