"""The prediction store: what was found on a whole dataset, in one SQLite file, masks as RLE.

A store is appended to while predicting, in a temporary file that takes its place when it is complete; it carries the
fingerprint of what it was made from, is read at random, and nothing in it is executed or unpickled.
"""

import contextlib
import json
import os
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..data.protocols import Dataset
from ..detection.arrays import Rle
from ..detection.detections import Detections, MusketPrediction, from_musket_prediction
from ..errors import DatasetError, one_line
from ..storage.atomic import create_exclusively, temporary_beside
from .prediction_datasets import Predictions

FORMAT = 1

MOST_BYTES = 1 << 28
"""What the predictions of one image may unpack to: some thousand masks of very ragged objects."""

COMMIT_EVERY = 256
"""Items that are held in SQLite's own memory at most before they are written."""

MOST_PIXELS = 1 << 31

_HEADER = struct.Struct("<IIIB")


def pack(found: Detections) -> bytes:
    """Return detections as compressed bytes: header, then labels, scores, boxes and RLE texts, little-endian."""
    parts = [
        _HEADER.pack(len(found), found.height, found.width, found.masks is not None),
        found.labels.astype("<i4").tobytes(),
        found.scores.astype("<f4").tobytes(),
        found.bboxes.astype("<f4").tobytes(),
    ]
    if found.masks is not None:
        counts = [mask["counts"].encode("ascii") for mask in found.masks]
        parts += [np.array([len(entry) for entry in counts], "<u4").tobytes(), *counts]
    return zlib.compress(b"".join(parts), 1)


def unpack(data: bytes) -> Detections:
    """Read what ``pack`` wrote.

    Raises:
        ValueError: The bytes are damaged.
    """
    try:
        raw = _inflated(data)
        count, height, width, with_masks = _HEADER.unpack_from(raw)
        if height * width > MOST_PIXELS:
            raise ValueError(f"its image has {width} x {height} pixels")
        place = _HEADER.size
        arrays = []
        for kind, per_row in (("<i4", 1), ("<f4", 1), ("<f4", 4)):
            arrays.append(np.frombuffer(raw, kind, count * per_row, place).copy())
            place += 4 * count * per_row
        masks = None
        if with_masks:
            lengths = np.frombuffer(raw, "<u4", count, place)
            place += 4 * count
            masks = list[Rle]()
            for length in lengths:
                masks.append({"size": [height, width], "counts": raw[place : place + length].decode("ascii")})
                place += int(length)
        if place != len(raw):
            raise ValueError(f"it has {len(raw)} bytes instead of {place}")
    except (zlib.error, struct.error) as error:
        raise ValueError(str(error)) from error
    return Detections(height, width, arrays[0].astype(np.int64), arrays[1], arrays[2].reshape(-1, 4), masks)


def _inflated(data: bytes) -> bytes:
    """Return what compressed bytes hold; nothing that is larger than the predictions of an image can be."""
    inflater = zlib.decompressobj()
    raw = inflater.decompress(data, MOST_BYTES)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("it is cut off" if len(raw) < MOST_BYTES else f"it unpacks to more than {MOST_BYTES} bytes")
    return raw


class PredictionStore(Predictions):
    """Predictions on a dataset in a file, item by item.

    Args:
        parent: The dataset that was predicted on.
        path: The file; it exists from ``commit`` on.
        bbox_order: Coordinate order of the boxes in ``prediction``.
        fingerprint: What the predictions are made from.
    """

    def __init__(self, parent: Dataset, path: Path, bbox_order: str = "yxyx", fingerprint: str = "") -> None:
        super().__init__(parent, bbox_order)
        self.path = Path(path)
        self.fingerprint = fingerprint
        self._made_from: str | None = fingerprint or None
        self._writing: sqlite3.Connection | None = None
        self._temporary = self.path
        self._reading: tuple[tuple[int, int, int], sqlite3.Connection] | None = None
        self._answers = False
        self._count = 0

    # -- writing ---------------------------------------------------------------------------------------------

    def append(self, item: "Detections | MusketPrediction") -> None:
        """Add the prediction of the next item: ``Detections``, or Musket's prediction tuple."""
        if not isinstance(item, Detections):
            height, width = self._size(item, self._count)
            item = from_musket_prediction(item, height, width, self.bbox_order)
        self.put(self._count, pack(item))

    def put(self, position: int, packed: bytes) -> None:
        """Add what ``pack`` made of the prediction of an item; items may come in any order."""
        if self._writing is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary = temporary_beside(self.path)
            create_exclusively(self._temporary)
            self._writing = sqlite3.connect(self._temporary, check_same_thread=False)
            self._writing.executescript(
                "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
                "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT);"
                "CREATE TABLE found (position INTEGER PRIMARY KEY, data BLOB);"
            )
        self._writing.execute("INSERT INTO found VALUES (?, ?)", (position, packed))
        self._count += 1
        if self._count % COMMIT_EVERY == 0:
            self._writing.commit()

    def _size(self, prediction: MusketPrediction, position: int) -> tuple[int, int]:
        if len(prediction) == 4 and np.ndim(prediction[3]) == 3:
            height, width = np.shape(prediction[3])[1:]
        else:
            height, width = self.parent[position].x.shape[:2]
        return int(height), int(width)

    def commit(self) -> None:
        """Finish the store: it takes the place of an earlier one, whole.

        Raises:
            DatasetError: There are not as many predictions as items.
        """
        if self._count != len(self.parent):
            count = self._count
            self.abandon()
            raise DatasetError(f"{self.path}: {count} predictions for {len(self.parent)} items: predict them all.")
        if self._writing is None:  # an empty dataset
            return
        about = {"format": FORMAT, "items": self._count, "fingerprint": self.fingerprint}
        self._writing.executemany("INSERT INTO about VALUES (?, ?)", [(k, json.dumps(v)) for k, v in about.items()])
        self._writing.commit()
        self._writing.close()
        self._writing = None
        with self._temporary.open("rb+") as file:
            os.fsync(file.fileno())
        self._temporary.replace(self.path)
        self._temporary = self.path

    def abandon(self) -> None:
        """Drop what was appended and not committed."""
        if self._writing is not None:
            self._writing.close()
            self._writing = None
        if self._temporary != self.path:
            self._temporary.unlink(missing_ok=True)
            self._temporary = self.path
        self._count = 0

    # -- reading ---------------------------------------------------------------------------------------------

    def is_current(self) -> bool:
        """Say whether the file is there, whole, and made from what ``fingerprint`` says."""
        try:
            about = self._about()
        except (sqlite3.Error, OSError, ValueError):
            return False
        wanted = {"format": FORMAT, "items": len(self.parent), "fingerprint": self.fingerprint}
        return about == wanted and self.path.stat().st_size == self._whole_size()

    def open(self, dataset: str) -> None:
        """See to it that the file holds predictions on ``parent``, and keep to it from now on.

        Args:
            dataset: What tells ``parent`` from other datasets (``fingerprint.dataset_mark``).

        Raises:
            DatasetError: It cannot be read, or holds predictions on another dataset.
        """
        try:
            about = self._about()
            known = json.loads(about["fingerprint"] or "{}").get("dataset", dataset)
            count = about["items"]
        except (sqlite3.Error, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(
                f"{self.path} is no prediction store that can be read ({one_line(error)}): name another file."
            ) from error
        if known != dataset or count != len(self.parent):
            raise DatasetError(
                f"{self.path} holds predictions on another dataset, or on this one before it changed ({count} items, "
                f"expected {len(self.parent)}): predict on this one, into a file of its own."
            )
        self._made_from = about["fingerprint"]

    def _about(self) -> dict[str, Any]:
        kinds = self._rows("SELECT type FROM sqlite_master WHERE name IN ('about', 'found') LIMIT 3")
        if kinds != [("table",), ("table",)]:
            raise ValueError("its tables are not those of a store")  # a view could compute for ever
        return {key: json.loads(value) for key, value in self._rows("SELECT key, value FROM about LIMIT 9")}

    def _whole_size(self) -> int:
        (pages,), (size,) = *self._rows("PRAGMA page_count"), *self._rows("PRAGMA page_size")
        return int(pages) * int(size)

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        return list(self._connection().execute(query, values))

    def _connection(self) -> sqlite3.Connection:
        """Return a connection of this process to the file as it is now."""
        if not self.path.is_file():
            raise FileNotFoundError(self.path)
        state = (os.getpid(), self.path.stat().st_ino, self.path.stat().st_mtime_ns)
        if self._reading is None or self._reading[0] != state:
            uri = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
            self._reading = (state, sqlite3.connect(uri, uri=True, check_same_thread=False))
            self._answers = False
        return self._reading[1]

    def _check_answers(self) -> None:
        """See to it that the file, as it is now, still answers what this object was made for."""
        self._connection()
        if self._answers:
            return
        made_from = self._about().get("fingerprint")
        if self._made_from is None:
            self._made_from = made_from
        if made_from != self._made_from:
            raise DatasetError(
                f"{self.path} was made anew, from other weights, settings or data than these predictions: ask for them "
                "again."
            )
        self._answers = True

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reading": None, "_writing": None}

    def detections(self, position: int) -> Detections:
        """Return what was found in an item, masks as RLE.

        Raises:
            DatasetError: The store has no such item, or is damaged.
        """
        position = range(len(self))[position]
        try:
            self._check_answers()
            rows = self._rows("SELECT data FROM found WHERE position = ?", (position,))
            return unpack(rows[0][0])
        except (sqlite3.Error, OSError, ValueError, IndexError) as error:
            raise DatasetError(
                f"{self.path}: the prediction of item {position} cannot be read ({one_line(error)}): delete that file, "
                "and it is made anew."
            ) from error


@contextlib.contextmanager
def writing(store: PredictionStore) -> Iterator[PredictionStore]:
    """Commit a store at the end; drop it when anything goes wrong."""
    try:
        yield store
        store.commit()
    except BaseException:
        store.abandon()
        raise
