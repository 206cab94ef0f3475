"""Which learning rate a sweep speaks for: where the smoothed loss falls fastest, and a tenth of where it diverges."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

FEWEST = 20
"""Batches that a suggestion takes at least."""

FALL = 0.01
"""What the smoothed loss falls by at least, as a share of itself: less is noise."""

MEDIAN, SHARE = 5, 0.05
"""The smoothed loss is the median of so many batches, then a Gaussian of this share of the batches."""


@dataclass(frozen=True)
class RateSuggestion:
    """What a sweep speaks for.

    Attributes:
        rate: The learning rate to begin with.
        steepest: The rate at which the smoothed loss falls fastest, per factor of the rate; ``None`` where it never
            falls.
        below_divergence: A tenth of the rate at which the sweep ended; ``None`` where the loss stayed finite and low.
        smoothed: The smoothed loss of each finite batch.
    """

    rate: float
    steepest: "float | None"
    below_divergence: "float | None"
    smoothed: NDArray[np.float64]

    @property
    def reason(self) -> str:
        """Return which of the two the rate is, in words."""
        if self.steepest is not None and self.rate == self.steepest:
            return "the smoothed loss falls fastest there"
        return "an order of magnitude below where the loss diverged"


def suggested_rate(lrs: Sequence[float], losses: Sequence[float]) -> RateSuggestion:
    """Return what the rates and losses of a sweep speak for.

    The steepest descent is looked for before the lowest smoothed loss. It counts unless it lies above a tenth of the
    rate at which the loss diverged, which then goes before it.

    Args:
        lrs: Learning rate of each batch, rising.
        losses: Loss of each batch; the last may be no number.

    Raises:
        ConfigError: There are too few batches, or the loss neither falls nor diverges.
    """
    finite = [(rate, loss) for rate, loss in zip(lrs, losses, strict=True) if math.isfinite(loss)]
    if len(finite) < FEWEST:
        raise ConfigError(
            f"{len(finite)} batches were tried, and a suggestion takes {FEWEST} at least: raise --epochs, or lower "
            "--start_lr where the loss diverged at once."
        )
    rates = np.log([rate for rate, _ in finite])
    smoothed = _smoothed(np.array([loss for _, loss in finite]))

    diverged = len(finite) < len(lrs) or (losses[-1] > 2 * float(np.median([loss for _, loss in finite])))
    below = lrs[-1] / 10 if diverged else None
    steepest = _steepest(rates, smoothed)
    if steepest is None and below is None:
        raise ConfigError(
            "the loss neither fell nor diverged between these rates: raise --end_lr, or --epochs for more batches."
        )
    rate = min(one for one in (steepest, below) if one is not None)
    return RateSuggestion(rate, steepest, below, smoothed)


def _smoothed(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    half = MEDIAN // 2
    padded = np.pad(losses, half, mode="edge")
    medians = np.median(np.lib.stride_tricks.sliding_window_view(padded, MEDIAN), axis=1)
    width = max(1.0, SHARE * len(losses))
    places = np.arange(len(losses))
    weights = np.exp(-0.5 * ((places[:, None] - places[None, :]) / width) ** 2)
    made: NDArray[np.float64] = weights @ medians / weights.sum(axis=1)
    return made


def _steepest(rates: NDArray[np.float64], smoothed: NDArray[np.float64]) -> "float | None":
    """Return the rate of the steepest descent before the lowest loss, ``None`` where nothing falls."""
    end = int(np.argmin(smoothed))
    slopes = np.gradient(smoothed, rates)[: end + 1]
    if end == 0 or slopes.min() >= 0 or smoothed[: end + 1].max() - smoothed[end] < FALL * abs(smoothed.max()):
        return None
    return float(np.exp(rates[int(np.argmin(slopes))]))
