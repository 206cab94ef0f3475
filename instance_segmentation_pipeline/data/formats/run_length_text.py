"""Masks as text, a pair of start and length for each run of pixels, as Kaggle's tables have them.

Pixels are counted column by column, from the top left one on. Absolute starts are counted from 1; relative ones are
distances, of the first run to the top left pixel and of the others to the end of the run before.
Source of the format: the evaluation pages of kaggle.com, such as that of ``imaterialist-fashion-2019-FGVC6``.
"""

import numpy as np

from ...detection.arrays import Int64Array, PlainRle
from ...errors import DatasetError, shortened

_MOST = 1 << 40
"""More pixels than any mask has."""


def mask_from_text(text: str, height: int, width: int, *, relative: bool = False) -> PlainRle:
    """Return a mask as a COCO RLE dict with plain ``counts``; runs that overlap are joined.

    Raises:
        DatasetError: What is wrong with the text, to stand after its place: no pairs of numbers, pixels outside.
    """
    try:
        numbers = np.array(text.split(), np.int64)
    except (ValueError, OverflowError):
        raise DatasetError(f"is {shortened(text)}, expected pairs of start and length") from None
    if len(numbers) % 2:
        raise DatasetError(f"has {len(numbers)} numbers, expected pairs of start and length")
    if len(numbers) and (numbers.max() > _MOST or numbers.min() < -_MOST):
        raise DatasetError(f"is {shortened(text)}, expected pixels of a mask of {height} x {width}")
    starts, lengths = numbers[::2], numbers[1::2]
    if (lengths < 0).any():
        raise DatasetError(f"has a run of length {int(lengths.min())}, expected 0 or more")
    if relative:
        starts = np.cumsum(starts + np.concatenate([[0], lengths[:-1]])) if len(starts) else starts
    else:
        starts = starts - 1
    ends = starts + lengths
    if len(starts) and (starts.min() < 0 or ends.max() > height * width):
        raise DatasetError(
            f"has a run from pixel {int(starts.min())} to {int(ends.max())}, counted from 0, but a mask of {height} x "
            f"{width} has {height * width} pixels"
        )
    return {"size": [height, width], "counts": _counts(starts, ends, height * width)}


def text_of_mask(counts: Int64Array, *, relative: bool = False) -> str:
    """Return the text of the uncompressed COCO RLE counts ``(runs,)`` of a mask.

    >>> text_of_mask(np.array([2, 3, 4, 1])), text_of_mask(np.array([2, 3, 4, 1]), relative=True)
    ('3 3 10 1', '2 3 4 1')
    """
    starts = counts[0 : len(counts) - len(counts) % 2 : 2] if relative else np.cumsum(counts)[0:-1:2] + 1
    pairs = np.stack([starts, counts[1::2]], axis=1)
    return " ".join(map(str, pairs[pairs[:, 1] > 0].ravel().tolist()))


def _counts(starts: Int64Array, ends: Int64Array, total: int) -> list[int]:
    """Return lengths of background and object in turn, of runs in any order."""
    order = np.argsort(starts, kind="stable")
    starts, reached = starts[order], np.maximum.accumulate(ends[order])
    first = np.ones(len(starts), bool)
    first[1:] = starts[1:] > reached[:-1]
    begins = starts[first]
    finishes = reached[np.append(first[1:], True)] if len(starts) else reached
    edges = np.concatenate([[0], np.stack([begins, finishes], 1).ravel(), [total]])
    return [int(count) for count in np.diff(edges)]
