"""CVAT's XML for images: polygons, masks, boxes and ellipses; shapes of one label and group are one object.

Source of the format: https://docs.cvat.ai/docs/manual/advanced/xml_format/, "annotations for images"; masks are run
lengths of their box row by row, from the background on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

import numpy as np

from ...detection.arrays import Float64Array
from ...detection.mask_crops import MaskCrops
from ...errors import DatasetError, one_line, shortened
from .annotated_image import AnnotatedImage, Segmentation, check_labels, check_pixels, polygon_of
from .annotation_text import read_annotation_text
from .image_lookup import images_by_name_or_stem

_SHAPES = frozenset({"polygon", "mask", "box", "ellipse"})
_OTHERS = frozenset({"polyline", "points", "cuboid", "skeleton"})
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_ELLIPSE_POINTS = 64
_BLOCK = 1 << 16
"""Bytes that are read at a time to tell what a file is."""


@dataclass
class _Image:
    name: str
    size: "tuple[int, int]"
    objects: "dict[Any, tuple[str, list[Segmentation]]]" = field(default_factory=dict)


class _Reader:
    """Takes the elements of a file as they come; a document type or an entity of its own is refused."""

    def __init__(self, path: Path, ignored: Sequence[str]) -> None:
        self.images: list[_Image] = []
        self.labels: list[str] = []
        self._path, self._ignored = path, ignored
        self._within: list[str] = []
        self._text: list[str] = []
        self._parser = expat.ParserCreate("UTF-8")  # whatever encoding is declared: the text was read as UTF-8
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse

    def read(self, text: str) -> None:
        try:
            self._parser.Parse(text.encode(), True)
        except expat.ExpatError as error:
            raise DatasetError(f"{self._path} is no XML: {one_line(error)}.") from None

    def _refuse(self, *_: object) -> NoReturn:
        raise DatasetError(f"{self._path} declares a document type, which CVAT's XML has not: take it out.")

    def _start(self, name: str, given: "dict[str, str]") -> None:
        if not self._within and name != "annotations":
            raise DatasetError(f"{self._path} has the root {shortened(name)}, expected annotations, as CVAT's XML.")
        if name == "track":
            raise DatasetError(f"{self._path} has tracks of a video: export it from CVAT as CVAT for images.")
        self._text.clear()
        if name == "image":
            self._image(given)
        elif self._within[-1:] == ["image"]:
            self._shape(name, given)
        self._within.append(name)

    def _end(self, name: str) -> None:
        self._within.pop()
        if name == "name" and self._within[-1:] == ["label"]:
            self.labels.append("".join(self._text).strip())

    def _image(self, given: "dict[str, str]") -> None:
        where = f"{self._path}: line {self._parser.CurrentLineNumber}"
        sides = [given.get(side, "") for side in ("height", "width")]
        if not given.get("name", "").strip():
            raise DatasetError(f"{where} has an image without a name.")
        if not all(side.isdecimal() and len(side) < 10 and int(side) for side in sides):
            raise DatasetError(
                f"{where} has an image of height {shortened(sides[0])} and width {shortened(sides[1])}, expected whole "
                "numbers of pixels."
            )
        self.images.append(_Image(given["name"], (int(sides[0]), int(sides[1]))))

    def _shape(self, kind: str, given: "dict[str, str]") -> None:
        where = f"{self._path}: line {self._parser.CurrentLineNumber}"
        label = given.get("label", "").strip()
        if kind in ("tag", "attribute") or label in self._ignored:
            return
        if kind in _OTHERS:
            raise DatasetError(f"{where} has a {kind}, which has no mask: add its label {shortened(label)} to ignore.")
        if kind not in _SHAPES or not label:
            raise DatasetError(f"{where} has {shortened(kind)} of label {shortened(label)}, expected a shape's label.")
        image = self.images[-1]
        try:
            made = _segmentation(kind, given, image.size)
        except DatasetError as error:
            raise DatasetError(f"{where} has a {kind} that {error}.") from None
        group = given.get("group_id", "0")
        key = (len(image.objects),) if group in ("", "0") else (label, group)
        image.objects.setdefault(key, (label, []))[1].append(made)


def read_cvat(
    path: Path, folder: Path, classes: "Sequence[str] | None", ignored: Sequence[str], *, skip_missing: bool
) -> "tuple[tuple[str, ...], list[AnnotatedImage]]":
    """Read CVAT's XML for images.

    Args:
        path: The XML.
        folder: Where its images are.
        classes: Labels in label order; by default those that the file declares, else those of its shapes, sorted.
        ignored: Labels whose shapes are left out.
        skip_missing: Leave out images whose files are not there.

    Raises:
        DatasetError: What is wrong, with the file and the line.
    """
    reader = _Reader(path, ignored)
    text = read_annotation_text(path)
    if not text.strip():
        raise DatasetError(f"{path} is empty, expected CVAT's XML.")
    reader.read(text)
    if not reader.images:
        raise DatasetError(f"{path} has no image: expected CVAT's XML for images.")
    names = _names(path, reader, classes, ignored)
    place = {name: label for label, name in enumerate(names)}
    twice = {one.name for one in reader.images}
    if len(twice) < len(reader.images):
        raise DatasetError(f"{path} has {len(reader.images) - len(twice)} images twice: item ids have to differ.")
    drawn = (one for image in reader.images for _, parts in image.objects.values() for one in parts)
    check_pixels((one for one in drawn if isinstance(one, tuple)), str(path))
    files = images_by_name_or_stem([one.name for one in reader.images], folder, path, skip_missing=skip_missing)
    return names, [
        AnnotatedImage(
            one.name,
            file,
            path,
            tuple(place[label] for label, _ in one.objects.values()),
            tuple(_joined(parts, one.size) for _, parts in one.objects.values()),
            one.size,
        )
        for one, file in zip(reader.images, files, strict=True)
        if file is not None
    ]


def first_images(path: Path, most: int = 3) -> "list[str] | None":
    """Return the names of the first images of CVAT's XML, as far as it can be read; ``None`` for another file."""
    names: list[str] = []
    roots: list[str] = []
    is_told = False

    def root(name: str, *_: object) -> None:
        roots.append(name)

    def start(name: str, given: "dict[str, str]") -> None:
        nonlocal is_told
        roots.append(name)
        is_told |= name in ("image", "track")
        if name == "image":
            names.append(given.get("name", ""))

    parser = expat.ParserCreate("UTF-8")
    parser.StartElementHandler, parser.StartDoctypeDeclHandler = start, root
    parser.EntityDeclHandler = _no_entity
    try:
        with path.open("rb") as opened:
            while len(names) < most and set(roots[:1]) <= {"annotations"} and (block := opened.read(_BLOCK)):
                parser.Parse(block, False)
    except (OSError, expat.ExpatError, DatasetError, ValueError):
        pass  # what is wrong with it, the provider tells
    return names[:most] if roots[:1] == ["annotations"] and is_told else None


def _no_entity(*_: object) -> NoReturn:
    raise DatasetError("entities are not read")


def _names(path: Path, reader: _Reader, classes: "Sequence[str] | None", ignored: Sequence[str]) -> tuple[str, ...]:
    used = sorted({label for image in reader.images for label, _ in image.objects.values()})
    declared = [label for label in dict.fromkeys(reader.labels) if label not in ignored]
    names = tuple(classes or declared or used)
    if not names:
        raise DatasetError(f"{path} has no labels: give classes.")
    check_labels(dict.fromkeys(used, f"{path} has the label"), names)
    return names


def _segmentation(kind: str, given: "dict[str, str]", size: "tuple[int, int]") -> Segmentation:
    if kind == "mask":
        return _mask(given, size)
    if kind == "polygon":
        pairs = [point.split(",") for point in given.get("points", "").split(";") if point.strip()]
        alone = next((pair for pair in pairs if len(pair) != 2), None)
        if alone is not None:
            raise DatasetError(f"has the point {shortened(','.join(alone))}, expected x and y")
        return (polygon_of([_number(one) for pair in pairs for one in pair]),)
    if kind == "box":
        x1, y1, x2, y2 = (_number(given.get(corner, "")) for corner in _CORNERS)
        corners = polygon_of([x1, y1, x2, y1, x2, y2, x1, y2])
        return (_turned(corners, (x1 + x2) / 2, (y1 + y2) / 2, given),)
    cx, cy, rx, ry = (_number(given.get(key, "")) for key in ("cx", "cy", "rx", "ry"))
    if rx < 0 or ry < 0:
        raise DatasetError(f"has the radii {rx:g} and {ry:g}, expected 0 or more")
    angles = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)
    outline: Float64Array = np.stack([cx + rx * np.cos(angles), cy + ry * np.sin(angles)], axis=1)
    return (_turned(outline, cx, cy, given),)


def _turned(outline: Float64Array, cx: float, cy: float, given: "dict[str, str]") -> Float64Array:
    """Return an outline turned about its centre by the shape's ``rotation``, degrees clockwise as it is seen."""
    angle = np.deg2rad(_number(given.get("rotation") or "0"))
    if not angle:
        return outline
    centre, cosine, sine = np.array([cx, cy]), np.cos(angle), np.sin(angle)
    turned: Float64Array = centre + (outline - centre) @ np.array([[cosine, sine], [-sine, cosine]])
    return turned


def _mask(given: "dict[str, str]", size: "tuple[int, int]") -> Segmentation:
    texts = [given.get(key, "") for key in ("left", "top", "width", "height")]
    if not all(text.isdecimal() and len(text) < 10 for text in texts):
        raise DatasetError(f"has left, top, width and height {shortened(texts)}, expected whole numbers")
    left, top, width, height = map(int, texts)
    if left + width > size[1] or top + height > size[0] or not width * height:
        raise DatasetError(f"lies outside its image of height {size[0]} and width {size[1]}, or is empty")
    words = given.get("rle", "").replace(",", " ").split()
    if not words or not all(word.isdecimal() and len(word) < 10 for word in words):
        raise DatasetError(f"has rle {shortened(given.get('rle'))}, expected run lengths")
    runs = np.array(words, np.int64)
    if runs.sum() != width * height:
        raise DatasetError(f"has runs of {runs.sum()} pixels, expected {width} x {height} = {width * height}")
    values = (np.arange(len(runs)) % 2).astype(np.uint8)
    crop = np.repeat(values, runs).reshape(height, width)
    boxes = np.array([[left, top, left + width, top + height]], np.int64)
    rle: Mapping[str, Any] = MaskCrops(*size, boxes, (crop,)).to_rles()[0]
    return rle


def _joined(parts: "list[Segmentation]", size: "tuple[int, int]") -> Segmentation:
    """Return the parts of an object as one mask: polygons stay such."""
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, tuple) for part in parts):
        return tuple(points for part in parts if isinstance(part, tuple) for points in part)
    from pycocotools import mask as coco_mask

    rles = []
    for part in parts:
        if isinstance(part, tuple):
            rles += coco_mask.frPyObjects([points.ravel().tolist() for points in part], *size)
        else:
            rles.append(part)
    whole = coco_mask.merge(rles)
    return {"size": list(size), "counts": whole["counts"].decode("ascii")}


def _number(text: str) -> float:
    try:
        number = float(text.replace("_", "?"))  # Python's own numbers may have it
    except ValueError:
        raise DatasetError(f"has {shortened(text)}, expected numbers") from None
    if not np.isfinite(number):
        raise DatasetError(f"has {shortened(text)}, expected finite numbers")
    return number
