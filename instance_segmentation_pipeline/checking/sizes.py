"""Sizes of images and objects, as they are and as the net sees them."""

from collections.abc import Callable

import numpy as np

from ..detection.arrays import Float64Array
from .findings import Example, Plot, Section
from .item_scan import ItemScan

Scale = Callable[[int, int, int], "tuple[float, float]"]
"""From an item's number, and height and width of its image, to how its width and height are scaled for the net."""
SMALL = 8
"""Pixels of the finest cells in which most nets look for objects."""


def sizes(scan: ItemScan, scale: "Scale | None") -> Section:
    """Return tables of sizes, and warnings on objects that vanish.

    Args:
        scan: All items.
        scale: How the validation pipeline scales an image; ``None`` where it cannot be known.
    """
    section = Section("Sizes")
    there = [number for number, one in enumerate(scan.facts) if one.width]
    if not there:
        return section
    widths, heights = ([getattr(scan.facts[number], side) for number in there] for side in ("width", "height"))
    counts = [len(scan.facts[number].labels) for number in there]
    rows = [["", "least", "5 %", "median", "95 %", "most"]]
    rows += [_row("image width", widths), _row("image height", heights), _row("objects an image", counts)]
    objects = [number for number in there if len(scan.facts[number].labels)]
    if objects:
        mean = np.concatenate([np.sqrt(scan.facts[number].sides.prod(axis=1)) for number in objects])
        rows.append(_row("object size (root of width times height)", mean))
        section.plots += [Plot("object size in pixels", mean.tolist()), Plot("objects an image", counts)]
        section.examples = _extremes(scan, objects)
        if scale is not None:
            rows.append(_row("object size for the net", _seen_sizes(section, scan, objects, scale)))
    section.table = rows
    different = len(set(zip(widths, heights, strict=True)))
    section.note(f"sizes of images: {different}; images without objects: {counts.count(0)}")
    return section


def _seen_sizes(section: Section, scan: ItemScan, objects: list[int], scale: Scale) -> Float64Array:
    seen, vanished, total = [], [], 0
    for number in objects:
        one = scan.facts[number]
        sides = one.sides * np.array(scale(number, one.height, one.width))
        gone = int((sides < 1).any(axis=1).sum())
        total += gone
        if gone:
            vanished.append((gone, number))
        seen.append(np.sqrt(sides.prod(axis=1)))
    every: Float64Array = np.concatenate(seen)
    if vanished:
        worst = max(vanished)[1]
        section.warn(
            f"{total} of the {len(every)} objects are less than a pixel wide or high at this shape, in {len(vanished)} "
            f"items (most in {scan.facts[worst].name!r}), and cannot be learnt or found: make shape larger"
        )
        section.examples.append(
            Example((worst,), f"{scan.facts[worst].name}: {max(vanished)[0]} objects vanish at this shape")
        )
    small = float((every < SMALL).mean())
    if small > 0.3:
        section.warn(
            f"{small:.0%} of the objects are smaller than {SMALL} x {SMALL} pixels at this shape, the finest cells in "
            "which most nets look for objects: make shape larger, or "
            f"{'cut the images into cells' if scan.grid is None else 'the cells smaller'}"
        )
    return every


def _extremes(scan: ItemScan, objects: list[int]) -> list[Example]:
    """Return the items to show: the first, one in the middle, the fullest, that with the smallest object."""
    fullest = max(objects, key=lambda number: len(scan.facts[number].labels))
    finest = min(objects, key=lambda number: float(scan.facts[number].sides.prod(axis=1).min()))
    captions = {objects[0]: "the first", objects[len(objects) // 2]: "one in the middle"}
    captions |= {fullest: f"the fullest, {len(scan.facts[fullest].labels)} objects", finest: "has the smallest object"}
    return [Example((number,), f"{scan.facts[number].name}: {caption}") for number, caption in captions.items()]


def _row(name: str, values: "list[int] | Float64Array") -> list[str]:
    return [name, *(f"{value:.0f}" if value >= 10 else f"{value:.3g}" for value in np.percentile(values, QUANTILES))]


QUANTILES = (0, 5, 50, 95, 100)
