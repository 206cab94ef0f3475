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

from ...detection.arrays import Int64Array
from ...detection.crowds import Crowds
from ...detection.detections import Detections
from ...detection.mask_crops import MaskCrops
from ...detection.mask_outlines import mask_polygons
from ...detection.records import to_coco_entry
from ...errors import ConfigError, DatasetError, nearest, shortened
from ...storage.atomic import not_writable, write_atomically
from .annotated_image import AnnotatedImage, Segmentation, check_pixels, polygons_of
from .annotation_text import read_annotation_json
from .image_lookup import are_there, existing_images

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
        scored: Give each annotation its ``score``: predictions. Without, annotations are ground truth.
        polygons: Write masks as polygons along the sides of pixels, their holes joined by seams, not as RLE.

    Attributes:
        remarks: What the format could not hold: nothing, crowds neither.
        skipped: Files that are not among the images, and why: ``info.skipped`` of the JSON.

    Raises:
        ConfigError: The folder cannot be made or written to.
    """

    def __init__(self, path: Path, class_names: Sequence[str], scored: bool = True, polygons: bool = False) -> None:
        self.path = path
        self.remarks: list[str] = []
        self._scored, self._polygons = scored, polygons
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

    def add(
        self,
        name: str,
        found: Detections,
        place: "int | None" = None,
        crowds: "Crowds | None" = None,
    ) -> None:
        """Write what was found in an image; it is on its way to the disk when this returns.

        Args:
            name: The image's file name.
            found: What was found.
            place: What images are ordered by in the JSON, by default when they were added.
            crowds: Labels from 0 and masks of regions whose objects are not told apart; they are ``iscrowd``, and stay
                RLE, plain where objects are polygons.
        """
        number = self._images + 1
        annotations = _annotations(number, found, self._objects + 1, self._scored, self._polygons)
        if crowds is not None:
            annotations += _crowds(number, *crowds, self._objects + 1 + len(annotations), plain=self._polygons)
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


def read_coco(
    path: Path, folder: Path, classes: "Sequence[str] | None" = None, *, skip_missing: bool = False
) -> "tuple[tuple[str, ...], list[AnnotatedImage]]":
    """Read COCO's JSON: instances as polygons, compressed or plain RLE; ids are any numbers or texts.

    Crowds (``iscrowd: 1``) are no objects, but regions that are ignored.

    Args:
        path: The JSON.
        folder: What its file names are relative to.
        classes: Names of the categories to take, in label order; by default all, in the order of their ids.
        skip_missing: Leave out images whose files are not there.

    Returns:
        The class names, and the images in the order of the file.

    Raises:
        DatasetError: What is wrong, with the file and the entry's place in it.
    """
    whole = read_annotation_json(path)
    for key in ("images", "annotations", "categories"):
        if not isinstance(whole, dict) or not isinstance(whole.get(key), list):
            raise DatasetError(f"{path} has no list {key}: expected COCO's JSON, with images, annotations, categories.")
    names, label_of = _labels_of(path, whole["categories"], classes)
    images = _by_id(path, "images", whole["images"])
    if not images:
        raise DatasetError(f"{path} has no images: expected one or more.")
    file_names = [_file_name(path, number, entry) for number, entry in enumerate(images.values())]
    sizes = [_size(path, number, entry) for number, entry in enumerate(images.values())]
    _check_different(path, "images", "file_name", file_names)
    _check_different(
        path, "annotations", "id", [one.get("id") for one in whole["annotations"] if isinstance(one, dict)]
    )
    objects: dict[Any, list[tuple[int, Segmentation, bool]]] = {key: [] for key in images}
    for number, entry in enumerate(whole["annotations"]):
        found = _object(f"{path}: annotation {number}", entry, images, label_of)
        if found is not None:
            objects[entry["image_id"]].append(found)
    drawn = (one for grouped in objects.values() for _, one, _ in grouped if isinstance(one, tuple))
    check_pixels(drawn, str(path))
    kept = are_there(file_names, folder) if skip_missing else [True] * len(images)
    rows = [row for row, there in enumerate(kept) if there]
    if not rows:
        raise DatasetError(f"{path}: none of its {len(images)} images is in {folder}.")
    files = existing_images([file_names[row] for row in rows], folder, path)
    grouped = list(objects.values())
    return names, [
        AnnotatedImage(
            file_names[row],
            file,
            path,
            tuple(label for label, _, crowd in grouped[row] if not crowd),
            tuple(segmentation for _, segmentation, crowd in grouped[row] if not crowd),
            sizes[row],
            tuple(label for label, _, crowd in grouped[row] if crowd),
            tuple(segmentation for _, segmentation, crowd in grouped[row] if crowd),
        )
        for row, file in zip(rows, files, strict=True)
    ]


def _by_id(path: Path, key: str, entries: "list[Any]") -> dict[Any, Entry]:
    found: dict[Any, Entry] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not _is_id(entry.get("id")):
            raise DatasetError(f"{path}: {key}[{number}] is {shortened(entry)}, expected a mapping with an id.")
        if entry["id"] in found:
            raise DatasetError(
                f"{path}: {key}[{number}] has the id {shortened(entry['id'])} of another: make ids differ."
            )
        found[entry["id"]] = entry
    return found


def _check_different(path: Path, key: str, field: str, values: "list[Any]") -> None:
    seen = set()
    for value in values:
        if _is_id(value) and value in seen:
            raise DatasetError(f"{path}: two of its {key} have the {field} {shortened(value)}: make them differ.")
        if _is_id(value):
            seen.add(value)


def _is_id(value: object) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _labels_of(
    path: Path, entries: "list[Any]", classes: "Sequence[str] | None"
) -> "tuple[tuple[str, ...], dict[Any, int | None]]":
    """Return class names, and by a category's id its label from 0; ``None`` for those that are not taken."""
    categories = _by_id(path, "categories", entries)
    ids = sorted(categories) if all(isinstance(one, int) for one in categories) else list(categories)
    names: dict[str, Any] = {}
    for one in ids:
        name = categories[one].get("name")
        if not isinstance(name, str) or not name.strip():
            raise DatasetError(f"{path}: category {shortened(one)} has the name {shortened(name)}, expected a text.")
        if name in names:
            raise DatasetError(
                f"{path}: categories {shortened(names[name])} and {shortened(one)} are both named {shortened(name)}: "
                "give each a name of its own."
            )
        names[name] = one
    if not names:
        raise DatasetError(f"{path} has no categories: expected one or more.")
    unknown = next((name for name in classes or () if name not in names), None)
    if unknown is not None:
        raise DatasetError(f"{path} has no category {shortened(unknown)}{nearest(unknown, names)}: correct classes.")
    chosen = tuple(names) if classes is None else tuple(classes)
    place = {names[name]: label for label, name in enumerate(chosen)}
    return chosen, {one: place.get(one) for one in ids}


def _file_name(path: Path, number: int, entry: Entry) -> str:
    name = entry.get("file_name")
    if not isinstance(name, str) or not name.strip():
        raise DatasetError(f"{path}: images[{number}] has the file_name {shortened(name)}, expected a text.")
    return name


def _size(path: Path, number: int, entry: Entry) -> "tuple[int, int] | None":
    sides = entry.get("height"), entry.get("width")
    if sides == (None, None):
        return None
    if not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        raise DatasetError(
            f"{path}: images[{number}] has height {shortened(sides[0])} and width {shortened(sides[1])}, expected "
            "whole numbers of pixels."
        )
    return int(sides[0]), int(sides[1])  # type: ignore[arg-type]


def _object(
    where: str, entry: Any, images: "dict[Any, Entry]", label_of: "dict[Any, int | None]"
) -> "tuple[int, Segmentation, bool] | None":
    """Return label and mask of an annotation, and whether it is a crowd; ``None`` for a class that is not taken."""
    if not isinstance(entry, dict):
        raise DatasetError(f"{where} is {shortened(entry)}, expected a mapping.")
    for key, known, what in (("image_id", images, "images"), ("category_id", label_of, "categories")):
        if not _is_id(entry.get(key)) or entry[key] not in known:
            raise DatasetError(f"{where} has {key} {shortened(entry.get(key))}, which no entry of {what} has as id.")
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise DatasetError(f"{where} has iscrowd {shortened(crowd)}, expected 0 or 1.")
    label = label_of[entry["category_id"]]
    if label is None:
        return None
    given = entry.get("segmentation")
    if given is None:
        raise DatasetError(f"{where} has no segmentation: a mask is expected, a box alone is not enough.")
    try:
        return label, _rle_of(given) if isinstance(given, dict) else polygons_of(given), bool(crowd)
    except DatasetError as error:
        raise DatasetError(f"{where}: its segmentation {error}.") from None


def _rle_of(given: Entry) -> Entry:
    size, counts = given.get("size"), given.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(isinstance(side, int) for side in size):
        raise DatasetError(f"has size {shortened(size)}, expected [height, width]")
    if isinstance(counts, str):
        return {"size": size, "counts": counts}
    if not isinstance(counts, list) or not all(type(run) is int and 0 <= run < 1 << 40 for run in counts):
        raise DatasetError(f"has counts {shortened(counts)}, expected text or a list of run lengths")
    return {"size": size, "counts": np.array(counts, np.int64)}


def _image(number: int, name: str, found: Detections) -> Entry:
    return {"id": number, "file_name": name, "height": found.height, "width": found.width}


def _annotations(image_id: int, found: Detections, first_id: int, scored: bool, polygons: bool = False) -> list[Entry]:
    annotations = []
    drawn = (
        MaskCrops.from_rles(found.masks, found.height, found.width) if polygons and found.masks is not None else None
    )
    for row in range(len(found)):
        annotation = {"id": first_id + row, **to_coco_entry(image_id, found.labels[row], found.bboxes[row])}
        box = annotation["bbox"]
        annotation |= {"bbox": [round(side, 2) for side in box], "area": round(box[2] * box[3], 2), "iscrowd": 0}
        if found.masks is not None:
            annotation["segmentation"] = found.masks[row] if drawn is None else _outlines(drawn, row)
            annotation["area"] = float(coco_mask.area(found.masks[row]))
        if scored:
            annotation["score"] = round(float(found.scores[row]), 6)
        annotations.append(annotation)
    return annotations


def _crowds(image_id: int, labels: Int64Array, masks: MaskCrops, first_id: int, *, plain: bool) -> list[Entry]:
    annotations, rles, areas = [], masks.to_rles(), masks.areas().tolist()
    for row, (label, box) in enumerate(zip(labels, masks.tight_boxes(), strict=True)):
        entry = {"id": first_id + row, **to_coco_entry(image_id, label, box), "area": float(areas[row]), "iscrowd": 1}
        counts: Any = masks.run_lengths(row).tolist() if plain else rles[row]["counts"]
        annotations.append({**entry, "segmentation": {"size": rles[row]["size"], "counts": counts}})
    return annotations


def _outlines(masks: MaskCrops, row: int) -> list[list[float]]:
    return [polygon.ravel().tolist() for polygon in mask_polygons(masks, row)]


def _categories(class_names: Sequence[str]) -> list[Entry]:
    return [{"id": number, "name": name} for number, name in enumerate(class_names, start=1)]
