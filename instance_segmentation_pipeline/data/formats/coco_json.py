"""COCO's JSON: what was found, or what is there, as ``images``, ``categories`` and ``annotations``.

Format: https://cocodataset.org/#format-data; masks are compressed RLE, boxes ``[x, y, width, height]``, classes from 1.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from pycocotools import mask as coco_mask

from ...detection.detections import Detections
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
    """COCO's JSON, written image by image; what is held in memory does not grow.

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
        self._images = self._objects = 0
        self._file: TextIO | None = None

    def __enter__(self) -> "CocoWriter":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.lines.unlink(missing_ok=True)
            new = os.open(self.lines, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise ConfigError(not_writable(self.path.parent, error)) from error
        self._file = os.fdopen(new, "w", encoding="utf-8")
        return self

    def add(self, name: str, found: Detections) -> None:
        """Write what was found in an image; it is on its way to the disk when this returns."""
        self._images += 1
        annotations = _annotations(self._images, found, self._objects + 1, scored=True)
        self._objects += len(annotations)
        line = {"image": _image(self._images, name, found), "annotations": annotations}
        assert self._file is not None
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise ConfigError(not_writable(self.path.parent, error)) from error

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
            for key, parts in (("images", ([line["image"]] for line in self._read())), ("annotations", self._found())):
                file.write(("" if key == "images" else ", ") + f'"{key}": [')
                separator = ""
                for part in parts:
                    for record in part:
                        file.write(separator + json.dumps(record))
                        separator = ", "
                file.write("]")
            file.write(f', "categories": {json.dumps(_categories(self._class_names))}}}')

    def _found(self) -> Iterator[list[Entry]]:
        return (line["annotations"] for line in self._read())

    def _read(self) -> Iterator[Entry]:
        with self.lines.open(encoding="utf-8") as file:
            for text in file:
                if text.endswith("\n"):  # a full disk cuts the last one
                    yield json.loads(text)


def _image(number: int, name: str, found: Detections) -> Entry:
    return {"id": number, "file_name": name, "height": found.height, "width": found.width}


def _annotations(image_id: int, found: Detections, first_id: int, scored: bool) -> list[Entry]:
    annotations = []
    for row in range(len(found)):
        x1, y1, x2, y2 = (float(value) for value in found.bboxes[row])
        annotation: Entry = {
            "id": first_id + row,
            "image_id": image_id,
            "category_id": int(found.labels[row]) + 1,
            "bbox": [round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2)],
            "area": round((x2 - x1) * (y2 - y1), 2),
            "iscrowd": 0,
        }
        if found.masks is not None:
            annotation["segmentation"] = found.masks[row]
            annotation["area"] = float(coco_mask.area(found.masks[row]))
        if scored:
            annotation["score"] = round(float(found.scores[row]), 6)
        annotations.append(annotation)
    return annotations


def _categories(class_names: Sequence[str]) -> list[Entry]:
    return [{"id": number, "name": name} for number, name in enumerate(class_names, start=1)]
