"""Arguments of augmenters from YAML to what imgaug takes: which lists are ranges, which are choices, which are neither.

imgaug's own ranges are tuples, which YAML does not have. A list of two numbers is a range there, as Musket's
documentation means it, unless the table here says otherwise; ``choice: [...]`` is a choice everywhere.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np

from ...detection.arrays import AnyArray
from ...errors import ConfigError, nearest, shortened

LARGEST_SIDE = 32_767
"""Pixels: OpenCV remaps no larger images."""


class Form(Enum):
    """What a list means for a parameter."""

    RANGE = "two numbers are a range, more a choice"
    CHOICE = "a choice of its values"
    SIDES = "two numbers are a range, four are top, right, bottom, left"
    PAIR = "x and y, each a number or a range"
    PLAIN = "as it is"
    MATRIX = "rows of a matrix"
    AUGMENTERS = "augmenters"


CHILDREN = ("augmenters", "background", "children", "else_list", "foreground", "then_list")
CHOICES = (
    "aggregation_method",
    "backend",
    "fill_mode",
    "from_colorspace",
    "interpolation",
    "interpolation_heatmaps",
    "interpolation_segmaps",
    "mode",
    "order",
    "pad_mode",
    "to_colorspace",
    "upscale_method",
)
FORMS: dict[tuple[str, str], Form] = {
    ("BlendAlphaRegularGrid", "alpha"): Form.CHOICE,
    ("BlendAlphaSomeColors", "alpha"): Form.CHOICE,
    ("Canny", "hysteresis_thresholds"): Form.PAIR,
    ("ChannelShuffle", "channels"): Form.PLAIN,
    ("Convolve", "matrix"): Form.MATRIX,
    ("Crop", "percent"): Form.SIDES,
    ("Crop", "px"): Form.SIDES,
    ("CropAndPad", "percent"): Form.SIDES,
    ("CropAndPad", "px"): Form.SIDES,
    ("Pad", "percent"): Form.SIDES,
    ("Pad", "px"): Form.SIDES,
    ("RainLayer", "blur_sigma_limits"): Form.PAIR,
    ("Rot90", "k"): Form.CHOICE,
    ("SomeOf", "n"): Form.PAIR,
    ("SnowflakesLayer", "blur_sigma_limits"): Form.PAIR,
    ("WithChannels", "channels"): Form.PLAIN,
}
"""What a list means, by class and parameter; ``position`` is a pair, ``CHOICES`` are choices, all others ranges."""

AXES = {
    ("Affine", "scale"): ("x", "y"),
    ("Affine", "shear"): ("x", "y"),
    ("Affine", "translate_percent"): ("x", "y"),
    ("Affine", "translate_px"): ("x", "y"),
    ("AverageBlur", "k"): (),
    ("Resize", "size"): ("height", "width", "shorter-side", "longer-side"),
}
"""Keys of the mappings that parameters take in place of one value for both axes."""

PROBABILITIES = frozenset({"Fliplr", "Flipud", "Invert", "Sometimes", "Solarize", "TotalDropout", "ChannelShuffle"})
"""Classes whose ``p`` is how often they act: imgaug takes numbers there that are no probability."""

TEXTS = {
    ("Affine", "mode"): ("constant", "edge", "symmetric", "reflect", "wrap"),
    ("ElasticTransformation", "mode"): ("constant", "nearest", "reflect", "wrap"),
    ("PerspectiveTransform", "mode"): ("constant", "replicate"),
    ("PiecewiseAffine", "mode"): ("constant", "edge", "symmetric", "reflect", "wrap"),
}
"""Texts that parameters take, where imgaug finds out about others late."""

SIDES = frozenset({"height", "px", "size", "width"})
"""Parameters in pixels that may make an image larger."""

OURS = ("name", "seed", "random_state", "deterministic")
"""Arguments of every augmenter of imgaug that are not the YAML's to give."""


def parameters_of(cls: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of an augmenter class that YAML may give, in their order, by name."""
    given = list(inspect.signature(cls).parameters.values())
    return {one.name: one for one in given if one.name not in OURS and one.kind is not one.VAR_POSITIONAL}


def check_names(given: Mapping[Any, Any], cls: type, name: str, where: str) -> None:
    """Raise a ``ConfigError`` for an argument that the class does not have, or that lacks."""
    known = parameters_of(cls)
    if any(one.kind is one.VAR_KEYWORD for one in known.values()):
        return
    for key in given:
        if key in OURS:
            raise ConfigError(
                f"{where}.{key} is not the YAML's to give: random_state seeds the augmentation: remove it."
            )
        if key not in known:
            listed = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ConfigError(
                f"{where}.{shortened(key)[1:-1]} is no argument of {name}{nearest(str(key), known)}: {listed}."
            )
    for key, one in known.items():
        if one.default is one.empty and key not in given:
            raise ConfigError(f"{where}.{key} is missing: {name} needs it.")


def form_of(cls: type, parameter: str) -> Form:
    """Return what a list means for a parameter of a class, or of the nearest class that it extends."""
    if parameter in CHILDREN:
        return Form.AUGMENTERS
    for base in cls.__mro__:
        if (base.__name__, parameter) in FORMS:
            return FORMS[base.__name__, parameter]
    if parameter == "position":
        return Form.PAIR
    return Form.CHOICE if parameter in CHOICES else Form.RANGE


def converted(value: Any, cls: type, parameter: str, where: str) -> Any:
    """Return an argument as imgaug takes it.

    Raises:
        ConfigError: It is none that any augmenter takes; ``where`` is its place in the YAML.
    """
    if isinstance(value, dict) and set(value) == {"choice"}:
        return _checked(_choice(value["choice"], f"{where}.choice"), cls, parameter, where)
    if isinstance(value, dict):
        axes = next((AXES[b.__name__, parameter] for b in cls.__mro__ if (b.__name__, parameter) in AXES), ())
        wrong = next((key for key in value if key not in axes), None)
        if wrong is not None or not value:
            expected = f"{', '.join(axes)} or choice" if axes else "choice"
            found = "is an empty mapping" if wrong is None else f"has the key {shortened(wrong)}"
            raise ConfigError(f"{where} {found}, expected a number, a range [low, high], or {expected}.")
        return {key: converted(entry, cls, f"{parameter}.{key}", f"{where}.{key}") for key, entry in value.items()}
    form = form_of(cls, parameter)
    if isinstance(value, list):
        made = _LISTS[form](value, where)
        return made if form is Form.MATRIX else _checked(made, cls, parameter, where)
    value = _scalar(value, where)
    _checked([value], cls, parameter, where)
    if parameter == "p" and cls.__name__ in PROBABILITIES and _is_number(value) and not 0 <= value <= 1:
        raise ConfigError(f"{where} is {shortened(value)}, but it is a probability: give a number from 0 to 1.")
    return value


def _checked(values: Any, cls: type, parameter: str, where: str) -> Any:
    """Return values; raise a ``ConfigError`` for a text that the parameter does not take, or a side too long."""
    known = next((TEXTS[base.__name__, parameter] for base in cls.__mro__ if (base.__name__, parameter) in TEXTS), None)
    is_side = not SIDES.isdisjoint(parameter.split("."))
    for value in values:
        if known is not None and isinstance(value, str) and value not in known:
            raise ConfigError(f"{where} is {shortened(value)}{nearest(value, known)}, expected {', '.join(known)}.")
        if is_side and _is_number(value) and abs(value) > LARGEST_SIDE:
            raise ConfigError(f"{where} is {shortened(value)}, but images have at most {LARGEST_SIDE} pixels a side.")
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _scalar(value: Any, where: str) -> Any:
    if isinstance(value, str):
        try:
            value = float(value)  # YAML 1.1 reads 1e-3 as text
        except ValueError:
            return value
    if _is_number(value) and not (math.isfinite(value) and abs(value) < 2**31):
        raise ConfigError(f"{where} is {shortened(value)}, expected a finite number.")
    if value is not None and not isinstance(value, (bool, int, float)):
        raise ConfigError(f"{where} is a {type(value).__name__}, expected a number, a range [low, high] or a text.")
    return value


def _choice(values: Any, where: str) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where} is {shortened(values)}, expected a list of the values to choose from.")
    chosen = [_scalar(value, f"{where}[{number}]") for number, value in enumerate(values)]
    if len({isinstance(value, str) for value in chosen}) > 1:
        raise ConfigError(f"{where} is {shortened(values)}, expected numbers alone or texts alone.")
    return chosen


def _range(values: list[Any], where: str) -> Any:
    if not values:
        raise ConfigError(f"{where} is an empty list, expected a range [low, high].")
    numbers = [_scalar(value, f"{where}[{number}]") for number, value in enumerate(values)]
    if len(numbers) != 2 or not all(_is_number(value) for value in numbers):
        return _choice(values, where)
    low, high = numbers
    if low > high:
        raise ConfigError(f"{where} is {shortened(values)}, whose low end is above the high one: swap them.")
    return low, high


def _sides(values: list[Any], where: str) -> Any:
    if len(values) == 2:
        return _range(values, where)
    if len(values) != 4:
        raise ConfigError(f"{where} has {len(values)} values, expected 2 (a range) or 4 (top, right, bottom, left).")
    return tuple(
        _range(value, f"{where}[{number}]") if isinstance(value, list) else _scalar(value, f"{where}[{number}]")
        for number, value in enumerate(values)
    )


def _pair(values: list[Any], where: str) -> Any:
    if len(values) != 2:
        raise ConfigError(f"{where} has {len(values)} values, expected 2.")
    return tuple(
        _range(value, f"{where}[{number}]") if isinstance(value, list) else _scalar(value, f"{where}[{number}]")
        for number, value in enumerate(values)
    )


def _plain(values: list[Any], where: str) -> list[Any]:
    if not values:
        raise ConfigError(f"{where} is an empty list, expected numbers.")
    return [_scalar(value, f"{where}[{number}]") for number, value in enumerate(values)]


def _matrix(values: list[Any], where: str) -> AnyArray:
    rows = values if all(isinstance(row, list) and len(row) == len(values[0]) for row in values) else []
    if not rows or not all(_is_number(value) for row in rows for value in row):
        raise ConfigError(f"{where} is {shortened(values)}, expected the rows of a matrix, equally long, of numbers.")
    return np.asarray(rows, np.float32)


_LISTS: dict[Form, Callable[[list[Any], str], Any]] = {
    Form.RANGE: _range,
    Form.CHOICE: _choice,
    Form.SIDES: _sides,
    Form.PAIR: _pair,
    Form.PLAIN: _plain,
    Form.MATRIX: _matrix,
}
