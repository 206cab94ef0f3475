"""Masks saved as images: one of 16 bits an image, whose values are its objects, and one of their classes.

``mask_images`` reads them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ...detection.arrays import AnyArray
from ...detection.detections import Detections
from ...detection.mask_crops import MaskCrops
from ...errors import DatasetError
from .mask_images import MOST_OBJECTS
from .writing import FileNames, check_masks, write_lines, write_whole


class IdImageWriter:
    """``masks/<image>.png``: 0 where there is nothing, else the object, from 1.

    Of several classes, ``class_masks/<image>.png`` has that of each pixel, from 1, and ``classes.txt`` their names.
    Where objects overlap, that with the higher score is seen, of equal ones the smaller. Scores are left out.

    Args:
        folder: The folder to write to.
        class_names: Names of the classes, in label order.
        names: Names of the files of images; each as the image by default.

    Attributes:
        remarks: What the format could not hold: objects that others cover.
    """

    def __init__(self, folder: Path, class_names: Sequence[str], names: "FileNames | None" = None) -> None:
        self.folder = folder
        self.remarks: list[str] = []
        self._class_names = class_names
        self._names = names or FileNames()
        self._covered = self._hidden = 0

    def __enter__(self) -> "IdImageWriter":
        return self

    def add(self, name: str, found: Detections, place: "int | None" = None) -> None:
        """Write the images of an image; see ``AnnotationWriter``."""
        check_masks(found, "ids")
        if len(found) > MOST_OBJECTS:
            raise DatasetError(f"has {len(found)} objects, of which one mask image holds {MOST_OBJECTS} at most")
        masks = MaskCrops.from_rles(found.masks or [], found.height, found.width)
        areas = masks.areas()
        ids = np.zeros((found.height, found.width), np.uint16)
        for row in np.lexsort((-areas, found.scores)):  # the last one drawn is seen
            x1, y1, x2, y2 = masks.boxes[row]
            ids[y1:y2, x1:x2][masks.crops[row] > 0] = row + 1
        seen = np.bincount(ids.ravel(), minlength=len(found) + 1)[1:]
        self._covered += int(((seen < areas) & (seen > 0)).sum())
        self._hidden += int(((seen == 0) & (areas > 0)).sum())
        own = self._names.of(name)
        _save(self.folder / "masks" / f"{own}.png", ids)
        if len(self._class_names) > 1:
            values = np.concatenate([[0], found.labels + 1]).astype(np.uint16)
            narrow = values if len(self._class_names) > 255 else values.astype(np.uint8)
            _save(self.folder / "class_masks" / f"{own}.png", narrow[ids])

    def __exit__(self, kind: "type[BaseException] | None", error: object, trace: object) -> None:
        write_lines(self.folder / "classes.txt", self._class_names)
        if self._covered or self._hidden:
            self.remarks.append(
                f"objects overlap, and a pixel of a mask image has one: {self._covered} are seen in part, "
                f"{self._hidden} not at all"
            )


def _save(path: Path, values: AnyArray) -> None:
    image = Image.fromarray(values)
    write_whole(path, lambda temporary: image.save(temporary, format="PNG"))
