"""COCO's JSON: what was found, or what is there, as ``images``, ``categories`` and ``annotations``.

Format: https://cocodataset.org/#format-data; masks are compressed RLE, boxes ``[x, y, width, height]``, classes from 1.
"""

import itertools
import json
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from pycocotools import mask as coco_mask

from ...detection.detections import Detections
from ...detection.records import to_coco_entry
from ...errors import ConfigError
from ...storage.atomic import not_writable, write_atomically

Entry = dict[str, Any]
"""A mapping of COCO's JSON, or the whole of it."""


def to_coco(entries: Iterable[tuple[str, Detections]], class_names: Sequence[str], scored: bool = True) -> Entry:
    """Return images and their objects as COCO's JSON.

    Args:
        entries: File name and objects of each image.
        class_names: Names of the classes, in label order; the first gets category 1.
        scored: Give each annotation its ``score``: predictions. Without, annotations are ground truth.

    Returns:
        A mapping that ``json.dumps`` takes, and ``pycocotools.coco.COCO`` reads from a file.
    """
    images: list[Entry] = []
    annotations: list[Entry] = []
    for number, (name, found) in enumerate(entries, start=1):
        images.append(_image(number, name, found))
        annotations += _annotations(number, found, len(annotations) + 1, scored)
    return {"images": images, "annotations": annotations, "categories": _categories(class_names)}


class CocoWriter:
    """COCO's JSON, written image by image; 16 bytes an image are held in memory.

    While it is made, ``<file>l`` (``predictions.jsonl``) has a line an image, ``{"image": …, "annotations": […]}``:
    what was found outlives a kill. Leaving the context puts the lines together, in the place of ``path``, atomically;
    also after an error, unless nothing was written.

    Args:
        path: The file to write.
        class_names: Names of the classes, in label order.

    Attributes:
        skipped: Files that are not among the images, and why: ``info.skipped`` of the JSON.

    Raises:
        ConfigError: The folder cannot be made or written to.
    """

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        self.path = path
        self.lines = path.with_name(f"{path.name}l")
        self._class_names = class_names
        self.skipped: Mapping[str, str] = {}
        self._images = self._objects = self._bytes = 0
        self._places, self._offsets = array("q"), array("q")
        self._file: BinaryIO | None = None

    def __enter__(self) -> "CocoWriter":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.lines.unlink(missing_ok=True)
            new = os.open(self.lines, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise ConfigError(not_writable(self.path.parent, error)) from error
        self._file = os.fdopen(new, "wb")
        return self

    def add(self, name: str, found: Detections, place: "int | None" = None) -> None:
        """Write what was found in an image; it is on its way to the disk when this returns.

        Args:
            name: The image's file name.
            found: What was found.
            place: What images are ordered by in the JSON, by default when they were added.
        """
        number = self._images + 1
        annotations = _annotations(number, found, self._objects + 1, scored=True)
        line = {"image": _image(number, name, found), "annotations": annotations}
        text = (json.dumps(line) + "\n").encode()
        assert self._file is not None
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise ConfigError(not_writable(self.path.parent, error)) from error
        self._places.append(self._images if place is None else place)
        self._offsets.append(self._bytes)
        self._images, self._bytes = number, self._bytes + len(text)
        self._objects += len(annotations)

    def __exit__(self, kind: "type[BaseException] | None", error: object, trace: object) -> None:
        try:
            if self._file is not None:
                self._file.close()
            if kind is None or self._images:
                self._put_together()
            self.lines.unlink(missing_ok=True)
        except OSError as failure:
            if kind is None:
                raise ConfigError(not_writable(self.path.parent, failure)) from failure

    def _put_together(self) -> None:
        with write_atomically(self.path) as temporary, temporary.open("w", encoding="utf-8") as file:
            skipped = [{"file_name": name, "reason": reason} for name, reason in self.skipped.items()]
            file.write(f'{{"info": {json.dumps({"skipped": skipped})}, ' if skipped else "{")
            self._write_list(file, "images", (line["image"] for line in self._read()))
            file.write(", ")
            self._write_list(file, "annotations", self._found())
            file.write(f', "categories": {json.dumps(_categories(self._class_names))}}}')

    @staticmethod
    def _write_list(file: TextIO, key: str, records: Iterable[dict[str, Any]]) -> None:
        file.write(f'"{key}": [')
        separator = ""
        for record in records:
            file.write(separator + json.dumps(record))
            separator = ", "
        file.write("]")

    def _found(self) -> Iterator[dict[str, Any]]:
        number = itertools.count(1)
        for line in self._read():
            for annotation in line["annotations"]:
                yield {**annotation, "id": next(number), "image_id": line["image"]["id"]}

    def _read(self) -> Iterator[dict[str, Any]]:
        """Give the lines in the order of their places, with the numbers that images have in it."""
        with self.lines.open("rb") as file:
            for number, row in enumerate(np.argsort(self._places, kind="stable"), start=1):
                file.seek(self._offsets[row])
                line = json.loads(file.readline())
                yield {**line, "image": {**line["image"], "id": number}}


def _image(number: int, name: str, found: Detections) -> Entry:
    return {"id": number, "file_name": name, "height": found.height, "width": found.width}


def _annotations(image_id: int, found: Detections, first_id: int, scored: bool) -> list[Entry]:
    annotations = []
    for row in range(len(found)):
        annotation = {"id": first_id + row, **to_coco_entry(image_id, found.labels[row], found.bboxes[row])}
        box = annotation["bbox"]
        annotation |= {"bbox": [round(side, 2) for side in box], "area": round(box[2] * box[3], 2), "iscrowd": 0}
        if found.masks is not None:
            annotation["segmentation"] = found.masks[row]
            annotation["area"] = float(coco_mask.area(found.masks[row]))
        if scored:
            annotation["score"] = round(float(found.scores[row]), 6)
        annotations.append(annotation)
    return annotations


def _categories(class_names: Sequence[str]) -> list[Entry]:
    return [{"id": number, "name": name} for number, name in enumerate(class_names, start=1)]
