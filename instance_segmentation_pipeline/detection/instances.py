"""The border between Musket items and MMDetection annotations.

``Instances`` is what crosses it: validated when made, so everything behind it can trust its shapes. Boxes in
it are MMDetection's ``x1, y1, x2, y2`` and labels count from 0; ``from_musket`` and ``to_musket`` translate.
Neither musket_core nor the command line is imported here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import DatasetError
from . import box_forms
from .arrays import AnyArray, Float32Array, Int64Array, UInt8Array
from .boxes import SWAPPED, swapped
from .mask_crops import MaskCrops

BBOX_ORDERS = ("yxyx", "xyxy")


@dataclass(frozen=True)
class Instances:
    """The objects of one image.

    Attributes:
        height: Image height in pixels.
        width: Image width in pixels.
        labels: ``(N,)`` int64, 0..classes-1.
        bboxes: ``(N, 4)`` float32, ``x1, y1, x2, y2`` in pixels, inside the image, of positive area.
        masks: N masks, or ``None`` for box-only data.
        crowds: Labels ``(M,)`` from 0 and M masks of regions in which objects are not told apart, ``None`` for none:
            what is found on them counts neither for nor against.

    >>> Instances(60, 80, np.array([0]), np.array([[10, 10, 30, 20]], np.float32), None)
    Instances(height=60, width=80, labels=array([0]), bboxes=array([[10., 10., 30., 20.]], dtype=float32), masks=None)
    """

    height: int
    width: int
    labels: Int64Array
    bboxes: Float32Array
    masks: "MaskCrops | None"
    crowds: "tuple[Int64Array, MaskCrops] | None" = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.labels)


def check_image(image: Any, item_id: object) -> UInt8Array:
    """Return the image of an item as it is.

    Args:
        image: What the dataset gave as ``x``: ``(height, width, 3)`` uint8, RGB.
        item_id: The item's id, for the message.

    Raises:
        DatasetError: Another shape or dtype, or no image at all.

    >>> check_image(np.zeros((60, 80, 3), np.uint8), "a.png").shape
    (60, 80, 3)
    >>> check_image(np.zeros((60, 80), np.uint8), "a.png")
    Traceback (most recent call last):
        ...
    instance_segmentation_pipeline.errors.DatasetError: item 'a.png': x has shape (60, 80), expected (height, width, 3).
    """
    if not isinstance(image, np.ndarray):
        found = "nothing" if image is None else f"a {type(image).__name__}"
        raise DatasetError(f"item {item_id!r}: x is {found}, expected an image array of shape (height, width, 3).")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise DatasetError(f"item {item_id!r}: x has shape {image.shape}, expected (height, width, 3).")
    if image.dtype != np.uint8:
        raise DatasetError(f"item {item_id!r}: x has dtype {image.dtype}, expected uint8 values from 0 to 255.")
    return image


def from_musket(
    y: Any,
    height: int,
    width: int,
    *,
    classes: int,
    bbox_order: str = "yxyx",
    bbox_source: str = "dataset",
    needs_masks: bool = True,
    item_id: object = None,
) -> Instances:
    """Translate a Musket target to ``Instances``.

    Args:
        y: ``(labels, bboxes, masks)`` or ``(labels, bboxes)``: labels ``(N,)`` int, 1..classes; bboxes ``(N, 4)``
            float in ``bbox_order``; masks ``(N, height, width)`` bool, or int of 0 and 1, or a list of N COCO
            RLE dicts (``size`` and ``counts``, compressed or not), which are never decoded densely.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        classes: Number of object classes, background not counted.
        bbox_order: ``yxyx`` (minY, minX, maxY, maxX) or ``xyxy``.
        bbox_source: ``dataset`` takes the boxes of ``y``, ``masks`` makes tight ones from the masks.
        needs_masks: Whether ``(labels, bboxes)`` is too little.
        item_id: The item's id, for messages.

    Raises:
        DatasetError: A field of wrong shape, dtype or value; the message names item, field, found and expected.

    >>> mask = np.zeros((1, 60, 80), bool)
    >>> mask[0, 10:20, 30:50] = True
    >>> found = from_musket((np.array([2]), np.array([[10, 30, 20, 50]]), mask), 60, 80, classes=3)
    >>> found.labels, found.bboxes, found.masks.areas()
    (array([1]), array([[30., 10., 50., 20.]], dtype=float32), array([200]))
    """
    where = f"item {item_id!r}: "
    if not isinstance(y, (tuple, list)) or len(y) not in (2, 3):
        found = f"a sequence of {len(y)}" if isinstance(y, (tuple, list)) else f"a {type(y).__name__}"
        raise DatasetError(f"{where}y is {found}, expected a tuple (labels, bboxes, masks).")
    if needs_masks and len(y) == 2:
        raise DatasetError(f"{where}y is (labels, bboxes), but this model learns masks: give (labels, bboxes, masks).")
    labels = _labels(y[0], classes, where)
    given = None if bbox_source == "masks" else _bboxes(y[1], len(labels), height, width, bbox_order, where)
    masks = _masks(y[2], len(labels), height, width, where) if len(y) == 3 else None
    if given is None and masks is None:
        raise DatasetError(f"{where}bboxSource is masks, but y has no masks: use bboxSource: dataset.")
    bboxes = given if given is not None else masks.tight_boxes()  # type: ignore[union-attr]
    return Instances(height, width, labels - 1, bboxes, masks)


def to_musket(instances: Instances, bbox_order: str = "yxyx") -> tuple[AnyArray, ...]:
    """Translate back: ``(labels, bboxes, masks)``, or ``(labels, bboxes)`` without masks; see ``from_musket``.

    >>> to_musket(Instances(60, 80, np.array([1]), np.array([[30, 10, 50, 20]], np.float32), None))
    (array([2]), array([[10., 30., 20., 50.]], dtype=float32))
    """
    bboxes = instances.bboxes if bbox_order == "xyxy" else swapped(instances.bboxes)
    if instances.masks is None:
        return instances.labels + 1, bboxes
    return instances.labels + 1, bboxes, instances.masks.to_dense().astype(bool)


def fits_only_swapped(y: Any, bbox_order: str) -> bool:
    """Say whether the boxes of a target fit its masks in the other coordinate order only.

    See ``box_forms.fits_only_swapped``. Targets without masks, or with other faults, are left to ``from_musket``.

    >>> mask = np.zeros((1, 60, 80), bool)
    >>> mask[0, 10:20, 30:50] = True
    >>> fits_only_swapped((np.array([1]), np.array([[30, 10, 50, 20]]), mask), "yxyx")
    True
    >>> fits_only_swapped((np.array([1]), np.array([[10, 30, 20, 50]]), mask), "yxyx")
    False
    """
    if not isinstance(y, (tuple, list)) or len(y) != 3:
        return False
    try:
        given = np.asarray(y[1]).reshape(-1, 4)
        tight = any_masks(y[2]).tight_boxes()
    except (ValueError, TypeError, OverflowError, DatasetError):
        return False
    if given.dtype.kind not in "iuf" or not np.isfinite(given).all():
        return False
    if len(tight) != len(given) or not len(given) or (tight[:, 2] <= tight[:, 0]).any():
        return False
    return box_forms.fits_only_swapped(bbox_order, given, tight)


def _labels(values: Any, classes: int, where: str) -> Int64Array:
    labels = np.asarray(values)
    if labels.ndim != 1:
        raise DatasetError(f"{where}labels have shape {labels.shape}, expected (N,).")
    if not len(labels):
        return np.zeros((0,), np.int64)
    if labels.dtype.kind not in "iu":
        raise DatasetError(f"{where}labels have dtype {labels.dtype}, expected integers from 1 to {classes}.")
    wrong = labels[(labels < 1) | (labels > classes)]
    if len(wrong):
        hint = " (0 is the background)" if wrong[0] == 0 else ""
        raise DatasetError(f"{where}label {int(wrong[0])} found{hint}, expected 1 to {classes} as `classes` says.")
    return labels.astype(np.int64)


def _bboxes(values: Any, count: int, height: int, width: int, order: str, where: str) -> Float32Array:
    bboxes = np.asarray(values)
    if not count and not bboxes.size:
        return np.zeros((0, 4), np.float32)
    if bboxes.shape != (count, 4):
        raise DatasetError(f"{where}bboxes have shape {bboxes.shape}, expected ({count}, 4) for {count} labels.")
    if bboxes.dtype.kind not in "iuf":
        raise DatasetError(f"{where}bboxes have dtype {bboxes.dtype}, expected floats.")
    if not np.isfinite(bboxes).all():
        row = int(np.flatnonzero(~np.isfinite(bboxes).all(axis=1))[0])
        raise DatasetError(f"{where}bbox {row} is {bboxes[row].tolist()}, expected finite numbers.")
    xyxy = bboxes if order == "xyxy" else bboxes[:, SWAPPED]
    clipped = np.clip(xyxy, 0, np.array([width, height, width, height])).astype(np.float32)
    empty = np.flatnonzero((clipped[:, 2:] <= clipped[:, :2]).any(axis=1))
    if len(empty):
        row = int(empty[0])
        names = "[minY, minX, maxY, maxX]" if order == "yxyx" else "[minX, minY, maxX, maxY]"
        raise DatasetError(
            f"{where}bbox {row} is {bboxes[row].tolist()}, which has no area inside the image of height {height} "
            f"and width {width}: expected {names}; for the other order set bboxOrder."
        )
    return clipped


def _masks(values: Any, count: int, height: int, width: int, where: str) -> MaskCrops:
    if _are_rles(values):
        if len(values) != count:
            raise DatasetError(f"{where}there are {len(values)} masks for {count} labels, expected one for each.")
        try:
            masks = MaskCrops.from_rles(values, height, width)
        except DatasetError as error:
            raise DatasetError(f"{where}{error}") from None
    else:
        masks = _dense_masks(np.asarray(values), count, height, width, where)
    empty = np.flatnonzero(masks.boxes[:, 2] <= masks.boxes[:, 0])
    if len(empty):
        raise DatasetError(f"{where}mask {int(empty[0])} is empty, expected at least one pixel: leave that object out.")
    return masks


def _dense_masks(masks: AnyArray, count: int, height: int, width: int, where: str) -> MaskCrops:
    if not count and not masks.size:
        return MaskCrops.none(height, width)
    if masks.shape != (count, height, width):
        raise DatasetError(
            f"{where}masks have shape {masks.shape}, expected ({count}, {height}, {width}): "
            f"one mask for each of {count} labels, of the image's height and width."
        )
    if masks.dtype.kind not in "biu":
        raise DatasetError(f"{where}masks have dtype {masks.dtype}, expected bool or integers.")
    if masks.dtype != bool:
        low, high = int(masks.min()), int(masks.max())
        if low < 0 or high > 1:
            raise DatasetError(f"{where}masks have values from {low} to {high}, expected 1 for the object and 0 else.")
    return MaskCrops.from_dense(masks)


def _are_rles(values: Any) -> bool:
    return isinstance(values, (list, tuple)) and len(values) > 0 and isinstance(values[0], Mapping)


def any_masks(values: Any) -> MaskCrops:
    """Return masks as they are given, unchecked.

    >>> any_masks(np.ones((1, 4, 5), bool)).areas()
    array([20])
    >>> any_masks([{"size": [4, 5], "counts": [0, 20]}]).areas()
    array([20])
    """
    if _are_rles(values):
        return MaskCrops.from_rles(values, *values[0]["size"])
    masks = np.asarray(values)
    if masks.ndim != 3:
        raise ValueError("no masks (N, height, width)")
    return MaskCrops.from_dense(masks)
