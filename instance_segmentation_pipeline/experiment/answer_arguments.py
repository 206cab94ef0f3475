"""Arguments of the methods that predict, checked before a net is loaded; both spellings of one are understood."""

from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

from ..config.schema import NEGATIVES, PER_POSITIVE
from ..data.epoch_items import ALL, NONE
from ..errors import ConfigError, shortened


def batch_size_of(batch_size: Any, other_spelling: Any = None) -> "int | None":
    """Return the batch size that was asked for, ``None`` for that of the properties.

    Args:
        batch_size: ``batch_size``, as methods on datasets spell it.
        other_spelling: ``batchSize``, as those on folders spell it in Musket.

    Raises:
        ConfigError: Both are given, or it is no whole number of 1 or more.
    """
    if batch_size is not None and other_spelling is not None:
        raise ConfigError("batchSize and batch_size mean the same: give one of the two.")
    value = other_spelling if batch_size is None else batch_size
    if value is None:
        return None
    if not _is_whole(value) or value < 1:
        raise ConfigError(f"the batch size is {shortened(value)}, expected a whole number from 1, or None.")
    return int(value)


def limit_of(limit: Any) -> int:
    """Return how many items are looked at, -1 for all.

    Raises:
        ConfigError: It is no whole number, or below -1.
    """
    if limit is None:
        return -1
    if not _is_whole(limit) or limit < -1:
        raise ConfigError(f"limit is {shortened(limit)}, expected a whole number from 0, or -1 for all.")
    return int(limit)


def negatives_of(value: Any) -> "str | float":
    """Return which items without objects are meant.

    Raises:
        ConfigError: It is nothing that ``negatives`` of a stage can be.
    """
    if isinstance(value, str) and value in (*ALL, NONE):
        return value
    try:
        return PER_POSITIVE(value)
    except ValueError:
        raise ConfigError(f"negatives is {shortened(value)}, but it must be {NEGATIVES}.") from None


def flag_of(value: Any, name: str) -> bool:
    """Return a flag.

    Raises:
        ConfigError: It is neither true nor false.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is {shortened(value)}, expected True or False.")
    return value


def folder_of(value: Any, name: str) -> Path:
    """Return the path of a folder.

    Raises:
        ConfigError: It is no path.
    """
    if not isinstance(value, (str, PathLike)) or not str(value):
        raise ConfigError(f"{name} is {shortened(value)}, expected the path of a folder.")
    return Path(value)


def function_of(value: Any, name: str) -> Any:
    """Return a function that is to be called.

    Raises:
        ConfigError: It cannot be called.
    """
    if not callable(value):
        raise ConfigError(f"{name} is {shortened(value)}, expected a function.")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
