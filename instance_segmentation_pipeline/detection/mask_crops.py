"""The masks of one image, each kept as a box and the pixels inside it.

Between dataset and model most of a dense ``(N, height, width)`` array is zero; here an image of 1024 x 1024 pixels with
375 objects takes some hundred kilobytes instead of 393 megabytes, and transforms cost what the objects cover.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from ..errors import DatasetError
from .arrays import AnyArray, Float32Array, Int64Array, Rle, UInt8Array


@dataclass(frozen=True, eq=False)
class MaskCrops:
    """Masks of one image.

    Attributes:
        height: Image height in pixels.
        width: Image width in pixels.
        boxes: ``(N, 4)`` int64, ``x1, y1, x2, y2`` with exclusive ends, inside the image: where each crop lies. All
            pixels outside are background; a box may be wider than its object, and is empty where nothing is left.
        crops: N arrays ``(y2 - y1, x2 - x1)`` uint8 of 0 and 1, not to be written to.

    >>> masks = MaskCrops.from_dense(np.array([[[0, 1, 1, 0], [0, 0, 1, 0]]]))
    >>> masks.boxes, masks.areas()
    (array([[1, 0, 3, 2]]), array([3]))
    >>> masks.flip(horizontal=False, vertical=True).to_dense()
    array([[[0, 0, 1, 0],
            [0, 1, 1, 0]]], dtype=uint8)
    >>> masks.to_rles()
    [{'size': [2, 4], 'counts': '21111'}]
    """

    height: int
    width: int
    boxes: Int64Array
    crops: tuple[UInt8Array, ...]

    def __len__(self) -> int:
        return len(self.crops)

    @classmethod
    def none(cls, height: int, width: int) -> "MaskCrops":
        """Return no masks, for an image of this size."""
        return cls(height, width, np.zeros((0, 4), np.int64), ())

    @classmethod
    def from_dense(cls, masks: AnyArray) -> "MaskCrops":
        """Crop dense masks ``(N, height, width)`` of bool, or of integers, where what is not 0 is the object.

        Each mask is read once in full; its pixels are copied, so the dense array can be freed.
        """
        count, height, width = masks.shape
        if not count:
            return cls.none(height, width)
        flat = masks.view(np.uint8) if masks.dtype == bool else masks
        rows = flat.max(axis=2) != 0
        boxes, crops = np.zeros((count, 4), np.int64), []
        for number in range(count):
            there = np.flatnonzero(rows[number])
            if not len(there):
                crops.append(np.zeros((0, 0), np.uint8))
                continue
            band = flat[number, there[0] : there[-1] + 1]
            columns = np.flatnonzero(band.max(axis=0))
            boxes[number] = columns[0], there[0], columns[-1] + 1, there[-1] + 1
            crops.append((band[:, columns[0] : columns[-1] + 1] != 0).astype(np.uint8))
        return cls(height, width, boxes, tuple(crops))

    @classmethod
    def from_rles(cls, rles: Sequence[Mapping[str, Any]], height: int, width: int) -> "MaskCrops":
        """Decode COCO RLE dicts, compressed (text or bytes) or not (a list of run lengths), never densely.

        Source of the format: ``rleFrString`` and ``rleDecode`` of the COCO API (``maskApi.c``): runs column by column
        from the background on; compressed lengths are six-bit groups, low ones first, from the third run on as the
        difference to the run before the last.

        Raises:
            DatasetError: ``counts`` is no RLE, or its size or its runs are not those of the image.
        """
        boxes, crops = np.zeros((len(rles), 4), np.int64), []
        for number, rle in enumerate(rles):
            if tuple(rle.get("size", ())) != (height, width):
                raise DatasetError(f"mask {number} is an RLE of size {rle.get('size')}, expected [{height}, {width}].")
            runs = _run_lengths(rle.get("counts"), number)
            ends = np.cumsum(runs)
            if len(runs) == 0 or ends[-1] != height * width or (runs < 0).any():
                total = int(ends[-1]) if len(runs) else 0
                raise DatasetError(
                    f"mask {number} is an RLE whose runs cover {total} pixels, expected {height} x {width} = "
                    f"{height * width}."
                )
            boxes[number], crop = _decoded(ends, height)
            crops.append(crop)
        return cls(height, width, boxes, tuple(crops))

    @classmethod
    def joined(cls, parts: "Sequence[MaskCrops]") -> "MaskCrops":
        """Return the masks of several sets of one image size, one after the other."""
        boxes = np.concatenate([part.boxes for part in parts])
        return cls(parts[0].height, parts[0].width, boxes, tuple(crop for part in parts for crop in part.crops))

    def to_dense(self) -> UInt8Array:
        """Return dense masks ``(N, height, width)`` uint8 of 0 and 1."""
        dense = np.zeros((len(self), self.height, self.width), np.uint8)
        for mask, (x1, y1, x2, y2), crop in zip(dense, self.boxes, self.crops, strict=True):
            mask[y1:y2, x1:x2] = crop
        return dense

    def to_rles(self) -> list[Rle]:
        """Return the masks as COCO RLE dicts with text ``counts``."""
        plain = [
            {"size": [self.height, self.width], "counts": self.run_lengths(number).tolist()}
            for number in range(len(self))
        ]
        rles = coco_mask.frPyObjects(plain, self.height, self.width) if plain else []
        return [{"size": rle["size"], "counts": rle["counts"].decode("ascii")} for rle in rles]

    def run_lengths(self, number: int) -> Int64Array:
        """Return the uncompressed COCO RLE counts ``(runs,)`` of one mask: column by column, the background first."""
        (x1, y1, x2, y2), crop = self.boxes[number].tolist(), self.crops[number]
        band = np.zeros((x2 - x1, self.height), np.int8)
        band[:, y1:y2] = crop.T
        edges = np.flatnonzero(np.diff(band.ravel(), prepend=np.int8(0), append=np.int8(0))) + x1 * self.height
        runs = np.diff(np.concatenate([[0], edges, [self.height * self.width]]))
        return runs if runs[-1] or len(runs) == 1 else runs[:-1]

    def take(self, indices: Sequence[int] | AnyArray) -> "MaskCrops":
        """Return the masks of these positions, in this order; the crops are shared."""
        chosen = np.asarray(indices, np.int64).reshape(-1)
        return replace(self, boxes=self.boxes[chosen], crops=tuple(self.crops[number] for number in chosen))

    def areas(self) -> Int64Array:
        """Return the pixels of each object, ``(N,)`` int64."""
        return np.array([np.count_nonzero(crop) for crop in self.crops], np.int64).reshape(-1)

    def tight_boxes(self) -> Float32Array:
        """Return the tight boxes ``(N, 4)`` float32, ``x1, y1, x2, y2`` with exclusive ends; zeros of empty masks."""
        tight = np.zeros((len(self), 4), np.float32)
        for row, (left, top, _, _), crop in zip(tight, self.boxes, self.crops, strict=True):
            rows, columns = np.flatnonzero(crop.any(axis=1)), np.flatnonzero(crop.any(axis=0))
            if len(rows):
                row[:] = left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1
        return tight

    def flip(self, *, horizontal: bool, vertical: bool) -> "MaskCrops":
        """Return the masks mirrored left to right, top to bottom, or both."""
        boxes, steps = self.boxes.copy(), (-1 if vertical else 1, -1 if horizontal else 1)
        if horizontal:
            boxes[:, [0, 2]] = self.width - self.boxes[:, [2, 0]]
        if vertical:
            boxes[:, [1, 3]] = self.height - self.boxes[:, [3, 1]]
        return replace(self, boxes=boxes, crops=tuple(crop[:: steps[0], :: steps[1]] for crop in self.crops))

    def turned(self, quarters: int) -> "MaskCrops":
        """Return the masks of the image turned counter-clockwise by so many quarters, as ``numpy.rot90``."""
        quarters %= 4
        boxes, height, width = self.boxes, self.height, self.width
        for _ in range(quarters):
            x1, y1, x2, y2 = boxes.T
            boxes, height, width = np.stack([y1, width - x2, y2, width - x1], axis=1), width, height
        return MaskCrops(height, width, boxes, tuple(np.rot90(crop, quarters) for crop in self.crops))

    def placed(self, height: int, width: int, left: int = 0, top: int = 0) -> "MaskCrops":
        """Return the masks on a canvas ``height`` x ``width``, moved by ``left`` and ``top`` pixels; what lies outside
        is cut off.

        Padding, cropping, expanding and whole-pixel translating are all this.
        """
        offset = np.array([left, top, left, top])
        boxes = np.clip(self.boxes + offset, 0, np.array([width, height, width, height]))
        crops = []
        for (x1, y1, x2, y2), (old_x, old_y, *_), crop in zip(boxes, self.boxes + offset, self.crops, strict=True):
            crops.append(crop[y1 - old_y : y2 - old_y, x1 - old_x : x2 - old_x])
        return MaskCrops(height, width, boxes, tuple(crops))

    def resized(self, height: int, width: int) -> "MaskCrops":
        """Return the masks resized to ``height`` x ``width`` by nearest neighbours, as ``cv2.resize`` of the whole."""
        rows, columns = _nearest(self.height, height), _nearest(self.width, width)
        edges = np.stack([np.searchsorted(columns, self.boxes[:, 0::2]), np.searchsorted(rows, self.boxes[:, 1::2])], 2)
        boxes = edges.reshape(-1, 4).astype(np.int64)
        crops = []
        for (x1, y1, x2, y2), (left, top, *_), crop in zip(boxes, self.boxes, self.crops, strict=True):
            crops.append(crop[rows[y1:y2] - top].take(columns[x1:x2] - left, axis=1))
        return MaskCrops(height, width, boxes, tuple(crops))

    def packed(self) -> tuple[int, int, npt.NDArray[np.int32], UInt8Array]:
        """Return ``height``, ``width``, boxes as int32 and all pixels as bits, for a journey between processes."""
        pixels = np.concatenate([crop.ravel() for crop in self.crops]) if len(self) else np.zeros(0, np.uint8)
        return self.height, self.width, self.boxes.astype(np.int32), np.packbits(pixels)

    @classmethod
    def unpacked(cls, height: int, width: int, boxes: AnyArray, bits: UInt8Array) -> "MaskCrops":
        """Return what ``packed`` packed."""
        boxes = boxes.astype(np.int64)
        sizes = boxes[:, 2:] - boxes[:, :2]
        ends = np.cumsum(sizes.prod(axis=1))
        pixels = np.unpackbits(bits, count=int(ends[-1]) if len(ends) else 0)
        crops = (
            [part.reshape(size[1], size[0]) for part, size in zip(np.split(pixels, ends[:-1]), sizes, strict=True)]
            if len(ends)
            else []
        )
        return cls(height, width, boxes, tuple(crops))


@lru_cache(maxsize=256)
def _nearest(before: int, after: int) -> Int64Array:
    """Return which of ``before`` pixels ``cv2.resize`` takes for each of ``after``, ``(after,)`` int64, ascending."""
    line = np.arange(before, dtype=np.int32).astype(np.float32).reshape(1, -1)
    if before >= 1 << 24:
        raise DatasetError(f"a side of {before} pixels is too long: expected less than {1 << 24}.")
    chosen: Int64Array = cv2.resize(line, (after, 1), interpolation=cv2.INTER_NEAREST).astype(np.int64).ravel()
    chosen.flags.writeable = False
    return chosen


def _run_lengths(counts: object, number: int) -> Int64Array:
    """Return the run lengths ``(runs,)`` int64 of an RLE's ``counts``."""
    if isinstance(counts, (list, tuple)):
        if not all(isinstance(run, (int, np.integer)) for run in counts):
            raise DatasetError(f"mask {number} is an RLE whose counts are no run lengths, expected whole numbers.")
        return np.asarray(counts, np.int64)
    if isinstance(counts, str):
        counts = counts.encode("ascii", "replace")
    if not isinstance(counts, bytes):
        raise DatasetError(
            f"mask {number} is an RLE whose counts are a {type(counts).__name__}, expected text or a list."
        )
    groups = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if not len(groups) or (groups < 0).any() or (groups > 63).any() or groups[-1] & 32:
        raise DatasetError(f"mask {number} is an RLE whose counts are no compressed runs.")
    last = np.flatnonzero(groups & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    shifts = 5 * (np.arange(len(groups)) - np.repeat(first, last - first + 1))
    if shifts.max() > 30:
        raise DatasetError(f"mask {number} is an RLE with a run that is longer than any image.")
    runs = np.add.reduceat((groups & 31) << shifts, first)
    runs -= np.where(groups[last] & 16, 1 << (shifts[last] + 5), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    tail = runs[2::2]
    runs[2::2] = np.cumsum(tail)
    return runs


def _decoded(ends: Int64Array, height: int) -> tuple[Int64Array, UInt8Array]:
    """Return the box ``(4,)`` and crop of runs, by their ends, that go column by column from the background on."""
    starts, stops = ends[0:-1:2], ends[1::2]
    filled = starts < stops
    starts, stops = starts[filled], stops[filled]
    if not len(starts):
        return np.zeros(4, np.int64), np.zeros((0, 0), np.uint8)
    left, right = int(starts[0]) // height, (int(stops[-1]) - 1) // height + 1
    edges = np.zeros((right - left) * height + 1, np.int8)
    edges[starts - left * height] += 1
    edges[stops - left * height] -= 1
    band = np.cumsum(edges[:-1], dtype=np.int8).view(np.uint8).reshape(right - left, height)
    rows = np.flatnonzero(band.any(axis=0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    return np.array([left, top, right, bottom]), np.ascontiguousarray(band[:, top:bottom].T)
