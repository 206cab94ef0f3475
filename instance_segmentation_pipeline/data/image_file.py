"""One image file of any kind that people have, as the RGB that nets are given; nothing is decoded before its header.

Read by Pillow; 16-bit and floating-point colour, which Pillow does not keep, by OpenCV.
"""

import contextlib
import os
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from ..detection.arrays import AnyArray, UInt8Array
from ..errors import DatasetError, one_line
from ..storage.regular_file import open_regular

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may take a file for: none of these runs another program."""
BITS = (8, 10, 12, 14, 16)
"""How many bits of 16 cameras and microscopes use."""
_ORIENTATION = 0x0112
_WIDTH, _HEIGHT = 256, 257
_TIFF_STARTS = (b"II*\0", b"MM\0*")


@dataclass(frozen=True)
class ImageFile:
    """What a file holds.

    Attributes:
        pixels: ``(height, width, 3)`` uint8 RGB, turned as the camera says.
        pages: How many images the file holds; ``pixels`` are the first.
    """

    pixels: UInt8Array
    pages: int = 1


def most_pixels() -> int:
    """Return how many pixels an image may have: Pillow's own limit, twice ``PIL.Image.MAX_IMAGE_PIXELS``."""
    limit = Image.MAX_IMAGE_PIXELS
    return 2**62 if limit is None else 2 * int(limit)


def read_image(path: Path) -> ImageFile:
    """Read an image file.

    Grey, palette and CMYK images become RGB, transparency is left out. Of 16 bits the highest that are used count: the
    smallest of 8, 10, 12, 14 and 16 bits that hold the largest value become 8. Floating-point values of 0..1 or 0..255
    are taken as such.

    Raises:
        DatasetError: What is wrong with it, to stand after its name: it is a folder, empty, damaged, too large.
    """
    try:
        with open_regular(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise DatasetError("is empty")
            return _read(file)
    except IsADirectoryError:
        raise DatasetError("is a folder") from None
    except FileNotFoundError:
        raise DatasetError("is a link to nothing" if path.is_symlink() else "is gone") from None
    except OSError as error:
        raise DatasetError(f"cannot be opened ({error.strerror or one_line(error)})") from None


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image file, turned as the camera says; what Pillow knows is not decoded.

    Raises:
        DatasetError: What is wrong with it, to stand after its name.
    """
    try:
        with open_regular(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.init()
            with Image.open(file, formats=FORMATS) as image:
                (width, height), orientation = _stored(image)
                _check_size((width, height))
                return (width, height) if orientation in (5, 6, 7, 8) else (height, width)
    except DatasetError:
        raise
    except Exception:  # what is wrong, and what Pillow does not know, the reader tells
        height, width = read_image(path).pixels.shape[:2]
        return height, width


def _read(file: IO[bytes]) -> ImageFile:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of sizes below its limit, and of damaged EXIF
        Image.init()  # loads the readers of all formats, once
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            return _read_by_opencv(file, *_tiff_tags(file), 1)
        except Image.DecompressionBombError:
            raise DatasetError(f"has more than {most_pixels():,} pixels") from None
        except Exception as error:
            raise DatasetError(f"is damaged ({one_line(error)})") from None
        try:
            _check_size(image.size)
            pages = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
            if _is_deep(image, file):
                return _read_by_opencv(file, *_stored(image), pages)
            image.seek(0)
            turned = ImageOps.exif_transpose(image)
            if turned.mode[0] in "IF":
                return ImageFile(_as_rgb(np.asarray(turned)), pages)
            return ImageFile(np.array(turned.convert("RGB")), pages)
        except DatasetError:
            raise
        except Exception as error:
            raise DatasetError(f"is damaged ({one_line(error)})") from None


def _stored(image: Image.Image) -> tuple[tuple[int, int], int]:
    """Return width and height of an image as its file has them, and EXIF's orientation, 1..8.

    Of a TIFF, some versions of Pillow tell the stored size, others the turned one.
    """
    tags = getattr(image, "tag_v2", {})
    size = image.size if tags.get(_WIDTH) is None else (int(tags[_WIDTH]), int(tags[_HEIGHT]))
    orientation: int = image.getexif().get(_ORIENTATION, 1)
    return size, orientation


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > most_pixels():
        raise DatasetError(f"has {size[0]} x {size[1]} pixels, more than {most_pixels():,}")
    if not size[0] * size[1]:
        raise DatasetError("has no pixels")


def _is_deep(image: Image.Image, file: IO[bytes]) -> bool:
    """Say whether a file has more than 8 bits a channel and several channels: Pillow keeps the upper 8 only."""
    return image.mode[0] not in "IF" and channel_bits(image, file) > 8


def channel_bits(image: Image.Image, file: IO[bytes]) -> int:
    """Return how many bits each channel of an image has in its file, where PNG and TIFF tell; else 8."""
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(258, (8,))
        return int(max(bits if isinstance(bits, tuple) else (bits,)))
    if image.format == "PNG":
        position = file.tell()
        file.seek(24)  # IHDR's bit depth
        depth: int = file.read(1)[0]
        file.seek(position)
        return depth
    return 8


def _tiff_tags(file: IO[bytes]) -> tuple[tuple[int, int], int]:
    """Return width, height and orientation of the first page of a TIFF that Pillow does not know, from its tags."""
    file.seek(0)
    header = file.read(8)
    if header[:4] not in _TIFF_STARTS:
        raise DatasetError("is no image of a known format")
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(header)
        file.seek(tags.next)
        tags.load(file)
        size, orientation = (int(tags[_WIDTH]), int(tags[_HEIGHT])), int(tags.get(_ORIENTATION, 1))
    except Exception as error:
        raise DatasetError(f"is damaged ({one_line(error)})") from None
    _check_size(size)
    return size, orientation


def _said_to_be_upright(data: bytearray) -> None:
    """Set the orientation of a TIFF's first page to 1: some versions of OpenCV turn what they read, others do not."""
    order, is_big = ("<" if data.startswith(b"I") else ">"), bytes(data[2:4]) in (b"+\0", b"\0+")
    with contextlib.suppress(struct.error):  # a damaged file is told of by the reader
        (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)
        (count,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, start)
        first, step = (start + 8, 20) if is_big else (start + 2, 12)
        for place in range(first, first + min(count, 4096) * step, step):
            if struct.unpack_from(f"{order}H", data, place)[0] == _ORIENTATION:
                struct.pack_into(f"{order}H", data, place + (12 if is_big else 8), 1)


def _read_by_opencv(file: IO[bytes], size: tuple[int, int], orientation: int, pages: int) -> ImageFile:
    """Read what has more than 8 bits a channel; a file much larger than its pixels is not read into memory."""
    file.seek(0)
    most = 64 * size[0] * size[1] + 2**26
    data = bytearray(file.read(most))
    if data.startswith((b"II", b"MM")):
        _said_to_be_upright(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise DatasetError(f"is damaged ({one_line(error)})") from None
    if image is None or image.shape[:2] != (size[1], size[0]):
        raise DatasetError("is damaged, or of a kind that cannot be read")
    if image.ndim == 3:
        image = image[..., 2::-1] if image.shape[2] >= 3 else image[..., 0]
    return ImageFile(np.ascontiguousarray(_turned(_as_rgb(image), orientation)), pages)


def _as_rgb(values: AnyArray) -> UInt8Array:
    """Return pixels ``(height, width)`` or ``(height, width, 3)`` of any type as uint8 RGB."""
    if values.dtype != np.uint8:
        values = _to_8_bits(values)
    pixels: UInt8Array = values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
    return pixels


def _to_8_bits(values: AnyArray) -> UInt8Array:
    low, high = values.min(), values.max()
    if not np.isfinite(low) or not np.isfinite(high):
        raise DatasetError("holds values that are no finite numbers")
    if low < 0 or high > (255 if values.dtype.kind == "f" else 65535):
        expected = "0..1 or 0..255" if values.dtype.kind == "f" else "up to 16 bits"
        raise DatasetError(f"holds values from {low:g} to {high:g}, expected {expected}")
    if values.dtype.kind == "f":
        return np.round(values * (255 if high <= 1 else 1)).astype(np.uint8)
    bits = next(bits for bits in BITS if high < 2**bits)
    pixels: UInt8Array = np.round(values.astype(np.float32) * (255 / (2**bits - 1))).astype(np.uint8)
    return pixels


def _turned(image: UInt8Array, orientation: int) -> UInt8Array:
    """Return an image as it was seen; ``orientation`` is EXIF's, 1..8."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image
