"""Images that are there twice, or nearly so: what is trained on must not be measured on."""

from collections import defaultdict

import numpy as np

from .findings import Example, Section
from .item_scan import ItemScan
from .parts import ScannedParts

BITS = 20
"""Bits of 256 in which the hashes of nearly equal images differ at most; of unlike ones about half do."""
SHADES = 12.0
"""Mean difference of the thumbnails of nearly equal images at most, in shades of 256."""
FLAT = 2.0
"""Standard deviation of a thumbnail below which all images are alike, and nothing is said."""
MOST = 20_000
"""Images that are compared with each other; of more, as many, evenly spread."""
BLOCK = 1024
PICTURES = 6

Pairs = list[tuple[int, int]]


def duplicates(scan: ItemScan, parts: ScannedParts) -> Section:
    """Return warnings on images that are there more than once, those of both sides of a split first."""
    section = Section("Duplicates")
    exact = _exact(scan)
    near = _near(section, scan)
    for pairs, what, kind in ((exact, "the same pixels", "equal"), (near, "nearly the same pixels", "nearly equal")):
        across = [pair for pair in pairs if _crossed(pair, parts)]
        within = [pair for pair in pairs if not _crossed(pair, parts)]
        if across:
            one, other = (scan.facts[number].name for number in across[0])
            section.warn(
                f"{len(across)} pairs of images have {what} and lie on both sides of the split (the first are {one!r} "
                f"and {other!r}, {_crossed(across[0], parts)}): what is measured there was trained on: remove one of "
                "each, or keep them together by groupFunc"
            )
        if within:
            one, other = (scan.facts[number].name for number in within[0])
            section.warn(
                f"{len(within)} pairs of images have {what} and lie on one side of the split (the first are {one!r} "
                f"and {other!r})"
            )
        for pair in (across + within)[:PICTURES]:
            names = " and ".join(scan.facts[number].name for number in pair)
            section.examples.append(Example(pair, f"{kind}: {names} ({_crossed(pair, parts) or 'on one side'})"))
    if not exact and not near:
        section.note(f"no two of {len(scan.usable())} images are equal or nearly equal")
    return section


def _exact(scan: ItemScan) -> Pairs:
    """Return each image that is there again with the one that has its pixels first."""
    by_digest: dict[bytes, list[int]] = defaultdict(list)
    for number, one in enumerate(scan.facts):
        if one.pixels:
            by_digest[one.pixels].append(number)
    return [(group[0], other) for group in by_digest.values() for other in group[1:]]


def _near(section: Section, scan: ItemScan) -> Pairs:
    """Return pairs of images whose hashes and thumbnails are alike, without those of equal pixels."""
    numbers = [
        number
        for number, one in enumerate(scan.facts)
        if one.likeness is not None and one.thumbnail is not None and one.thumbnail.std() >= FLAT
    ]
    if len(numbers) > MOST:
        section.note(f"of {len(numbers)} images, {MOST} were compared for being nearly equal")
        numbers = [numbers[place] for place in np.linspace(0, len(numbers) - 1, MOST).round().astype(int)]
    if len(numbers) < 2:
        return []
    facts = [scan.facts[number] for number in numbers]
    bits = np.unpackbits(np.stack([one.likeness for one in facts if one.likeness is not None]), axis=1)
    signs = bits.astype(np.float32) * 2 - 1
    thumbnails = np.stack([one.thumbnail for one in facts if one.thumbnail is not None]).astype(np.float32)
    least = signs.shape[1] - 2 * BITS  # agreeing bits less differing ones
    found: Pairs = []
    for first in range(0, len(facts), BLOCK):
        rows, columns = np.nonzero(signs[first : first + BLOCK] @ signs[first:].T >= least)
        for one, other in zip((rows + first).tolist(), (columns + first).tolist(), strict=True):
            alike = other > one and facts[one].pixels != facts[other].pixels
            if alike and np.abs(thumbnails[one] - thumbnails[other]).mean() <= SHADES:
                found.append((numbers[one], numbers[other]))
    return found


def _crossed(pair: tuple[int, int], parts: ScannedParts) -> str:
    """Return where a pair lies on both sides: in training and validation of a fold, or in the holdout; else nothing."""
    one, other = pair
    if (one in parts.held) != (other in parts.held):
        return "training and holdout"
    for number, fold in enumerate(parts.sides):
        if (one in fold[0] and other in fold[1]) or (one in fold[1] and other in fold[0]):
            return f"training and validation of fold {number}"
    return ""
