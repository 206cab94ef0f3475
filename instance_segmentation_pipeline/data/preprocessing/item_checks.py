"""What a step must leave an item: one image, and a target that fits it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import DatasetError
from ..protocols import Item

ADVICE = "take the whole item (input: PredictionItem), and change its image, bboxes and masks together"


def check_item(item: Item, before: tuple[int, ...], where: str, takes_items: bool) -> None:
    """See to it that a step gave an image whose masks and boxes are of its size.

    Args:
        item: The item as the step left it.
        before: Height and width of the image that the step was given.
        where: Item and step, for messages.
        takes_items: Whether the step was given, and so could change, the target too.

    Raises:
        DatasetError: ``x`` is no image array, or the target is that of an image of another size.
    """
    image = item.x
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
        found = f"an array of shape {image.shape}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
        raise DatasetError(f"{where} gave {found} as x, expected one image (height, width, 3).")
    target = item.y
    if target is None:
        return
    if not isinstance(target, (tuple, list)) or len(target) not in (2, 3):
        raise DatasetError(
            f"{where} gave a {type(target).__name__} as y, expected (labels, bboxes, masks) or (labels, bboxes)."
        )
    size = image.shape[:2]
    masks = _size_of_masks(target[2]) if len(target) == 3 else None
    if masks is not None and masks != size:
        raise DatasetError(
            f"{where} gave an image of {size[0]} x {size[1]} (height x width), but masks of {masks[0]} x {masks[1]}: "
            f"{ADVICE}."
        )
    if not takes_items and size != tuple(before) and (_count(target[0]) or getattr(item, "crowds", None) is not None):
        raise DatasetError(
            f"{where} made an image of {size[0]} x {size[1]} (height x width) of one of {before[0]} x {before[1]}, but "
            f"its boxes stay where they were: {ADVICE}."
        )


def _size_of_masks(masks: Any) -> "tuple[int, int] | None":
    """Return height and width of masks, ``None`` where there are none or they are not told."""
    if isinstance(masks, (list, tuple)) and len(masks) and isinstance(masks[0], Mapping):
        size = masks[0].get("size")
        return (int(size[0]), int(size[1])) if isinstance(size, (list, tuple)) and len(size) == 2 else None
    shape: tuple[int, ...] = tuple(np.shape(masks)) if _count(masks) else ()
    return (int(shape[1]), int(shape[2])) if len(shape) == 3 else None


def _count(values: Any) -> int:
    try:
        return len(values)
    except TypeError:
        return 0
