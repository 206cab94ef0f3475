"""``summary.yaml``: whether an experiment is finished is told by its first words, without reading the numbers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError, one_line
from .regular_file import open_regular
from .yaml_files import SAFE_LOADER, parse_yaml, read_yaml

COMPLETED = "completed"


def is_completed(path: Path) -> bool:
    """Say whether a summary is that of a finished experiment; it is read up to this word.

    Raises:
        ConfigError: The file cannot be read, or what comes before the word is no YAML.
    """
    try:
        with open_regular(path, "rb") as file:
            return bool(_value_of(COMPLETED, yaml.parse(file, Loader=SAFE_LOADER)))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from None


def read_summary(path: Path) -> dict[str, Any]:
    """Return a summary.

    Raises:
        ConfigError: The file cannot be read, is no YAML, or holds no mapping.
    """
    try:
        summary = read_yaml(path)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(summary, dict):
        raise ConfigError(
            f"{path} holds a {type(summary).__name__}, expected a mapping: delete it; musket fit --only_report true "
            "writes it anew."
        )
    return summary


def _value_of(key: str, events: Iterable[yaml.Event]) -> Any:
    """Return the plain value of a key of the outermost mapping, ``None`` where there is no such mapping, key or value.

    Args:
        key: The key.
        events: What ``yaml.parse`` yields; no more of it is asked for than it takes.
    """
    depth, name = 0, None
    for event in events:
        if isinstance(event, yaml.SequenceStartEvent) and not depth:
            return None
        if isinstance(event, yaml.ScalarEvent) and depth <= 1:
            if not depth:
                return None
            if name == key:
                return parse_yaml(event.value) if event.implicit[0] else event.value
        if depth == 1 and not isinstance(event, yaml.CollectionEndEvent):
            name = event.value if name is None and isinstance(event, yaml.ScalarEvent) else None
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"{path} cannot be read ({one_line(error)}): put it back, or delete it; musket fit --only_report true writes "
        "it anew."
    )
