"""What the files of a format tell of one image: masks stay polygons or run lengths, and are never drawn densely."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pycocotools import mask as coco_mask

from ...detection.arrays import Float64Array, Int64Array
from ...detection.mask_crops import MaskCrops
from ...errors import DatasetError, nearest, shortened

Polygons = tuple[Float64Array, ...]
"""Parts of one object, each ``(points, 2)``: x and y in pixels, from the upper left corner of the image."""
Segmentation = Polygons | Mapping[str, Any]
"""Polygons, or a COCO RLE dict whose counts are text or an array ``(runs,)`` int64."""


class ImageAnnotations(Protocol):
    """One image and its objects, in whatever format."""

    @property
    def name(self) -> str:
        """What names it in its dataset."""
        ...

    @property
    def file(self) -> Path:
        """The image."""
        ...

    @property
    def told_by(self) -> Path:
        """The file or folder of its annotations."""
        ...

    def has_objects(self) -> bool:
        """Say whether there is an object."""
        ...

    def objects(self, height: int, width: int) -> "tuple[Int64Array, MaskCrops]":
        """Return labels ``(N,)`` from 0 and masks, for an image of this size; see ``AnnotatedImage``."""
        ...


@dataclass(frozen=True)
class AnnotatedImage:
    """One image whose objects are known, as polygons or run lengths.

    Attributes:
        name: What names it in its dataset.
        file: The image.
        told_by: The file of its annotations.
        labels: Class of each object, from 0.
        segmentations: Mask of each object.
        size: Height and width that the annotations are of, ``None`` where they do not tell.
        crowd_labels: Class of each region whose objects are not told apart, from 0.
        crowd_segmentations: Mask of each such region.
    """

    name: str
    file: Path
    told_by: Path
    labels: tuple[int, ...]
    segmentations: tuple[Segmentation, ...]
    size: "tuple[int, int] | None" = None
    crowd_labels: tuple[int, ...] = ()
    crowd_segmentations: tuple[Segmentation, ...] = ()

    def has_objects(self) -> bool:
        """Say whether there is an object."""
        return bool(self.labels)

    def objects(self, height: int, width: int) -> "tuple[Int64Array, MaskCrops]":
        """Return labels ``(N,)`` from 0 and masks, for the image's own size; what covers no pixel is left out.

        Raises:
            DatasetError: A mask cannot be one of such an image; the message is to stand after the image's name.
        """
        return self._drawn(self.labels, self.segmentations, height, width)

    def crowds(self, height: int, width: int) -> "tuple[Int64Array, MaskCrops]":
        """Return labels and masks of the regions whose objects are not told apart, as ``objects``."""
        return self._drawn(self.crowd_labels, self.crowd_segmentations, height, width)

    def _drawn(
        self, labels: Sequence[int], segmentations: Sequence[Segmentation], height: int, width: int
    ) -> "tuple[Int64Array, MaskCrops]":
        if self.size is not None and self.size != (height, width):
            raise DatasetError(
                f"is annotated at {self.size[0]} x {self.size[1]} (height x width), its file has {height} x {width} "
                "pixels, turned as the camera says"
            )
        rles = []
        for number, segmentation in enumerate(segmentations):
            try:
                rles.append(_rle(segmentation, height, width))
            except DatasetError as error:
                raise DatasetError(f"has object {number}, whose {error}") from None
        masks = MaskCrops.from_rles(rles, height, width)
        there = np.flatnonzero(masks.boxes[:, 2] > masks.boxes[:, 0])
        return np.array(labels, np.int64)[there], masks.take(there)


def polygons_of(parts: object) -> Polygons:
    """Return polygons of lists ``[x1, y1, x2, y2, x3, y3, …]``, as COCO's JSON has them.

    Raises:
        DatasetError: What is wrong with them, to stand after ``segmentation``.
    """
    if not isinstance(parts, list) or not parts:
        raise DatasetError(f"is {shortened(parts)}, expected a list of polygons or an RLE")
    if not all(isinstance(part, list) for part in parts):
        raise DatasetError(f"is {shortened(parts)}, expected a list of polygons: put a single one in a list")
    return tuple(polygon_of(part) for part in parts)


def polygon_of(numbers: "Sequence[object]") -> Float64Array:
    """Return a polygon ``(points, 2)`` of numbers ``x1, y1, x2, y2, x3, y3, …``.

    Raises:
        DatasetError: There are fewer than three points, half a point, or what is no finite number.
    """
    if len(numbers) % 2 or len(numbers) < 6:
        raise DatasetError(
            f"has a polygon of {len(numbers)} numbers, expected x and y of 3 or more points: {shortened(list(numbers))}"
        )
    if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers):
        raise DatasetError(f"has a polygon {shortened(list(numbers))}, expected numbers")
    try:
        points = np.array(numbers, np.float64).reshape(-1, 2)
    except OverflowError:
        points = np.full((1, 2), np.inf)
    if not np.isfinite(points).all():
        raise DatasetError(f"has a polygon {shortened(list(numbers))}, expected finite numbers")
    return points


def check_pixels(outlines: "Iterable[Polygons]", where: str) -> None:
    """Raise a ``DatasetError`` where all polygons of a source lie within 0..1: shares of the sides, not pixels."""
    count = 0
    for polygons in outlines:
        for points in polygons:
            if points.max() > 1 or points.min() < 0:
                return
            count += 1
    if count:
        raise DatasetError(
            f"{where}: all polygons ({count}) have coordinates of 0..1 alone, expected pixels: multiply by width and "
            "height."
        )


def check_labels(used: "Mapping[str, str]", classes: Sequence[str], otherwise: str = "to ignore") -> None:
    """Raise a ``DatasetError`` where a source has a label that is none of its classes.

    Args:
        used: What has it, to stand before the label: ``<file> has the label``; by label.
        classes: The classes' names.
        otherwise: What can be done instead of adding it to ``classes``.
    """
    unknown = next((label for label in used if label not in classes), None)
    if unknown is not None:
        raise DatasetError(
            f"{used[unknown]} {shortened(unknown)}, which is not among classes{nearest(unknown, classes)}: add it "
            f"there, or {otherwise}."
        )


def _rle(segmentation: Segmentation, height: int, width: int) -> Mapping[str, Any]:
    if isinstance(segmentation, Mapping):
        counts = segmentation["counts"]
        return segmentation if isinstance(counts, str) else {**segmentation, "counts": counts.tolist()}
    for points in segmentation:
        _check_inside(points, height, width)
    flat = [points.ravel().tolist() for points in segmentation]
    parts = coco_mask.frPyObjects(flat, height, width)
    merged: Mapping[str, Any] = coco_mask.merge(parts)
    return merged


def _check_inside(points: Float64Array, height: int, width: int) -> None:
    """Raise an error for what is no polygon in pixels of this image; annotators may draw over its edges."""
    low, high = points.min(axis=0), points.max(axis=0)
    if (low < (-width, -height)).any() or (high > (2 * width, 2 * height)).any():
        raise DatasetError(
            f"polygon goes from x {low[0]:g}, y {low[1]:g} to x {high[0]:g}, y {high[1]:g}, far outside the image of "
            f"height {height} and width {width}"
        )
