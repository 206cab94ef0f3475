"""What tells whether a stored answer is still about the same dataset."""

import hashlib
from typing import Any

import numpy as np

from .item_reader import ItemReader

SAMPLE = 16
"""Items whose pixels stand for a dataset in a store's fingerprint."""


def dataset_mark(source: Any, reader: ItemReader) -> str:
    """Return what stands for a dataset in a fingerprint: its length, and ids and pixels of ``SAMPLE`` items."""
    count = len(source)
    mark = hashlib.sha256(str(count).encode())
    for number in sorted({round(place) for place in np.linspace(0, count - 1, min(SAMPLE, count))}) if count else ():
        name, image = reader.image(source, int(number))
        mark.update(f"{name}{image.shape}".encode())
        mark.update(np.ascontiguousarray(image).tobytes())
    return mark.hexdigest()[:16]
