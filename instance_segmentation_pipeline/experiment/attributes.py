"""What can be set on a config after it was read: each attribute acts, or is refused with what does its job."""

from typing import Any

from ..config.refusals import refusal
from ..config.schema import PROPERTIES, check_property
from ..errors import ConfigError, nearest, shortened
from .augmented_views import is_own, views_for
from .stage import DetectionStage

PROPERTY_NAMES = frozenset(entry.name for entry in PROPERTIES)

OTHERS = frozenset({"holdoutArr", "path", "canceled_by_timer"})
"""Attributes of Musket that are no properties of the YAML, and act here too."""


def without_numpy(value: Any) -> Any:
    """Return a value with scalars and arrays of NumPy or torch, at any depth, as plain numbers, texts and lists.

    A list or mapping that has none stays the same object.
    """
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return value.tolist()
    if type(value) in (list, tuple):
        made = [without_numpy(entry) for entry in value]
        return value if all(one is entry for one, entry in zip(made, value, strict=True)) else type(value)(made)
    if type(value) is dict:
        filled = {key: without_numpy(entry) for key, entry in value.items()}
        return value if all(filled[key] is entry for key, entry in value.items()) else filled
    return value


def check_attribute(config: Any, name: str, value: Any) -> Any:
    """Return the value that an attribute of a config is set to.

    Args:
        config: The config.
        name: The attribute.
        value: What it is to be.

    Raises:
        ConfigError: The value is not one that the property of that name can have, or the attribute decides nothing.
    """
    if name == "stages" and isinstance(value, list):
        value = [one.properties() if isinstance(one, DetectionStage) else one for one in value]
    if name in PROPERTY_NAMES:
        value = check_property(name, without_numpy(value))
        if name == "hyperparameters" and value is not None and config.hyperparameters is None:
            raise ConfigError("hyperparameters cannot be set on a config read without them: write them in its YAML.")
        if name == "testTimeAugmentation" and is_own(value):
            views_for(value, config.parts.datasets)
        return value
    there = getattr(type(config), name, None)
    if isinstance(there, property) and there.fset is None:
        raise ConfigError(f"{name} follows from other attributes of the config, and cannot be set.")
    if callable(there) and not callable(value):
        raise ConfigError(f"{name} is a method of the config, and cannot be {shortened(value)}.")
    if name in OTHERS or name.startswith("_") or hasattr(type(config), name):
        return value
    known = [*PROPERTY_NAMES, *OTHERS, *(one for one in dir(type(config)) if not one.startswith("_"))]
    words = refusal(name) or f"{name} is no attribute of the config, so that setting it decides nothing"
    raise ConfigError(f"{words.removesuffix('.')}{nearest(name, known) if refusal(name) is None else ''}.")
