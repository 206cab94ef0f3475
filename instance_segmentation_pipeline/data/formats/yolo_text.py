"""YOLO's segmentation labels: a text an image, a line an object, of its class and the shares x y of its points.

Source of the format: https://docs.ultralytics.com/datasets/segment/.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ...detection.arrays import Float64Array, Int64Array
from ...detection.detections import Detections
from ...detection.mask_crops import MaskCrops
from ...detection.mask_outlines import joined_polygons, mask_polygons
from ...errors import ConfigError, DatasetError, shortened
from ...storage.atomic import not_writable, write_yaml
from .annotated_image import AnnotatedImage
from .annotation_text import read_annotation_text
from .writing import FileNames, check_masks, write_lines, write_link

MOST_BYTES = 1 << 26
"""Of one file of labels."""
_BEYOND = 0.01
"""How far shares may lie outside 0..1, as rounding makes them."""


@dataclass(frozen=True)
class YoloImage:
    """One image whose objects are lines of a text, which is read when they are asked for.

    Attributes:
        name: What names the image in its dataset.
        file: The image.
        told_by: The text; where there is none, there are no objects.
        classes: How many classes there are.
    """

    name: str
    file: Path
    told_by: Path
    classes: int

    def has_objects(self) -> bool:
        """Say whether there is an object."""
        return bool(self._lines())

    def objects(self, height: int, width: int) -> tuple[Int64Array, MaskCrops]:
        """Return labels ``(N,)`` from 0 and masks.

        Raises:
            DatasetError: A line is wrong; the message is to stand after the image's name.
        """
        labels, polygons = [], []
        for number, line in self._lines():
            try:
                label, points = _object(line, self.classes)
            except DatasetError as error:
                raise DatasetError(f"has line {number} of {self.told_by}, which {error}") from None
            labels.append(label)
            polygons.append((points * (width, height),))
        drawn = AnnotatedImage(self.name, self.file, self.told_by, tuple(labels), tuple(polygons))
        return drawn.objects(height, width)

    def _lines(self) -> list[tuple[int, str]]:
        if not self.told_by.exists():
            return []
        text = read_annotation_text(self.told_by, MOST_BYTES)
        return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _object(line: str, classes: int) -> tuple[int, Float64Array]:
    """Return label and points ``(points, 2)``, x and y as shares of width and height."""
    words = line.split()
    if not words[0].isdecimal() or len(words[0]) > 9 or int(words[0]) >= classes:
        raise DatasetError(f"has the class {shortened(words[0])}, expected a whole number from 0 to {classes - 1}")
    if len(words) == 5:
        raise DatasetError("is a box (class, x, y, width, height), expected the points of a polygon")
    if len(words) < 7 or not len(words) % 2:
        raise DatasetError(f"has {len(words) - 1} numbers after the class, expected x and y of 3 or more points")
    try:
        if "_" in line:
            raise ValueError  # Python's own numbers may have it
        points = np.array([float(word) for word in words[1:]]).reshape(-1, 2)
    except ValueError:
        raise DatasetError(f"is {shortened(line)}, expected numbers") from None
    if not np.isfinite(points).all():
        raise DatasetError(f"is {shortened(line)}, expected finite numbers")
    if points.min() < -_BEYOND or points.max() > 1 + _BEYOND:
        raise DatasetError(
            f"has coordinates from {points.min():g} to {points.max():g}, expected shares of 0..1: divide by width and "
            "height"
        )
    return int(words[0]), points


class YoloWriter:
    """``labels/<image>.txt`` for each image, and ``data.yaml`` with the class names when the context is left.

    An object is one polygon along the sides of its pixels, its parts and holes joined by seams; scores are left out.

    Args:
        folder: The folder to write to.
        class_names: Names of the classes, in label order.
        images: What ``data.yaml`` names as images: a folder or list, relative to it.
        names: Names of the files of images; each as the image by default.
        linked: The folder with the images, to which ``images/<image>`` are links; none are made by default.

    Attributes:
        remarks: What the format could not hold.
    """

    def __init__(
        self,
        folder: Path,
        class_names: Sequence[str],
        images: str = "images",
        names: "FileNames | None" = None,
        linked: "Path | None" = None,
    ) -> None:
        self.folder, self.images = folder, images
        self.remarks: list[str] = []
        self._class_names = class_names
        self._names, self._linked = names or FileNames(), linked

    def __enter__(self) -> "YoloWriter":
        return self

    def add(self, name: str, found: Detections, place: "int | None" = None) -> None:
        """Write the labels of an image; see ``AnnotationWriter``."""
        check_masks(found, "yolo")
        masks = MaskCrops.from_rles(found.masks or [], found.height, found.width)
        lines = []
        for row, label in enumerate(found.labels):
            parts = mask_polygons(masks, row)
            if parts:
                shares = joined_polygons(parts) / (found.width, found.height)
                lines.append(" ".join([str(label), *(_share(value) for value in shares.ravel().tolist())]))
        own = self._names.of(name)
        write_lines(self.folder / "labels" / f"{own}.txt", lines)
        if self._linked is not None:
            link = self.folder / "images" / f"{own}{PurePosixPath(name).suffix}"
            if not write_link(link, (self._linked / name).absolute()) and not self.remarks:
                self.remarks.append(f"{self.folder} can have no links: put the images into its folder images")

    def __exit__(self, kind: "type[BaseException] | None", error: object, trace: object) -> None:
        try:
            write_data_yaml(self.folder / "data.yaml", {"train": self.images, "val": self.images}, self._class_names)
        except OSError as failure:
            if kind is None:
                raise ConfigError(not_writable(self.folder, failure)) from failure


def write_data_yaml(path: Path, parts: "dict[str, str]", class_names: Sequence[str]) -> None:
    """Write ``data.yaml``: where the images of each part are, relative to it, and the names by number."""
    content: dict[str, Any] = {**parts, "names": dict(enumerate(class_names))}
    write_yaml(path, content)


def _share(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0"
