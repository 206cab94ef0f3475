"""What an augmenter made of an image, looked at: augmenters may be anybody's."""

from typing import Any

import numpy as np

from ...detection.arrays import UInt8Array
from ...errors import DatasetError
from .arguments import LARGEST_SIDE


def checked(image: Any, shape: "tuple[int, ...] | None" = None) -> UInt8Array:
    """Return an image as it is, contiguous.

    Args:
        image: What an augmenter made.
        shape: The shape that it must have, ``None`` for any ``(height, width, 3)``.

    Raises:
        DatasetError: It has another shape, or is no uint8.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or max(image.shape) > LARGEST_SIDE:
        raise DatasetError(f"the image became one of shape {image.shape}, expected (height, width, 3).")
    if image.dtype != np.uint8:
        raise DatasetError(f"the image became one of {image.dtype}, expected uint8.")
    if shape is not None and image.shape != shape:
        raise DatasetError(f"colours were to change alone, but the shape {shape} became {image.shape}.")
    return np.ascontiguousarray(image)
