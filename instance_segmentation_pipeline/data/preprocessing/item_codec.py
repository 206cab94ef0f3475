"""Items as bytes for caches: plain numbers and texts, of which nothing is executed when they are read.

The layout: the length of a head, the head as JSON (id, dtypes, shapes, masks as RLE), the arrays in their order, and a
checksum. Dense masks of 0 and 1 are kept as COCO RLE, and come back as they were given: dense, of their dtype.
"""

import json
import math
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...detection.arrays import AnyArray
from ...detection.mask_crops import MaskCrops
from ...errors import DatasetError, shortened
from ..protocols import Item

FORMAT = 2
KINDS = "biuf"
MOST_PIXELS = 1 << 33
"""Pixels of all dense masks of an item at most."""

_LENGTH = struct.Struct("<I")
_CHECK = struct.Struct("<I")


def packed(item: Item, step: str) -> bytes:
    """Return an item as bytes.

    Args:
        item: Anything with ``id``, ``x`` and ``y``, and ``crowds`` where there are some.
        step: What keeps it, for messages.

    Raises:
        DatasetError: It holds something else than an image and a target of labels, boxes and masks.
    """
    where = f"item {shortened(item.id)}: {step}"
    blobs: list[bytes] = []
    head: dict[str, Any] = {"id": _plain_id(item.id, where), "x": _array(item.x, blobs, f"{where}, x"), "y": None}
    if item.y is not None:
        if not isinstance(item.y, (tuple, list)) or len(item.y) not in (2, 3):
            raise DatasetError(f"{where} keeps (labels, bboxes, masks) as y, but y is a {type(item.y).__name__}.")
        head["y"] = [_array(part, blobs, f"{where}, y") for part in item.y[:2]]
        if len(item.y) == 3:
            head["y"].append(_masks(item.y[2], blobs, f"{where}, masks"))
    crowds = getattr(item, "crowds", None)
    if crowds is not None:
        rles = [_plain_rle(rle, f"{where}, crowds") for rle in crowds[1]]
        head["crowds"] = [_array(crowds[0], blobs, f"{where}, crowds"), {"rles": rles}]
    text = json.dumps(head).encode()
    data = b"".join([_LENGTH.pack(len(text)), text, *blobs])
    return data + _CHECK.pack(zlib.crc32(data))


def unpacked(data: bytes) -> tuple[Any, AnyArray, Any, Any]:
    """Return id, ``x``, ``y`` and ``crowds`` of what ``packed`` wrote, as arrays of their own.

    Raises:
        ValueError: The bytes are damaged.
    """
    if len(data) < _LENGTH.size + _CHECK.size or _CHECK.unpack(data[-_CHECK.size :])[0] != zlib.crc32(
        memoryview(data)[: -_CHECK.size]
    ):
        raise ValueError("the checksum is not that of the bytes")
    try:
        (length,) = _LENGTH.unpack_from(data)
        head = json.loads(data[_LENGTH.size : _LENGTH.size + length])
        blobs = _Blobs(data, _LENGTH.size + length)
        name, image, target = head["id"], blobs.array(head["x"]), None
        if head["y"] is not None:
            parts = [blobs.array(part) for part in head["y"][:2]]
            if len(head["y"]) == 3:
                parts.append(_unpacked_masks(head["y"][2], blobs))
            target = tuple(parts)
        told = head.get("crowds")
        crowds = None if told is None else (blobs.array(told[0]), _unpacked_masks(told[1], blobs))
        blobs.check_end()
    except (KeyError, TypeError, IndexError, struct.error, DatasetError) as error:
        raise ValueError(f"it is no item ({error})") from error
    return name, image, target, crowds


def _plain_id(name: Any, where: str) -> "str | int | None":
    if isinstance(name, np.integer):
        return int(name)
    if name is None or (isinstance(name, (str, int)) and not isinstance(name, bool)):
        return name
    raise DatasetError(f"{where} keeps ids that are texts or whole numbers, but this one is a {type(name).__name__}.")


def _array(value: Any, blobs: list[bytes], where: str) -> dict[str, Any]:
    try:
        array = np.ascontiguousarray(value)
    except Exception:
        array = np.zeros(0, object)
    if array.dtype.kind not in KINDS:
        raise DatasetError(f"{where} is {shortened(value)}, expected an array of numbers.")
    shape = np.shape(value)  # ascontiguousarray makes one dimension of none
    blobs.append(array.tobytes())
    return {"dtype": array.dtype.str, "shape": [int(side) for side in shape]}


def _masks(value: Any, blobs: list[bytes], where: str) -> dict[str, Any]:
    if isinstance(value, (list, tuple)) and (not len(value) or isinstance(value[0], Mapping)):
        return {"rles": [_plain_rle(rle, where) for rle in value]}
    masks = np.asarray(value)
    if masks.ndim != 3 or masks.dtype.kind not in "biu" or (masks.size and not 0 <= masks.min() <= masks.max() <= 1):
        return {"array": _array(value, blobs, where)}
    counts = [rle["counts"] for rle in MaskCrops.from_dense(masks).to_rles()]
    return {"dtype": masks.dtype.str, "shape": list(masks.shape), "counts": counts}


def _plain_rle(rle: Any, where: str) -> list[Any]:
    counts = rle.get("counts") if isinstance(rle, Mapping) else None
    size = rle.get("size") if isinstance(rle, Mapping) else None
    if not isinstance(size, (list, tuple)) or not isinstance(counts, (str, bytes, list, tuple, np.ndarray)):
        raise DatasetError(f"{where} has {shortened(rle)}, expected a COCO RLE with size and counts.")
    if isinstance(counts, bytes):
        return [[int(side) for side in size], "bytes", counts.decode("ascii", "replace")]
    return [[int(side) for side in size], "", counts if isinstance(counts, str) else [int(count) for count in counts]]


def _unpacked_masks(head: dict[str, Any], blobs: "_Blobs") -> Any:
    if "array" in head:
        return blobs.array(head["array"])
    if "rles" in head:
        return [
            {"size": size, "counts": counts.encode("ascii") if kind == "bytes" else counts}
            for size, kind, counts in head["rles"]
        ]
    count, height, width = head["shape"]
    if count * height * width > MOST_PIXELS or count != len(head["counts"]):
        raise ValueError(f"its masks have the shape {head['shape']}")
    rles = [{"size": [height, width], "counts": counts} for counts in head["counts"]]
    dense = MaskCrops.from_rles(rles, height, width).to_dense()
    dtype = np.dtype(head["dtype"])
    return dense.view(bool) if dtype.kind == "b" else dense.astype(dtype)


class _Blobs:
    """Arrays one after the other, from a place on."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place

    def array(self, head: dict[str, Any]) -> AnyArray:
        """Return the next array."""
        dtype, shape = np.dtype(str(head["dtype"])), [int(side) for side in head["shape"]]
        if dtype.kind not in KINDS or any(side < 0 for side in shape):
            raise ValueError(f"it has an array of {dtype} and {shape}")
        count = math.prod(shape)
        if self._place + count * dtype.itemsize > len(self._data) - _CHECK.size:
            raise ValueError("it is cut off")
        array = np.frombuffer(self._data, dtype, count, self._place).reshape(shape).copy()
        self._place += count * dtype.itemsize
        return array

    def check_end(self) -> None:
        """Raise a ``ValueError`` when something follows."""
        if self._place != len(self._data) - _CHECK.size:
            raise ValueError("it has bytes that belong to no array")
