"""``keras.metrics`` whose ``get`` knows the objects that musket_core registered."""

from typing import Any

from ....deferred import deferred_call
from ._loading import keras as _keras
from .utils import get_custom_objects


def get(identifier: Any) -> Any:
    if isinstance(identifier, str) and identifier in get_custom_objects():
        return get_custom_objects()[identifier]
    return deferred_call(f"keras.metrics.get({identifier!r})", lambda: _keras.metrics.get(identifier))


def __getattr__(name: str) -> Any:
    return getattr(_keras.metrics, name)
