"""How much smaller, or larger, the net sees an image: asked of the validation pipeline, once for each size."""

from collections.abc import Sequence

from ..data.protocols import Samples
from ..detection.tiles import Grid

MOST_SIZES = 48
"""Sizes that the pipeline is asked for; others are scaled like the one of nearest proportions."""


class InputScale:
    """Tells how the validation pipeline scales images.

    Args:
        samples: Items as the net sees them in validation, or ``None``.
        positions: Position in ``samples`` of each item of a scan that can be asked for.
        grid: How images are cut: ``samples`` are then first cells. ``None`` where they are not.
    """

    def __init__(self, samples: Samples, positions: "Sequence[int | None]", grid: "Grid | None" = None) -> None:
        self._samples, self._positions, self._grid = samples, positions, grid
        self._known: dict[tuple[int, int], tuple[float, float]] = {}

    def __call__(self, number: int, height: int, width: int) -> tuple[float, float]:
        """Return the factors of width and height of an item, or of its cells; 1 where none is told."""
        if self._grid is not None:
            cell = self._grid.prediction(height, width)[0]
            height, width = cell.height, cell.width
        known = self._known.get((height, width))
        if known is not None:
            return known
        place = self._positions[number]
        if place is None or (len(self._known) >= MOST_SIZES):
            return self._like_another(height, width)
        told = self._samples[place]["data_samples"].metainfo.get("scale_factor", (1.0, 1.0))
        self._known[height, width] = factors = float(told[0]), float(told[1])
        return factors

    def _like_another(self, height: int, width: int) -> tuple[float, float]:
        if not self._known:
            return 1.0, 1.0
        other = min(self._known, key=lambda size: abs(size[0] * width - size[1] * height) / (size[1] * width))
        across, down = self._known[other]
        return across * other[1] / width, down * other[0] / height
