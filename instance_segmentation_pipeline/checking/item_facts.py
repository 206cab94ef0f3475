"""What is kept of an item that was read: some numbers, so that those of a hundred thousand items fit into memory."""

import hashlib
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..data.consistency import SeenBoxes, seen_boxes
from ..data.item_reader import ItemReader
from ..data.protocols import Dataset
from ..detection.arrays import Float32Array, Int64Array, UInt8Array
from ..detection.instances import Instances
from ..detection.tiles import Grid, most_at_once
from ..errors import UserError, sentence

SIDE = 16
"""Rows and columns of the grid of brightness that the perceptual hash compares."""


@dataclass(frozen=True)
class ItemFacts:
    """What is kept of one item.

    Attributes:
        name: Its id, as text; its number where it has none.
        error: Why it cannot be trained with, empty where it can.
        height: Of its image, in pixels; 0 where there is none.
        width: Of its image, in pixels.
        labels: ``(N,)`` int64 from 0.
        at_once: The most objects that the net is shown at once: all, or those of a cell where images are cut.
        sides: ``(N, 2)`` float32 widths and heights of boxes, in pixels.
        twice: How many of its objects have box and class of another one.
        pixels: Digest of size and pixels.
        likeness: ``(SIDE * SIDE,)`` bool, whether each cell is brighter than its neighbour on the right.
        thumbnail: ``(SIDE, SIDE)`` uint8 grey.
        boxes: Its boxes as they were given.
    """

    name: str
    error: str = ""
    height: int = 0
    width: int = 0
    labels: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    at_once: int = 0
    sides: Float32Array = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    twice: int = 0
    pixels: bytes = b""
    likeness: "UInt8Array | None" = None
    thumbnail: "UInt8Array | None" = None
    boxes: "SeenBoxes | None" = None


def facts_of(source: Dataset, reader: ItemReader, position: int, grid: "Grid | None" = None) -> ItemFacts:
    """Read an item; whatever is wrong with it is told in what is returned."""
    try:
        item = reader.checked(source, position)
    except (UserError, MemoryError) as error:
        return ItemFacts(f"item {position}", sentence(error))
    labels: Int64Array = np.zeros(0, np.int64)
    sides: Float32Array = np.zeros((0, 2), np.float32)
    at_once, twice, wrong = 0, 0, ""
    seen = seen_boxes(item) if reader.bbox_source == "dataset" else None
    try:
        reader.check_order(item)
        instances = reader.instances(item)
        labels, sides = instances.labels, np.diff(instances.bboxes.reshape(-1, 2, 2), axis=1)[:, 0]
        at_once = most_at_once(grid, instances.bboxes, instances.height, instances.width)
        twice = _repeated(instances)
    except (UserError, MemoryError) as error:
        wrong = sentence(error)
    likeness, thumbnail = appearance(item.x)
    height, width = item.x.shape[:2]
    digest = hashlib.blake2b(f"{height} {width}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(item.x).data)
    return ItemFacts(
        str(item.id), wrong, height, width, labels, at_once, sides, twice, digest.digest(), likeness, thumbnail, seen
    )


def appearance(image: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
    """Return the difference hash and the thumbnail of an image ``(height, width, 3)`` uint8, as ``ItemFacts`` has them.

    The hash is the dHash of N. Krawetz (https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html)
    on a grid of 16 x 17 cells; its bits are packed.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = cells[:, :-1] > cells[:, 1:]
    return np.packbits(bits), cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _repeated(instances: Instances) -> int:
    rows = np.column_stack([instances.labels, instances.bboxes.round(1)])
    return len(rows) - len(np.unique(rows, axis=0))
