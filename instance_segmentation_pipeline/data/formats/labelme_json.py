"""LabelMe's JSON, a file an image: polygons, rectangles and circles; shapes of one label and group are one object.

Source of the format: ``examples/instance_segmentation`` of https://github.com/wkentaro/labelme.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...detection.arrays import Float64Array
from ...detection.detections import Detections
from ...detection.mask_crops import MaskCrops
from ...detection.mask_outlines import mask_polygons
from ...errors import DatasetError, shortened
from .annotated_image import AnnotatedImage, Polygons, check_labels, check_pixels, polygon_of
from .annotation_text import read_annotation_json
from .writing import FileNames, write_whole

NO_CLASSES = ("__ignore__", "_background_")
"""Labels that stand for no object in LabelMe's own examples."""
MOST_BYTES = 1 << 28
"""Of one file, which may have its image within."""
_CIRCLE_POINTS = 64


@dataclass(frozen=True)
class _Read:
    file: Path
    image: Path
    size: "tuple[int, int] | None"
    objects: "tuple[tuple[str, Polygons], ...]"


def read_labelme(
    files: Sequence[Path], classes: "Sequence[str] | None", ignored: Sequence[str]
) -> "tuple[tuple[str, ...], list[AnnotatedImage]]":
    """Read LabelMe's JSON files.

    Args:
        files: The files.
        classes: Labels in label order; by default those that there are, sorted.
        ignored: Labels whose shapes are left out.

    Returns:
        The class names, and an image a file.

    Raises:
        DatasetError: What is wrong, with the file and the shape's place in it.
    """
    read = [_file(path, ignored) for path in files]
    check_pixels((polygons for one in read for _, polygons in one.objects), str(files[0].parent))
    used = {label: f"{one.file} has the label" for one in read for label, _ in one.objects}
    names = tuple(sorted(used)) if classes is None else tuple(classes)
    if not names:
        raise DatasetError(f"{files[0].parent}: none of {len(files)} files of LabelMe has an object: give classes.")
    check_labels(used, names)
    place = {name: label for label, name in enumerate(names)}
    return names, [
        AnnotatedImage(
            one.image.name,
            one.image,
            one.file,
            tuple(place[label] for label, _ in one.objects),
            tuple(polygons for _, polygons in one.objects),
            one.size,
        )
        for one in read
    ]


def _file(path: Path, ignored: Sequence[str]) -> _Read:
    whole = read_annotation_json(path, MOST_BYTES)
    if not isinstance(whole, dict) or not isinstance(whole.get("shapes"), list):
        raise DatasetError(f"{path} has no list shapes: expected a JSON of LabelMe.")
    objects: dict[Any, tuple[str, Polygons]] = {}
    for number, shape in enumerate(whole["shapes"]):
        where = f"{path}: shapes[{number}]"
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"].strip():
            raise DatasetError(f"{where} is {shortened(shape)}, expected a mapping with a label.")
        if shape["label"] in ignored:
            continue
        try:
            outline = _outline(shape)
        except DatasetError as error:
            raise DatasetError(f"{where} {error}.") from None
        group = shape.get("group_id")
        if group is not None and (not isinstance(group, (int, str)) or isinstance(group, bool)):
            raise DatasetError(f"{where} has group_id {shortened(group)}, expected a number or nothing.")
        key = (number,) if group is None else (shape["label"], group)
        before = objects[key][1] if key in objects else ()
        objects[key] = shape["label"], (*before, outline)
    return _Read(path, _image(path, whole.get("imagePath")), _size(path, whole), tuple(objects.values()))


def _outline(shape: "dict[str, Any]") -> Float64Array:
    """Return the polygon ``(points, 2)`` of a shape."""
    kind, points = shape.get("shape_type") or "polygon", shape.get("points")
    if kind not in ("polygon", "rectangle", "circle"):
        raise DatasetError(
            f"has shape_type {shortened(kind)}, expected polygon, rectangle or circle: or add its label to ignore"
        )
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise DatasetError(f"has points {shortened(points)}, expected pairs of x and y")
    if kind == "polygon" or (kind == "rectangle" and len(points) == 4):  # its corners, as other programs write it
        return polygon_of([number for point in points for number in point])
    if len(points) != 2:
        raise DatasetError(f"is a {kind} of {len(points)} points, expected 2, or the 4 corners of a rectangle")
    (x1, y1), (x2, y2), _ = polygon_of([*points[0], *points[1], *points[1]]).tolist()
    if kind == "rectangle":
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    angles = np.linspace(0, 2 * np.pi, _CIRCLE_POINTS, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    circle: Float64Array = np.array([x1, y1]) + np.hypot(x2 - x1, y2 - y1) * directions
    return circle


def _image(path: Path, given: object) -> Path:
    """Return the image: where ``imagePath`` says, relative to the JSON, else beside the JSON."""
    if not isinstance(given, str) or not given.strip():
        raise DatasetError(f"{path} has imagePath {shortened(given)}, expected the image's name.")
    spelled = given.replace("\\", "/")
    for name in dict.fromkeys((given, spelled, spelled.rpartition("/")[2])):
        try:
            if name and (path.parent / name).is_file():
                return path.parent / name
        except (OSError, ValueError):  # too long, or with a zero byte
            continue
    raise DatasetError(f"{path} has imagePath {shortened(given)}, which is not there, nor beside it: add the image.")


def _size(path: Path, whole: "dict[str, Any]") -> "tuple[int, int] | None":
    sides = whole.get("imageHeight"), whole.get("imageWidth")
    if sides == (None, None):
        return None
    if not all(type(side) is int and side > 0 for side in sides):
        raise DatasetError(
            f"{path} has imageHeight {shortened(sides[0])} and imageWidth {shortened(sides[1])}, expected whole "
            "numbers."
        )
    return int(sides[0]), int(sides[1])  # type: ignore[arg-type]


class LabelmeWriter:
    """``<image>.json`` for each image: polygons along the sides of pixels, those of one object with one ``group_id``.

    Holes are joined to their outline by seams. Objects without masks are rectangles. LabelMe keeps ``score``, but
    does not show it.

    Args:
        folder: The folder to write to.
        class_names: Names of the classes, in label order.
        scored: Give each shape its ``score``.
        image_path: Gives the image's path, as the JSON in ``folder`` is to have it, by its name; the name by default.
        names: Names of the files of images; each as the image by default.

    Attributes:
        remarks: What the format could not hold.
    """

    def __init__(
        self,
        folder: Path,
        class_names: Sequence[str],
        scored: bool = False,
        image_path: "Callable[[str], str]" = str,
        names: "FileNames | None" = None,
    ) -> None:
        self.folder = folder
        self.remarks: list[str] = []
        self._class_names, self._scored, self._image_path = class_names, scored, image_path
        self._names = names or FileNames()

    def __enter__(self) -> "LabelmeWriter":
        return self

    def add(self, name: str, found: Detections, place: "int | None" = None) -> None:
        """Write the JSON of an image; see ``AnnotationWriter``."""
        masks = None if found.masks is None else MaskCrops.from_rles(found.masks, found.height, found.width)
        shapes = [shape for row in range(len(found)) for shape in self._shapes(found, masks, row)]
        own = self._names.of(name)
        whole: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": "../" * own.count("/") + self._image_path(name),
            "imageData": None,
            "imageHeight": found.height,
            "imageWidth": found.width,
        }
        text = json.dumps(whole, indent=1)
        write_whole(self.folder / f"{own}.json", lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def __exit__(self, kind: "type[BaseException] | None", error: object, trace: object) -> None:
        """Do nothing: each file is whole."""

    def _shapes(self, found: Detections, masks: "MaskCrops | None", row: int) -> "list[dict[str, Any]]":
        if masks is None:
            kind, outlines = "rectangle", [found.bboxes[row].astype(np.float64).reshape(2, 2)]
        else:
            kind, outlines = "polygon", mask_polygons(masks, row)
        label = self._class_names[int(found.labels[row])]
        shape: dict[str, Any] = {"label": label, "shape_type": kind, "flags": {}}
        if self._scored:
            shape["score"] = round(float(found.scores[row]), 6)
        group = row if len(outlines) > 1 else None
        return [{**shape, "points": points.tolist(), "group_id": group} for points in outlines]
