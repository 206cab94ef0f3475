"""Image files of the same content on both sides of a split: told without decoding any."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

from .cross_validation import Split
from .protocols import Dataset

MOST_BYTES = 256 << 20
"""Bytes that are read at most: only files of equal sizes are."""


def notes_on_equal_files(dataset: Dataset, split: Split) -> list[str]:
    """Return a line on files that are trained on and measured on, of a dataset that names the file of each item.

    Args:
        dataset: The whole dataset; ``files`` are the paths of its items, in order.
        split: How it is parted.
    """
    files = getattr(dataset, "files", None)
    if not isinstance(files, list) or len(files) != len(dataset) or not all(isinstance(one, str) for one in files):
        return []
    groups = _equal(files)
    if not groups:
        return []
    kept = _positions(split.train, dataset)
    held = set(range(len(files))) - set(kept)
    sides = [([kept[place] for place in train], [kept[place] for place in val]) for train, val in split.folds]
    parts = [(set(train), set(measured)) for train, measured in (*sides, *([(kept, sorted(held))] if held else []))]
    across = [group for group in groups if any(set(group) & one and set(group) & other for one, other in parts)]
    if not across:
        return []
    first, second = (os.path.basename(files[place]) for place in across[0][:2])  # noqa: PTH119
    return [
        f"{len(across)} images are there twice or more, as files of the same content, in parts that train and in parts "
        f"that are measured on (the first are {first!r} and {second!r}): take one of each out; musket check finds "
        "nearly equal ones, too"
    ]


def _equal(files: Sequence[str]) -> list[list[int]]:
    """Return groups of positions whose files have one content."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for place, file in enumerate(files):
        with suppress(OSError, ValueError):
            by_size[os.stat(file).st_size].append(place)  # noqa: PTH116
    left = MOST_BYTES
    by_content: dict[bytes, list[int]] = defaultdict(list)
    for size, places in by_size.items():
        if len(places) < 2 or not size or size * len(places) > left:
            continue
        left -= size * len(places)
        for place in places:
            with suppress(OSError), open(files[place], "rb") as opened:  # noqa: PTH123
                by_content[hashlib.sha256(opened.read()).digest()].append(place)
    return [group for group in by_content.values() if len(group) > 1]


def _positions(part: Dataset, dataset: Dataset) -> list[int]:
    if part is not dataset and getattr(part, "ds", None) is dataset and hasattr(part, "indexes"):
        return [int(position) for position in part.indexes]
    return list(range(len(dataset)))
