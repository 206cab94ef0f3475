"""Masks that lie in images: one of ids for all objects, beside it one of classes (Pascal VOC), or one an object.

Sources of the formats: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html#SECTION00043000000000000000
(pairs of palette images, 0 background, 255 void) and https://bbbc.broadinstitute.org/BBBC038 (a file an object).
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from ...detection.arrays import AnyArray, Int64Array, UInt8Array
from ...detection.mask_crops import MaskCrops
from ...errors import DatasetError, one_line, shortened
from ...storage.regular_file import open_regular
from ..image_file import channel_bits, most_pixels

LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")
MOST_OBJECTS = 10_000
"""In one image; more different values are those of a photograph."""


@dataclass(frozen=True)
class Values:
    """What the values of mask images mean.

    Attributes:
        background: The value that is no object.
        ignored: Values that are no objects either.
        labels: By value, the class from 0, where values are classes; empty where each is an object of class 0.
        are_one: All values are the class 0: there is but one, and its value is not told.
    """

    background: int = 0
    ignored: frozenset[int] = frozenset()
    labels: Mapping[int, int] = field(default_factory=dict)
    are_one: bool = False


@dataclass(frozen=True)
class MaskImage:
    """One image whose objects are the values of a mask image; it is opened when they are asked for.

    Attributes:
        name: What names the image in its dataset.
        file: The image.
        told_by: The mask image. Each of its values is an object; where ``values`` has labels and there is no
            ``classes``, each value is a class and each region of it that hangs together an object.
        values: What the values mean.
        classes: An image of the same size whose values are the classes of the objects.
    """

    name: str
    file: Path
    told_by: Path
    values: Values
    classes: "Path | None" = None

    def has_objects(self) -> bool:
        """Say whether there is an object."""
        return bool(len(_regions(self._ids(), self.told_by)[0]))

    def objects(self, height: int, width: int) -> tuple[Int64Array, MaskCrops]:
        """Return labels ``(N,)`` from 0 and masks, in the order of their values.

        Raises:
            DatasetError: A mask image cannot be read, has another size, or a value without a meaning.
        """
        ids = self._ids((height, width))
        if self.classes is not None:
            values, masks, pixels = _regions(ids, self.told_by)
            classes = read_values(self.classes, (height, width)).ravel()
            return np.array([self._class_of(classes[there]) for there in pixels], np.int64), masks
        if not self.values.labels:
            values, masks, _ = _regions(ids, self.told_by)
            return np.zeros(len(values), np.int64), masks
        return self._connected(ids)

    def _ids(self, size: "tuple[int, int] | None" = None) -> Int64Array:
        """Return the values ``(height, width)``, -1 where there is no object."""
        values = read_values(self.told_by, size)
        nothing = np.isin(values, [self.values.background, *self.values.ignored])
        return np.where(nothing, -1, values)

    def _class_of(self, values: Int64Array) -> int:
        """Return the label that most pixels of an object tell."""
        told = values[~np.isin(values, list(self.values.ignored))]
        if not len(told):
            raise DatasetError(f"has an object that {self.classes} gives no class, but values that are ignored")
        different, counts = np.unique(told, return_counts=True)
        return self._label(int(different[counts.argmax()]), str(self.classes))

    def _label(self, value: int, path: str) -> int:
        if self.values.are_one:
            return 0
        if value not in self.values.labels:
            known = ", ".join(map(str, list(self.values.labels)[:20]))
            raise DatasetError(
                f"has the class {colour_text(value)} in {path}, expected one of {known}: correct classes"
            )
        return self.values.labels[value]

    def _connected(self, ids: Int64Array) -> tuple[Int64Array, MaskCrops]:
        values, masks, _ = _regions(ids, self.told_by)
        labels: list[int] = []
        boxes = [np.zeros((0, 4), np.int64)]
        crops: list[UInt8Array] = []
        for value, (x1, y1, _, _), crop in zip(values, masks.boxes, masks.crops, strict=True):
            label = self._label(int(value), str(self.told_by))
            _, numbers = cv2.connectedComponents(crop, connectivity=8)
            parts = _regions(numbers.astype(np.int64) - 1, self.told_by)[1]
            labels += [label] * len(parts)
            boxes.append(parts.boxes + np.array([x1, y1, x1, y1]))
            crops += parts.crops
        return np.array(labels, np.int64), MaskCrops(masks.height, masks.width, np.concatenate(boxes), tuple(crops))


@dataclass(frozen=True)
class MaskFolder:
    """One image whose objects lie in a folder, each in a file of its own: what is not 0 there is the object.

    Attributes:
        name: What names the image in its dataset.
        file: The image.
        told_by: The folder of the masks.
        masks: The mask images.
    """

    name: str
    file: Path
    told_by: Path
    masks: tuple[Path, ...]

    def has_objects(self) -> bool:
        """Say whether there is an object."""
        return bool(self.masks)

    def objects(self, height: int, width: int) -> tuple[Int64Array, MaskCrops]:
        """Return labels ``(N,)``, all 0, and masks, in the order of the files' names.

        Raises:
            DatasetError: A mask image cannot be read, has another size, or no object.
        """
        found = []
        for path in self.masks:
            mask = MaskCrops.from_dense((read_values(path, (height, width)) != 0)[None])
            if not mask.areas()[0]:
                raise DatasetError(f"has the mask {path}, which is empty: remove the file")
            found.append(mask)
        masks = MaskCrops.joined(found) if found else MaskCrops.none(height, width)
        return np.zeros(len(masks), np.int64), masks


def read_values(path: Path, size: "tuple[int, int] | None" = None) -> Int64Array:
    """Return the values ``(height, width)`` int64 of a mask image: grey values, places in a palette, or colours.

    A colour is ``red * 65536 + green * 256 + blue``; transparency is left out.

    Args:
        path: The file.
        size: The height and width that it has to have.

    Raises:
        DatasetError: What is wrong with it, to stand after the name of the image.
    """
    try:
        with open_regular(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not os.fstat(file.fileno()).st_size:
                raise DatasetError(f"has the mask {path}, which is empty")
            Image.init()
            with Image.open(file, formats=(*LOSSLESS, "JPEG")) as image:
                _check_kind(path, image, size)
                bits = channel_bits(image, file)
                if bits > 8 and len(image.getbands()) > 1:
                    raise DatasetError(
                        f"has the mask {path} of {len(image.getbands())} channels of {bits} bits, expected one of up "
                        "to 16 bits, or colours of 8 bits"
                    )
                values = _values(image, bits)
                if values.min() < 0:
                    raise DatasetError(f"has the mask {path} with the value {values.min()}, expected 0 or more")
                return values
    except UnidentifiedImageError:
        raise DatasetError(f"has the mask {path}, which is no image of {', '.join(LOSSLESS)}") from None
    except Image.DecompressionBombError:
        raise DatasetError(f"has the mask {path}, which has more than {most_pixels():,} pixels") from None
    except DatasetError:
        raise
    except Exception as error:
        raise DatasetError(f"has the mask {path}, which cannot be read ({one_line(error)})") from None


def _check_kind(path: Path, image: Image.Image, size: "tuple[int, int] | None") -> None:
    """Raise an error before pixels are decoded."""
    if image.format not in LOSSLESS:
        raise DatasetError(f"has the mask {path}, a {image.format}, which changes values: save masks as PNG")
    if size is not None and (image.height, image.width) != size:
        raise DatasetError(
            f"has {size[0]} x {size[1]} pixels (height x width), but its mask {path} {image.height} x {image.width}"
        )
    if image.width * image.height > most_pixels():
        raise DatasetError(f"has the mask {path}, which has more than {most_pixels():,} pixels")
    if image.mode == "F":
        raise DatasetError(f"has the mask {path} of floating-point values, expected whole numbers")
    if getattr(image, "n_frames", 1) > 1:
        raise DatasetError(f"has the mask {path} of {getattr(image, 'n_frames', 1)} pages, expected one")


def _values(image: Image.Image, bits: int) -> Int64Array:
    if image.mode in ("RGB", "RGBA", "CMYK", "YCbCr"):
        channels = np.asarray(image.convert("RGB")).astype(np.int64)
        colours: Int64Array = channels @ np.array([65536, 256, 1])
        return colours
    values: AnyArray = np.asarray(image.getchannel(0) if image.mode in ("LA", "PA") else image)
    stretched = 255 // (2**bits - 1) if image.mode == "L" and 1 < bits < 8 else 1  # Pillow makes them go to 255
    return values.astype(np.int64) // stretched


def colour_text(value: int) -> str:
    """Return how to tell a value: colours of three channels by these, too."""
    return str(value) if value < 65536 else f"{value} (red {value >> 16}, green {value >> 8 & 255}, blue {value & 255})"


def _regions(ids: Int64Array, path: Path) -> "tuple[Int64Array, MaskCrops, list[Int64Array]]":
    """Return the values from 0 on that there are, ascending, the mask of each, and its pixels in the flat image."""
    height, width = ids.shape
    flat = ids.ravel()
    there = np.flatnonzero(flat >= 0)
    order = there[np.argsort(flat[there], kind="stable")]
    values, starts = np.unique(flat[order], return_index=True)
    if len(values) > MOST_OBJECTS:
        raise DatasetError(
            f"has the mask {path} of {len(values)} different values, expected {MOST_OBJECTS} at most: one an object"
        )
    pixels = np.split(order, starts[1:]) if len(values) else []
    boxes, crops = np.zeros((len(values), 4), np.int64), []
    for box, places in zip(boxes, pixels, strict=True):
        rows, columns = places // width, places % width
        box[:] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        crop = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
        crop[rows - box[1], columns - box[0]] = 1
        crops.append(crop)
    return values, MaskCrops(height, width, boxes, tuple(crops)), pixels


def value_of(given: object, what: str) -> int:
    """Return the value of a mask that a number, or a colour ``[red, green, blue]``, stands for.

    Raises:
        DatasetError: It is neither; the message is whole.
    """
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    if (
        isinstance(given, (list, tuple))
        and len(given) == 3
        and all(type(one) is int and 0 <= one < 256 for one in given)
    ):
        return int(given[0]) << 16 | int(given[1]) << 8 | int(given[2])
    raise DatasetError(f"{what} is {shortened(given)}, expected a whole number or a colour [red, green, blue].")


def meanings(
    count: int, by_class: bool, colours: "Sequence[object] | None", background: object, ignored: "Sequence[object]"
) -> Values:
    """Return what values mean: those of classes count from 1, or are given as ``colours`` in label order.

    Of one class whose colour is not given, all values are but the background and those that are ignored.

    Raises:
        DatasetError: Colours are given for another number of classes, or one twice.
    """
    nothing = value_of(background, "background")
    left_out = frozenset(value_of(one, "ignore") for one in ignored)
    if not by_class:
        return Values(nothing, left_out)
    given = [value_of(one, "colours") for one in colours] if colours is not None else list(range(1, count + 1))
    if len(given) != count or len({*given, nothing, *left_out}) != count + 1 + len(left_out - {nothing}):
        raise DatasetError(
            f"colours has {len(given)} values for {count} classes: expected one a class, all different, and none that "
            "is background or ignore."
        )
    labels = {value: label for label, value in enumerate(given)}
    return Values(nothing, left_out, labels, are_one=count == 1 and colours is None)
