"""What the values of some mask images are: objects, or classes whose regions are the objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ...detection.arrays import Int64Array
from ...errors import DatasetError
from ..formats.mask_images import read_values

MOST_CLASSES = 64
"""Different values of all masks together; more are objects."""
_MOST_VALUES = 4096
"""In one mask; more are those of a photograph."""
_VOID = 255


@dataclass(frozen=True)
class MaskValues:
    """What values are.

    Attributes:
        are_classes: They are classes; else each is an object of its image.
        classes: The values of classes, ascending; empty where they are objects.
        background: The value that is no object.
        ignored: Values that are no objects either.
        coloured: They are colours, of red, green and blue.
        notes: What is not sure.
    """

    are_classes: bool
    classes: tuple[int, ...]
    background: int
    ignored: tuple[int, ...] = ()
    coloured: bool = False
    notes: tuple[str, ...] = ()

    def arguments(self) -> "dict[str, Any]":
        """Return the arguments of ``id_masks`` that say so."""
        arguments: dict[str, Any] = {}
        if self.background:
            arguments["background"] = self._shown(self.background)
        if self.ignored:
            arguments["ignore"] = [self._shown(value) for value in self.ignored]
        if self.are_classes:
            one = len(self.classes) == 1
            arguments["values"] = "classes"
            arguments["classes"] = ["object"] if one else [f"class {value}" for value in map(self._shown, self.classes)]
            if not one and self.classes != tuple(range(1, len(self.classes) + 1)):
                arguments["colours"] = [self._shown(value) for value in self.classes]
        return arguments

    def _shown(self, value: int) -> "int | list[int]":
        """Return a value as the YAML has it."""
        return [value >> 16, value >> 8 & 255, value & 255] if self.coloured else value

    def joined(self, others: "Sequence[MaskValues]") -> "MaskValues":
        """Return classes with those of others."""
        classes = sorted({value for one in (self, *others) for value in one.classes})
        ignored = sorted({value for one in (self, *others) for value in one.ignored})
        return MaskValues(True, tuple(classes), self.background, tuple(ignored), self.coloured, self.notes)


def values_of(files: "Sequence[Path]") -> MaskValues:
    """Look at some masks.

    Raises:
        DatasetError: One cannot be read, or has the values of a photograph.
    """
    images = [read_values(file) for file in files]
    if not images:
        raise DatasetError("there is no mask")
    coloured = any(_is_coloured(file) for file in files)
    background = _background(images)
    found: set[int] = set()
    alone = regions = 0
    in_order = True
    for image in images:
        values = [int(value) for value in np.unique(image)]
        if len(values) > _MOST_VALUES:
            raise DatasetError(f"has {len(values)} different values, as a photograph has")
        values = [value for value in values if value != background]
        found.update(values)
        in_order &= values == list(range(1, len(values) + 1))
        for value in values[:MOST_CLASSES]:
            regions += 1
            alone += cv2.connectedComponents((image == value).astype(np.uint8), connectivity=8)[0] == 2
    ignored = (_VOID,) if _VOID in found and len(found) > 1 and max(found) == _VOID and min(found) < 128 else ()
    found -= set(ignored)
    if not found:
        return MaskValues(
            True, (1,), background, (), coloured, ("none of the masks that were looked at has an object.",)
        )
    are_classes = len(found) <= MOST_CLASSES and (
        len(found) == 1 or alone < 0.8 * regions or (not in_order and len(found) <= 8 and len(images) > 2)
    )
    if not are_classes:
        return MaskValues(False, (), background, ignored, coloured)
    return MaskValues(True, tuple(sorted(found)), background, ignored, coloured, _notes(len(found), alone, regions))


def _is_coloured(file: Path) -> bool:
    with Image.open(file) as image:
        return image.mode in ("RGB", "RGBA", "CMYK", "YCbCr")


def _background(images: "Sequence[Int64Array]") -> int:
    """Return 0 where it is there, else the value of most pixels."""
    if any((image == 0).any() for image in images):
        return 0
    values, counts = np.unique(np.concatenate([image.ravel() for image in images]), return_counts=True)
    return int(values[counts.argmax()])


def _notes(count: int, alone: int, regions: int) -> tuple[str, ...]:
    notes = (
        [
            "values of masks are taken for classes, and their regions for objects: where each value is one object, "
            "take values, classes and colours out."
        ]
        if alone >= 0.5 * regions
        else []
    )
    if count > 1:
        notes.append("nothing names the classes of the masks: give their names as classes.")
    return tuple(notes)
