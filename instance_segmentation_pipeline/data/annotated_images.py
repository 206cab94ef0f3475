"""The dataset that files of annotations make: an image is read, and its masks decoded, when its item is asked for."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from musket_core.datasets import DataSet, PredictionItem

from ..detection.boxes import swapped
from ..detection.crowds import Crowds, covering
from ..errors import DatasetError
from .encoding import EncodesInstances
from .formats.annotated_image import ImageAnnotations
from .image_file import read_image


def crowds_of(annotated: Any, height: int, width: int) -> "Crowds | None":
    """Return labels from 0 and masks of the regions of an image whose objects are not told apart, if it has some.

    Raises:
        DatasetError: See ``AnnotatedImage.crowds``.
    """
    return covering(annotated.crowds(height, width)) if getattr(annotated, "crowd_labels", ()) else None


class CrowdedItem(PredictionItem):
    """An item with ``crowds = (labels (M,) int64 from 1, M COCO RLE dicts)``, whose objects are not told apart."""

    def __init__(self, path: str, x: Any, y: Any, crowds: Any) -> None:
        super().__init__(path, x, y)
        self.crowds = crowds


class AnnotatedImages(EncodesInstances, DataSet):
    """A Musket dataset of annotated images.

    Items have the image's name as id, ``x`` ``(height, width, 3)`` uint8 RGB, turned as the camera says, and
    ``y = (labels (N,) int64 from 1, bboxes (N, 4) float32 minY, minX, maxY, maxX, masks: N COCO RLE dicts)``.

    Args:
        source: The file or folder of the annotations.
        class_names: Names of the classes, in label order.
        images: What the annotations tell of each image.
    """

    def __init__(self, source: Path, class_names: Sequence[str], images: Sequence[ImageAnnotations]) -> None:
        super().__init__()
        self.source = source
        self.class_names = tuple(class_names)
        self.images = tuple(images)
        self.files = [str(image.file) for image in images]  # sizes and times of files tell a dataset from another
        self.told_by = [str(image.told_by) for image in images]

    def part(self, counts: "Mapping[str, int]") -> None:
        """Take the first items for training (``train``), then some for validation (``val``) and holdout (``test``)."""
        ends = dict(zip(counts, itertools.accumulate(counts.values()), strict=True))
        there = {one: list(range(end - counts[one], end)) for one, end in ends.items()}
        if "train" in there and "val" in there:
            self.folds = [(there["train"], there["val"])]
        if "test" in there and len(there) > 1:
            self.holdoutArr = there["test"]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, position: int) -> PredictionItem:
        """Return an item.

        Raises:
            DatasetError: The image cannot be read, or its annotations do not fit it; the message names both files.
        """
        annotated: Any = self.images[position]
        try:
            pixels = read_image(annotated.file).pixels
            labels, masks = annotated.objects(*pixels.shape[:2])
            crowds = crowds_of(annotated, *pixels.shape[:2])
        except DatasetError as error:
            words = str(error).rstrip(".")
            raise DatasetError(f"{self.source}: image {annotated.name!r} {words}.") from None
        y = labels + 1, swapped(masks.tight_boxes()), masks.to_rles()
        if crowds is None:
            return PredictionItem(annotated.name, pixels, y)
        return CrowdedItem(annotated.name, pixels, y, (crowds[0] + 1, crowds[1].to_rles()))

    def object_count(self) -> "int | None":
        """Return how many objects there are, ``None`` where only each image's own file tells."""
        counts = [len(labels) for image in self.images if (labels := getattr(image, "labels", None)) is not None]
        counts += [len(masks) for image in self.images if (masks := getattr(image, "masks", None)) is not None]
        return sum(counts) if len(counts) == len(self.images) else None

    def crowd_count(self) -> int:
        """Return how many regions there are whose objects are not told apart."""
        return sum(len(getattr(image, "crowd_labels", ())) for image in self.images)

    def isPositive(self, position: int) -> bool:
        """Say whether an image has an object."""
        return self.images[position].has_objects()

    def table_classes(self) -> Sequence[str]:
        """Return the class names."""
        return self.class_names

    def meta(self, item: Any = None) -> dict[str, Any]:
        """Return the class names as ``CLASSES``; they are the same for all items."""
        return {"CLASSES": list(self.class_names)}
