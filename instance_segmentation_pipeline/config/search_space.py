"""``hyperparameters``: which values each parameter of a search can have, in musket_core's form and in hyperopt's.

musket_core's: ``[low, high]``; ``{range: [low, high]}`` with ``type: float`` or ``integer``; ``{enum: […]}`` with a
``type`` or without. hyperopt's, by the names of its expressions: ``{loguniform: [low, high]}`` and so on; bounds are
always those of the value, also of ``loguniform``.
"""

import keyword
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, nearest, shortened

MOST_PARAMETERS, MOST_CHOICES = 100, 200
LARGEST = 1e12

CHOICE, INTEGER, RANDINT = "choice", "uniformint", "randint"
STEPPED = ("quniform", "qloguniform")
LOGARITHMIC = ("loguniform", "qloguniform")
KINDS = (CHOICE, "uniform", "loguniform", *STEPPED, INTEGER, RANDINT)
"""Expressions of hyperopt that bound what they draw."""

_NEAR = 1e-9
"""Steps that a bound may lie beside a multiple, by rounding."""

UNBOUNDED = ("normal", "qnormal", "lognormal", "qlognormal")
TYPES = ("float", "integer", "string")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a search.

    Attributes:
        name: As the YAML refers to it.
        kind: One of ``KINDS``.
        choices: The values of a ``choice``, in order.
        low: The smallest value of any other kind.
        high: The largest one.
        step: What a stepped one is a multiple of.
    """

    name: str
    kind: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether values are whole numbers."""
        whole = all(isinstance(one, int) for one in (self.low, self.high, self.step))
        return self.kind in (INTEGER, RANDINT) or (self.kind in STEPPED and whole)

    def first(self) -> Any:
        """Return a value to check things with before any is drawn: the first choice, or the middle."""
        if self.kind == CHOICE:
            return self.choices[0]
        if self.kind in LOGARITHMIC:
            return self.of_number(math.sqrt(self.low * self.high))
        return self.of_number((self.low + self.high) / 2)

    def ends(self) -> list[Any]:
        """Return the values that a config is checked with: all choices, or the smallest and the largest."""
        return list(self.choices) if self.kind == CHOICE else [self.of_number(self.low), self.of_number(self.high)]

    def of_number(self, number: float) -> "int | float":
        """Return a number that was drawn as a value of this parameter; not for choices."""
        if self.kind in STEPPED:
            least, most = math.ceil(self.low / self.step - _NEAR), math.floor(self.high / self.step + _NEAR)
            number = float(f"{min(max(round(number / self.step), least), most) * self.step:.12g}")
        number = min(max(number, self.low), self.high)
        return round(number) if self.is_whole else float(number)

    def number_of(self, value: Any) -> "int | float":
        """Return what hyperopt knows a value as: the position of a choice, or the number.

        Raises:
            ValueError: It is no value of this parameter.
        """
        if self.kind == CHOICE:
            return [_kept(one) for one in self.choices].index(_kept(value))
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            raise ValueError
        return value


Space = dict[str, Parameter]
"""The parameters of a search, by their names."""


def space_of(value: Any) -> Space:
    """Return the parameters that ``hyperparameters`` declares.

    Raises:
        ConfigError: One is declared wrongly; the message says which.
    """
    if not isinstance(value, dict) or not value:
        raise ConfigError(
            f"hyperparameters is {shortened(value)}, but it must be a mapping of parameters to their values, as "
            "{rate: {loguniform: [0.0001, 0.01]}}."
        )
    if len(value) > MOST_PARAMETERS:
        raise ConfigError(f"hyperparameters has {len(value)} parameters, expected {MOST_PARAMETERS} at most.")
    for name in value:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or not name.isascii():
            raise ConfigError(
                f"hyperparameters: {shortened(name)} is no name of a parameter: use letters, digits and _, no digit "
                "first, and no word of Python."
            )
    return {name: _parameter(name, declared) for name, declared in value.items()}


def _parameter(name: str, declared: Any) -> Parameter:
    where = f"hyperparameters.{name}"
    if isinstance(declared, list):
        return _bounded(name, "uniform", declared, where)
    if not isinstance(declared, dict) or not declared:
        raise ConfigError(
            f"{where} is {shortened(declared)}, but it must be [low, high], or a mapping with range, enum or one of "
            f"{', '.join(KINDS)}."
        )
    if "range" in declared or "enum" in declared:
        return _of_musket(name, declared, where)
    words = list(declared)
    if len(words) != 1 or words[0] not in KINDS:
        raise ConfigError(_no_kind(words, where))
    kind, given = words[0], declared[words[0]]
    return Parameter(name, CHOICE, _choices(given, where)) if kind == CHOICE else _bounded(name, kind, given, where)


def _no_kind(words: list[Any], where: str) -> str:
    word = next((one for one in words if one not in KINDS), words[-1])
    if word in UNBOUNDED:
        return (
            f"{where}: {word} has no bounds, so that no value of it can be checked before: give uniform or loguniform."
        )
    if word == "pchoice":
        return f"{where}: pchoice weighs its choices, which this search does not: give choice."
    if word == "type":
        return f"{where} has a type, but neither range nor enum: give one of them."
    known = ("range", "enum", "type", *KINDS)
    if word in KINDS:
        return f"{where} has {shortened(words)}, but one of them decides: remove the others."
    near = nearest(str(word), known)
    return f"{where} has {shortened(word)}{near}: use range or enum with type, or one of {', '.join(KINDS)}."


def _of_musket(name: str, declared: Mapping[str, Any], where: str) -> Parameter:
    """Return a parameter of musket_core's form; without ``type``, a range has floats, and an enum is as written."""
    unknown = [key for key in declared if key not in ("range", "enum", "type")]
    if unknown:
        raise ConfigError(f"{where} has {shortened(unknown[0])} beside range, enum and type: remove it.")
    if "range" in declared and "enum" in declared:
        raise ConfigError(f"{where} has range and enum: remove one.")
    kind = declared.get("type")
    if kind is not None and kind not in TYPES:
        raise ConfigError(f"{where}.type is {shortened(kind)}, but it must be one of {', '.join(TYPES)}.")
    if "enum" in declared:
        return Parameter(name, CHOICE, tuple(_typed(one, kind, where) for one in _choices(declared["enum"], where)))
    if kind == "string":
        raise ConfigError(f"{where} is a range of strings: give enum.")
    return _bounded(name, INTEGER if kind == "integer" else "uniform", declared["range"], where)


def _typed(value: Any, kind: "str | None", where: str) -> Any:
    if kind is None or (kind == "string" and isinstance(value, str)):
        return value
    number = None if kind == "string" else _as_number(value)
    if number is not None and (kind == "float" or float(number).is_integer()):
        return float(number) if kind == "float" else int(number)
    raise ConfigError(f"{where}.enum has {shortened(value)}, which is no {kind}: correct it, or remove type.")


def _choices(values: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where} has {shortened(values)} to choose from, but it must be a list of values.")
    if len(values) > MOST_CHOICES:
        raise ConfigError(f"{where} has {len(values)} values to choose from, expected {MOST_CHOICES} at most.")
    kept = [_kept(value) for value in values]
    twice = next((value for value, one in zip(values, kept, strict=True) if kept.count(one) > 1), None)
    if len({str(one) for one in kept}) < len(kept):
        raise ConfigError(f"{where} has {shortened(twice)} twice: remove one.")
    return tuple(values)


def _kept(value: Any) -> Any:
    """Return a value that equals another only where the YAML's are the same: 1, 1.0 and true are three."""
    if isinstance(value, dict):
        return ("{}", tuple((key, _kept(entry)) for key, entry in value.items()))
    if isinstance(value, (list, tuple)):
        return ("[]", tuple(_kept(entry) for entry in value))
    return (type(value).__name__, repr(value))


def _bounded(name: str, kind: str, given: Any, where: str) -> Parameter:
    if kind == RANDINT and not isinstance(given, list):
        given = [0, given]
    count = 3 if kind in STEPPED else 2
    form = "[low, high, step]" if count == 3 else "[low, high]"
    if not isinstance(given, list) or len(given) != count:
        raise ConfigError(f"{where}: {kind} is {shortened(given)}, but it must be {form}.")
    low, high, *rest = (_number(one, kind in (INTEGER, RANDINT), where) for one in given)
    if kind == RANDINT:
        high -= 1
    if low >= high and not (kind in (INTEGER, RANDINT) and low == high):
        raise ConfigError(
            f"{where}: {kind} is {shortened(given)}, whose low end is not below the high one: correct it."
        )
    if kind in LOGARITHMIC and low <= 0:
        raise ConfigError(f"{where}: {kind} is {shortened(given)}, but what is drawn by its logarithm is above 0.")
    step = rest[0] if rest else 0.0
    if rest and not 0 < step <= high - low:
        raise ConfigError(f"{where}: {kind} has a step of {shortened(step)}, expected one above 0 to {high - low:g}.")
    return Parameter(name, kind, (), low, high, step)


def _as_number(value: Any) -> "int | float | None":
    """Return a number, or what a text stands for: YAML 1.1 reads ``1e-3`` as a string; ``None`` for all else."""
    if isinstance(value, str) and len(value) < 60:
        try:
            return float(value)
        except ValueError:
            return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _number(value: Any, whole: bool, where: str) -> Any:
    """Return a bound."""
    number = _as_number(value)
    if number is None or not abs(number) <= LARGEST or (whole and not float(number).is_integer()):
        raise ConfigError(
            f"{where} has the bound {shortened(value)}, expected a {'whole ' * whole}number of {LARGEST:g} at most."
        )
    return int(number) if whole else number
