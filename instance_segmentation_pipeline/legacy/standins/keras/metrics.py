"""``keras.metrics`` whose ``get`` knows the objects that musket_core registered."""

from typing import Any

import keras.metrics as _real

from .utils import get_custom_objects


def get(identifier: Any) -> Any:
    if isinstance(identifier, str) and identifier in get_custom_objects():
        return get_custom_objects()[identifier]
    return _real.get(identifier)


def __getattr__(name: str) -> Any:
    return getattr(_real, name)
