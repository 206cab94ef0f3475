"""Checks of single values of the YAML: each returns the value to use, or raises ``ValueError``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Check = Callable[[Any], Any]


@dataclass(frozen=True)
class Integer:
    """Accepts whole numbers from ``low`` to ``high``."""

    low: int
    high: int

    def __call__(self, value: object) -> int:
        """Return the value; raise a ``ValueError`` for another one."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise ValueError
        return value

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Number:
    """Accepts finite numbers in a range, also as text: YAML 1.1 reads ``1e-3`` as a string.

    ``above`` and ``below`` say that the ends themselves are outside.
    """

    low: float
    high: float
    above: bool = False
    below: bool = False

    def __call__(self, value: object) -> float:
        """Return the value as a float; raise a ``ValueError`` for another one."""
        if isinstance(value, bool) or not isinstance(value, (int, float, str)) or len(str(value)) > MOST_DIGITS:
            raise ValueError
        number = float(value)
        inside = self.low <= number <= self.high  # false for what is no number
        if not inside or (self.above and number == self.low) or (self.below and number == self.high):
            raise ValueError
        return number

    def __str__(self) -> str:
        low, high = (f"{end:g}" for end in (self.low, self.high))
        if self.above and self.below:
            return f"a number between {low} and {high}"
        return f"a number {'above' if self.above else 'from'} {low} {'to below' if self.below else 'to'} {high}"


MOST_DIGITS = 60
SIZES = Integer(1, 32_767)
"""Sides of an image in pixels: OpenCV remaps no larger ones."""

SEEDS = Integer(0, 2**32 - 1)
"""What NumPy's generators take."""

RATES = Number(0, 1000, above=True)
"""Learning rates; float32 weights are lost by far smaller ones."""

CLIPS = Number(0, 1_000_000_000, above=True)
"""What gradients are clipped to."""

SHARES = Number(0, 1)
INSIDE = Number(0, 1, above=True, below=True)
COUNTS = Integer(1, 10_000)
VERBOSITY = Integer(0, 2)
ITERATIONS = Integer(1, 1_000_000_000)


PRECISIONS = ("fp16", "bf16", "auto")


def boolean(value: object) -> bool:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise ValueError
    return value


def text(value: object) -> str:
    """Accept text that is not blank."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:  # no file's name holds that
        raise ValueError
    return value


def one_of(*words: str) -> Check:
    """Return a check that accepts these words."""

    def check(value: object) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return check


def precision(value: object) -> "bool | str":
    """Accept true, false, and the names of precisions."""
    if not isinstance(value, bool) and not (isinstance(value, str) and value in PRECISIONS):
        raise ValueError
    return value


def mapping(value: object) -> dict[str, Any]:
    """Accept mappings of names."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError
    return value


def names(value: object) -> list[str]:
    """Accept a name, or a list of names; return a list."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise ValueError
    return [text(name) for name in value]
