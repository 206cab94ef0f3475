"""The properties ``crops`` and ``tiles``: how large images are cut into cells."""

from typing import Any

from ..detection.tiles import Grid
from ..errors import ConfigError, nearest, shortened
from .values import SIZES, Check, Integer, Number, mapping

CROPS = Integer(2, 100)
OVERLAP = Number(0, 0.9)
KEEP = Number(0, 1)
LEAST_SIDE = 16
TILES = "a mapping with size (pixels, or [height, width]), and overlap and keep (shares), as {size: 640, overlap: 0.2}"


def check_tiles(value: object) -> dict[str, Any]:
    """Return the checked value of ``tiles``, its defaults included.

    Raises:
        ConfigError: Something in it cannot be used.
        ValueError: It is no mapping.
    """
    given = mapping(value)
    for key in given:
        if key not in ("size", "overlap", "keep"):
            raise ConfigError(f"tiles.{key} is not known{nearest(key, ('size', 'overlap', 'keep'))}: tiles is {TILES}.")
    if given.get("size") is None:
        raise ConfigError(f"tiles.size is missing: tiles is {TILES}.")
    overlap = _checked("overlap", given.get("overlap", 0.2), OVERLAP)
    return {"size": _size(given["size"]), "overlap": overlap, "keep": _checked("keep", given.get("keep", 0.3), KEEP)}


def _checked(key: str, value: object, check: Check) -> Any:
    try:
        return check(value)
    except (ValueError, OverflowError):
        raise ConfigError(f"tiles.{key} is {shortened(value)}, but it must be {check}.") from None


def _size(value: object) -> list[int]:
    sides = value if isinstance(value, (list, tuple)) else [value, value]
    try:
        checked = [SIZES(side) for side in sides]
    except ValueError:
        checked = []
    if len(checked) != 2 or min(checked) < LEAST_SIDE:
        raise ConfigError(
            f"tiles.size is {shortened(value)}, but it must be the side of a cell in pixels, {LEAST_SIDE} or more, or "
            "[height, width]."
        )
    return checked


def check_cells(crops: "int | None", tiles: "dict[str, Any] | None") -> None:
    """Raise a ``ConfigError`` where both say how images are cut."""
    if crops is not None and tiles is not None:
        raise ConfigError("crops and tiles both say how images are cut into cells: give one of the two.")


def grid_of(crops: "int | None", tiles: "dict[str, Any] | None") -> "Grid | None":
    """Return how the two checked properties cut images, ``None`` where neither is given."""
    if tiles is not None:
        height, width = tiles["size"]
        return Grid((height, width), None, tiles["overlap"], tiles["keep"])
    return None if crops is None else Grid(count=crops)
