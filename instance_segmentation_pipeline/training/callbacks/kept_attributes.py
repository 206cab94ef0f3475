"""Attributes of a project's callback as plain data, which checkpoints may hold, and back."""

import random
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

State = dict[str, Any]

KIND = "musket:kind"
"""Key of a mapping that stands for a value which is no plain one."""

MOST_DEPTH = 20

WITHOUT_STATE = (type, np.ufunc, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType)
"""What an attribute may be that is the same in each run, so that it need not be kept."""

_FACTORIES = {kind.__name__: kind for kind in (int, float, str, bool, list, dict, set, tuple)}
_GENERATORS = {kind.__name__: kind for kind in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64)}


class _NotPlainError(Exception):
    """A value has no plain form."""


def kept_of(attributes: Mapping[str, Any]) -> tuple[State, dict[str, str]]:
    """Return attributes as data for a checkpoint, and the types of those that cannot be kept, by name.

    Kept are ``None``, truth values, numbers, texts, bytes, arrays and scalars of NumPy (without objects), tensors,
    dates, paths, lists, tuples, sets, mappings, ``deque``, ``Counter``, ``defaultdict``, ``OrderedDict`` of such, and
    random generators of Python and NumPy. Only values of these very types are kept: a subclass may be more.
    """
    kept, lost = {}, {}
    for name, value in attributes.items():
        if isinstance(value, WITHOUT_STATE):
            continue
        try:
            kept[name] = _plain(value, 0)
        except _NotPlainError as error:
            lost[name] = str(error)
    return kept, lost


def restored(kept: Any) -> Any:
    """Return the value of which ``kept_of`` made data."""
    if type(kept) in (list, tuple):
        return type(kept)(restored(one) for one in kept)
    if not isinstance(kept, dict):
        return kept.clone() if isinstance(kept, torch.Tensor) else kept
    if KIND not in kept:
        return {key: restored(one) for key, one in kept.items()}
    return _RESTORED[kept[KIND]](kept)


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str, bytes, complex):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return _array(value)
    if kind is torch.Tensor:
        return value.detach().cpu().clone()
    if depth > MOST_DEPTH:
        raise _NotPlainError(f"{kind.__name__}, more than {MOST_DEPTH} deep")
    return _container(value, kind, depth + 1)


def _container(value: Any, kind: type, depth: int) -> Any:
    if kind in (list, tuple):
        return kind(_plain(one, depth) for one in value)
    if kind is dict and KIND not in value and all(type(key) in (str, int) for key in value):
        return {key: _plain(one, depth) for key, one in value.items()}
    if kind in (dict, OrderedDict, Counter, defaultdict):
        return {KIND: kind.__name__, "items": _plain(list(value.items()), depth), **_factory(value)}
    if kind in (set, frozenset, deque):
        return {KIND: kind.__name__, "items": _plain(list(value), depth), "most": getattr(value, "maxlen", None)}
    return _of_object(value, depth)


def _array(value: Any) -> Any:
    if value.dtype.kind not in "biufcSU":
        raise _NotPlainError(f"{type(value).__name__} of {value.dtype}")
    return value.copy() if type(value) is np.ndarray else value


def _factory(value: Any) -> State:
    """Return what a ``defaultdict`` makes of a key that is not there."""
    made = getattr(value, "default_factory", None)
    if made is not None and _FACTORIES.get(getattr(made, "__name__", "")) is not made:
        raise _NotPlainError("defaultdict of something else than a type of Python's")
    return {} if made is None else {"factory": made.__name__}


def _of_object(value: Any, depth: int) -> State:
    if type(value) in (date, datetime):
        return {KIND: type(value).__name__, "items": value.isoformat()}
    if isinstance(value, Path):
        return {KIND: "Path", "items": str(value)}
    if type(value) is random.Random:
        return {KIND: "Random", "items": value.getstate()}
    if type(value) is np.random.Generator and type(value.bit_generator).__name__ in _GENERATORS:
        return {KIND: "Generator", "items": _plain(value.bit_generator.state, depth)}
    raise _NotPlainError(type(value).__name__)


def _python_generator(kept: State) -> random.Random:
    made = random.Random()
    made.setstate(restored(kept["items"]))
    return made


def _numpy_generator(kept: State) -> np.random.Generator:
    state = restored(kept["items"])
    made = _GENERATORS[state["bit_generator"]]()
    made.state = state
    return np.random.Generator(made)


_RESTORED: Mapping[str, Any] = {
    "dict": lambda kept: dict(restored(kept["items"])),
    "OrderedDict": lambda kept: OrderedDict(restored(kept["items"])),
    "Counter": lambda kept: Counter(dict(restored(kept["items"]))),
    "defaultdict": lambda kept: defaultdict(_FACTORIES.get(kept.get("factory", "")), restored(kept["items"])),
    "set": lambda kept: set(restored(kept["items"])),
    "frozenset": lambda kept: frozenset(restored(kept["items"])),
    "deque": lambda kept: deque(restored(kept["items"]), kept["most"]),
    "date": lambda kept: date.fromisoformat(kept["items"]),
    "datetime": lambda kept: datetime.fromisoformat(kept["items"]),
    "Path": lambda kept: Path(kept["items"]),
    "Random": _python_generator,
    "Generator": _numpy_generator,
}
