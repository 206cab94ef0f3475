"""Learning rates as functions of the iteration: the curves of LRVariator, their chains, and the cycles of CyclicLR.

Pure arithmetic. The curves are those of Musket's documentation, the cycles those of https://arxiv.org/abs/1506.01186.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...config.callback_table import CYCLIC, VARIATOR
from ...config.callbacks import Callback
from ...errors import ConfigError


def _sine(x: float) -> float:
    return 1.0 if x == 1 else math.sin(x * math.pi / 2)


def _cosine(x: float) -> float:
    return 0.0 if x == 1 else math.cos(x * math.pi / 2)  # of pi / 2 it is 6e-17


_CURVES: Mapping[str, Callable[[float], float]] = {
    "const": lambda x: 0.0,
    "linear": lambda x: x,
    "sin+": _sine,
    "sin-": lambda x: 1 - _sine(x),
    "cos+": lambda x: 1 - _cosine(x),
    "cos-": _cosine,
}
_SHORT = {"sin": "sin+", "cos": "cos-"}


def share(style: "str | float", x: float) -> float:
    """Return how far a curve is from its first value (0) to its last (1).

    Musket's documentation writes ``sin(2x/pi)`` and ``cos(2x/pi)``, which end at .594 and .804; its later text and
    the names of the curves say ``sin(x*pi/2)`` and ``cos(x*pi/2)``, which reach 1 and 0, as here.

    Args:
        style: A name, or the power of ``x``.
        x: Position in the curve, from 0 to 1.

    >>> share("sin", 1.0), share("cos-", 1.0), share(2.0, 0.5)
    (1.0, 0.0, 0.25)
    """
    if isinstance(style, str):
        return _CURVES[_SHORT.get(style, style)](x)
    return float(x**style)


@dataclass(frozen=True)
class Curve:
    """One ``LRVariator``: its first iteration has one end of the curve, its last the other.

    Attributes:
        steps: How many iterations it lasts.
        first: ``fromVal``; ``None`` for the rate that it finds.
        last: ``toVal``.
        style: Name of the curve, or a power.
    """

    steps: int
    first: "float | None"
    last: float
    style: "str | float"

    def at(self, step: int, found: float) -> float:
        """Return the rate of one of its iterations, counted from 0; ``found`` is the rate that it begins after."""
        first = found if self.first is None else self.first
        x = step / (self.steps - 1) if self.steps > 1 else 1.0
        ratio = share(self.style, x)
        if ratio in (0, 1):
            return self.last if ratio else first
        return first + ratio * (self.last - first)


@dataclass(frozen=True)
class Cycle:
    """``CyclicLR``: the rate rises and falls between two values."""

    base: float
    highest: float
    step_size: int
    mode: str
    gamma: float

    def at(self, step: int) -> float:
        """Return the rate of an iteration, counted from 0."""
        cycle = math.floor(1 + step / (2 * self.step_size))
        x = abs(step / self.step_size - 2 * cycle + 1)
        scale = {"triangular": 1.0, "triangular2": 2.0 ** (1 - min(cycle, 1000)), "exp_range": self.gamma**step}
        return self.base + (self.highest - self.base) * max(0.0, 1 - x) * scale[self.mode]


@dataclass(frozen=True)
class RateCurve:
    """The learning rate of every iteration of a stage.

    Attributes:
        curves: Those of a chain, one after the other.
        cycle: What follows them for the rest of the time.
        period: After so many iterations all begins anew.
    """

    curves: tuple[Curve, ...] = ()
    cycle: "Cycle | None" = None
    period: "int | None" = None

    @property
    def steps(self) -> int:
        """How many iterations the curves last."""
        return sum(curve.steps for curve in self.curves)

    def at(self, iteration: int, rate: float) -> float:
        """Return the rate of an iteration, counted from 0; ``rate`` is the stage's, that the first one finds."""
        step = iteration if self.period is None else iteration % self.period
        for curve in self.curves:
            if step < curve.steps:
                return curve.at(step, rate)
            rate, step = curve.at(curve.steps - 1, rate), step - curve.steps
        return rate if self.cycle is None else self.cycle.at(step)


def curve_of(declared: Callback, iterations: int) -> RateCurve:
    """Return the curve that a callback declares; what follows by a plateau is not part of it.

    Args:
        declared: ``LRVariator`` or ``CyclicLR``.
        iterations: Batches of an epoch.

    Raises:
        ConfigError: The chain is longer than its period.
    """
    links = list(declared.chain())
    curves = tuple(_curve(link.arguments, iterations) for link in links if link.name == VARIATOR)
    cycles = [_cycle(link.arguments) for link in links if link.name == CYCLIC]
    epochs, period = declared.arguments.get("periodEpochs"), declared.arguments.get("periodSteps")
    if epochs is not None:
        period = max(1, round(epochs * iterations))
    found = RateCurve(curves, cycles[0] if cycles else None, period)
    if period is not None and found.steps > period:
        raise ConfigError(
            f"{declared.where} lasts {found.steps} iterations, those that follow by then included, but begins anew "
            f"after {period} (an epoch has {iterations}), so that its end is never reached: make the period longer."
        )
    return found


def _curve(arguments: Mapping[str, Any], iterations: int) -> Curve:
    steps = arguments["absSize"]
    if steps is None:
        steps = max(1, int(arguments["relSize"] * iterations + 0.5))
    first, last = arguments["fromVal"], arguments["toVal"]
    return Curve(steps, first, 0.0 if last is None else last, arguments["style"])


def _cycle(arguments: Mapping[str, Any]) -> Cycle:
    return Cycle(*(arguments[key] for key in ("base_lr", "max_lr", "step_size", "mode", "gamma")))
