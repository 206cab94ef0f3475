"""The ways in which datasets write boxes, and which of them fits the masks that come with the boxes. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import Float64Array, FloatArray
from .boxes import SWAPPED, pairwise_iou

FITS = 0.3
"""IoU with its mask's tight box from which a box fits; padded boxes do."""

CORNERS, SIZES, CENTRES = "corners", "corner and size", "centre and size"


@dataclass(frozen=True)
class BoxForm:
    """How four numbers stand for a box.

    Attributes:
        order: ``xyxy`` where x comes before y, ``yxyx`` where y does.
        kind: ``corners``, ``corner and size`` (COCO) or ``centre and size`` (YOLO).
        normalised: Whether they are shares of the image's sides.

    >>> str(BoxForm("xyxy", SIZES))
    '[minX, minY, width, height]'
    >>> BoxForm("xyxy", SIZES).corners(np.array([[2, 3, 10, 20]]), np.array([[100, 50]]))
    array([[ 2.,  3., 12., 23.]])
    """

    order: str = "yxyx"
    kind: str = CORNERS
    normalised: bool = False

    def __str__(self) -> str:
        x, y = "x", "y"
        first, second = (x, y) if self.order == "xyxy" else (y, x)
        sides = ("width", "height") if self.order == "xyxy" else ("height", "width")
        names = {
            CORNERS: f"[min{first.upper()}, min{second.upper()}, max{first.upper()}, max{second.upper()}]",
            SIZES: f"[min{first.upper()}, min{second.upper()}, {sides[0]}, {sides[1]}]",
            CENTRES: f"[centre {first}, centre {second}, {sides[0]}, {sides[1]}]",
        }
        return names[self.kind] + (", as shares of the image's sides" if self.normalised else "")

    def corners(self, bboxes: FloatArray, sides: FloatArray) -> FloatArray:
        """Return boxes of this form as ``x1, y1, x2, y2`` in pixels.

        Args:
            bboxes: ``(N, 4)`` as the dataset gives them.
            sides: ``(N, 2)`` width and height of the image of each.
        """
        boxes = np.asarray(bboxes, np.float64)
        boxes = boxes if self.order == "xyxy" else boxes[:, SWAPPED]
        if self.normalised:
            boxes = boxes * np.concatenate([sides, sides], axis=1)
        first, second = boxes[:, :2], boxes[:, 2:]
        if self.kind == SIZES:
            return np.concatenate([first, first + second], axis=1)
        if self.kind == CENTRES:
            return np.concatenate([first - second / 2, first + second / 2], axis=1)
        return boxes


def fits(form: BoxForm, bboxes: FloatArray, sides: FloatArray, tight: FloatArray) -> tuple[float, float]:
    """Return the share of boxes that fit their masks when read in a form, and the mean IoU.

    Args:
        form: How they are read.
        bboxes: ``(N, 4)`` as the dataset gives them, N of 1 or more.
        sides: ``(N, 2)`` width and height of the image of each.
        tight: ``(N, 4)`` ``x1, y1, x2, y2`` of the masks.

    >>> one, image, mask = np.array([[2, 3, 10, 20]]), np.array([[100, 50]]), np.array([[2, 3, 12, 23]])
    >>> fits(BoxForm("xyxy", SIZES), one, image, mask)
    (1.0, 1.0)
    """
    iou = _overlap(form, bboxes, sides, tight)
    return float((iou >= FITS).mean()), float(iou.mean())


def fits_only_swapped(order: str, bboxes: FloatArray, tight: FloatArray) -> bool:
    """Say whether corners fit their masks in the other coordinate order only.

    The answer is yes when at least one box tells the two orders apart, none of those fits in ``order``, and all of them
    fit in the other. The arguments are those of ``fits``.

    >>> fits_only_swapped("yxyx", np.array([[30, 10, 50, 20]]), np.array([[30, 10, 50, 20]]))
    True
    """
    sides = np.ones((len(bboxes), 2))  # corners in pixels need none
    as_given, other = (_overlap(BoxForm(way), bboxes, sides, tight) >= FITS for way in (order, _other(order)))
    telling = as_given != other
    return bool(telling.any() and other[telling].all())


def _overlap(form: BoxForm, bboxes: FloatArray, sides: FloatArray, tight: FloatArray) -> Float64Array:
    """Return the IoU ``(N,)`` of each box, read in a form, with its mask's; 0 where it ends before it begins."""
    boxes = form.corners(bboxes, sides)
    iou = pairwise_iou(boxes, np.asarray(tight, np.float64))
    return np.where((boxes[:, 2:] > boxes[:, :2]).all(axis=1), iou, 0.0)


def _other(order: str) -> str:
    return "xyxy" if order == "yxyx" else "yxyx"


def best_form(order: str, bboxes: FloatArray, sides: FloatArray, tight: FloatArray) -> "BoxForm | None":
    """Return the form in which boxes fit their masks; ``None`` where most fit as corners in ``order``, or in no form.

    Another form is named only where nine of ten boxes fit in it. The arguments are those of ``fits``.

    >>> one, image, mask = np.array([[30, 3, 10, 20]]), np.array([[100, 50]]), np.array([[30, 3, 40, 23]])
    >>> best_form("xyxy", one, image, mask)
    BoxForm(order='xyxy', kind='corner and size', normalised=False)
    """
    if fits(BoxForm(order), bboxes, sides, tight)[0] >= 0.5:
        return None
    forms = [
        BoxForm(way, kind, normalised)
        for normalised in (False, True)
        for kind in (CORNERS, SIZES, CENTRES)
        for way in (order, _other(order))
    ]
    scored = [(*fits(form, bboxes, sides, tight), form) for form in forms]
    share, _, form = max(scored, key=lambda one: one[:2])
    return form if share >= 0.9 else None


def ends_are_inclusive(boxes: FloatArray, tight: FloatArray) -> bool:
    """Say whether boxes ``(N, 4)`` ``x1, y1, x2, y2`` end with the last pixel of their masks instead of after it.

    >>> boxes = np.array([[0, 0, 10, 10], [5, 5, 8, 8], [1, 2, 3, 4]])
    >>> ends_are_inclusive(boxes, boxes + [0, 0, 1, 1])
    True
    >>> ends_are_inclusive(boxes, boxes)
    False
    """
    if len(boxes) < 3:
        return False
    starts = (np.abs(boxes[:, :2] - tight[:, :2]) < 0.01).all(axis=1)
    ends = (np.abs(boxes[:, 2:] + 1 - tight[:, 2:]) < 0.01).all(axis=1)
    return bool((starts & ends).mean() >= 0.95)


def look_normalised(bboxes: FloatArray, sides: FloatArray) -> bool:
    """Say whether boxes without masks can only be shares of the image's sides: none reaches beyond 1.

    >>> look_normalised(np.array([[0.1, 0.2, 0.5, 0.6]]), np.array([[64, 64]]))
    True
    """
    return bool(len(bboxes) and (np.abs(bboxes) <= 1.0).all() and (sides > 4).all() and (bboxes % 1 != 0).any())


def look_like_sizes(order: str, bboxes: FloatArray, sides: FloatArray) -> "BoxForm | None":
    """Return ``corner and size`` where boxes without masks make sense so alone.

    Some end before they begin when read as corners, and all lie inside their images when read as sizes.

    >>> look_like_sizes("xyxy", np.array([[20, 20, 10, 10], [5, 5, 9, 9]]), np.array([[64, 64], [64, 64]]))
    BoxForm(order='xyxy', kind='corner and size', normalised=False)
    """
    boxes = BoxForm(order).corners(bboxes, sides)
    if not len(boxes) or (boxes[:, 2:] > boxes[:, :2]).all():
        return None
    for way in (order, _other(order)):
        form = BoxForm(way, SIZES)
        whole = form.corners(bboxes, sides)
        inside = (whole[:, :2] >= 0) & (whole[:, 2:] <= sides + 1) & (whole[:, 2:] > whole[:, :2])
        if inside.all():
            return form
    return None


def joined(parts: Sequence[FloatArray], width: int) -> FloatArray:
    """Return arrays ``(n, width)`` as one, which may have no row.

    >>> joined([], 4).shape
    (0, 4)
    >>> joined([np.array([1, 2, 3, 4])], 4)
    array([[1., 2., 3., 4.]])
    """
    return np.concatenate([np.zeros((0, width)), *(np.asarray(part, np.float64).reshape(-1, width) for part in parts)])
