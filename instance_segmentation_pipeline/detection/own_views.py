"""Views of an image that somebody's function gives, each with a way back, tried out before it is used.

Pure but for the functions, which are the caller's: ``view(image)`` shows an image ``(height, width, 3)`` uint8
otherwise, and ``inverse(array)`` or ``inverse(array, (height, width))`` brings an array that lies like the view,
``(height', width')`` uint8 or float32, back to the image's place and size.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ..errors import ConfigError, UserError, one_line, shortened
from .arrays import AnyArray, BoolArray, Float64Array, UInt8Array
from .detections import Detections
from .masks import decode_masks, encode_masks

MOST_VIEWS = 20
CANVASES = ((96, 128), (128, 96))
"""Sizes of the images that a view is tried out on."""

LEAST_IOU = 0.8
"""How well a mark has to come back."""

STRAIGHT = 1e-3
"""Largest share of the other axis in a map that keeps boxes upright."""

BENT = 1.5
"""Largest distance in pixels of a straight map from the one that is there."""


@dataclass(frozen=True)
class OwnView:
    """A view that a function gives.

    Attributes:
        name: What messages call it.
        mark: What tells it from another, its code included.
        view: Shows an image otherwise.
        inverse: Brings an array of the view back.

    >>> mirrored = OwnView("mirrored", "1", np.fliplr, np.fliplr)
    >>> mirrored.show(np.arange(6, dtype=np.uint8).reshape(1, 2, 3)).tolist()
    [[[3, 4, 5], [0, 1, 2]]]
    """

    name: str
    mark: str
    view: Callable[..., Any]
    inverse: Callable[..., Any]
    turns = 0
    scale = 1.0

    def __repr__(self) -> str:
        return f"OwnView({self.name}, {self.mark})"

    def show(self, image: UInt8Array) -> UInt8Array:
        """Return the view of an image ``(height, width, 3)``.

        Raises:
            ConfigError: The function fails, or gives no image.
        """
        shown = self._called("view", self.view, image.copy())
        if not isinstance(shown, np.ndarray) or shown.dtype != np.uint8 or shown.ndim != 3 or shown.shape[2] != 3:
            what = f"{shown.dtype} {shown.shape}" if isinstance(shown, np.ndarray) else f"a {type(shown).__name__}"
            self._refuse(f"shows an image as {what}, expected uint8 (height, width, 3)")
        if not shown.size:
            self._refuse(f"shows nothing of an image of {image.shape[1]} x {image.shape[0]} pixels")
        return np.ascontiguousarray(shown)

    def back(self, found: Detections, size: tuple[int, int]) -> Detections:
        """Return detections in a view as detections in the image, of ``size`` (height, width).

        Masks come back pixel by pixel. Boxes keep their exact sides where the way back keeps them upright; else they
        are the tight ones of the masks, or, without masks, the hulls of their corners. What lies outside is left out.

        Raises:
            ConfigError: The inverse fails, gives another size, or bends boxes that have no masks.
        """
        height, width = size
        masks: AnyArray | None = None
        if found.masks is not None:
            dense = decode_masks(found.masks, found.height, found.width)
            back = [self.array_back(mask * np.uint8(255), size) >= 128 for mask in dense]
            masks = np.array(back, bool).reshape(-1, height, width)
        bboxes = self._boxes_back(found, masks, size) if len(found) else found.bboxes
        bboxes = bboxes.clip(0, np.array([width, height] * 2)).astype(np.float32)
        kept = (bboxes[:, 2:] > bboxes[:, :2]).all(axis=1)
        if masks is not None:
            kept &= masks.any(axis=(1, 2))
        rles = None if masks is None else encode_masks(masks.astype(np.uint8))
        return Detections(height, width, found.labels, found.scores, bboxes, rles)[np.flatnonzero(kept)]

    def array_back(self, array: AnyArray, size: tuple[int, int]) -> AnyArray:
        """Return an array of the view, ``(height', width')``, in the image's place.

        Raises:
            ConfigError: The inverse fails, or gives another size.
        """
        arguments = (array, size) if _takes_two(self.inverse) else (array,)
        given = self._called("inverse", self.inverse, *arguments)
        if not isinstance(given, np.ndarray) or given.shape != size:
            what = f"{given.shape}" if isinstance(given, np.ndarray) else f"a {type(given).__name__}"
            self._refuse(
                f"does not come back: an array of {array.shape} became {what}, expected {size}, height and width of "
                "the image"
            )
        return given

    def _boxes_back(self, found: Detections, masks: "AnyArray | None", size: tuple[int, int]) -> Float64Array:
        there = self._map(found.height, found.width, size)
        straight = there is not None and _is_upright(there)
        if masks is not None and not straight:
            return _tight(masks.astype(bool))
        if there is None:
            self._refuse("bends the image, so that boxes without masks cannot come back: give a straight inverse")
        corners = found.bboxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2).astype(np.float64)
        turned = (corners - there[:, 2]) @ np.linalg.inv(there[:, :2]).T
        return np.concatenate([turned.min(axis=1), turned.max(axis=1)], axis=1)

    def _map(self, height: int, width: int, size: tuple[int, int]) -> "Float64Array | None":
        """Return the map ``(2, 3)`` from places of the image to those of the view; ``None`` where it is not straight.

        Places of pixels of the view are brought back as if they were an image, and a straight map is fitted to them.
        """
        rows, columns = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
        inside = self.array_back(np.full((height, width), 255, np.uint8), size) > 250
        inside[[0, -1]], inside[:, [0, -1]] = False, False
        places = np.argwhere(inside)
        if len(places) < 3:
            return None
        places = places[:: max(1, len(places) // 4000)]
        at = tuple(places.T)
        seen = np.stack([self.array_back(columns, size)[at], self.array_back(rows, size)[at]], axis=1).astype(
            np.float64
        )
        own = np.concatenate([places[:, ::-1] + 0.5, np.ones((len(places), 1))], axis=1)
        fitted = np.linalg.lstsq(own, seen, rcond=None)[0]
        singular = abs(np.linalg.det(fitted[:2])) < 1e-6
        return None if singular or np.abs(own @ fitted - seen).max() > BENT else fitted.T

    def _called(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise ConfigError(f"testTimeAugmentation: {what} of {self.name} fails: {one_line(error)}.") from error

    def _refuse(self, words: str) -> NoReturn:
        raise ConfigError(f"testTimeAugmentation: {self.name} {words}.")

    # -- trying out ------------------------------------------------------------------------------------------

    def try_out(self) -> None:
        """See that marks drawn on images come back to where they were.

        Raises:
            ConfigError: One does not, with where it was and where it came back to; or the view shows none, or differs
                from call to call.
        """
        for size in CANVASES:
            plain = _canvas(size)
            bare = self.show(plain)
            if not np.array_equal(bare, self.show(plain)):
                self._refuse("shows an image differently from call to call: a view has to stay the same")
            whole = [one for one in _marks(size) if self._comes_back(one, plain, bare, size)]
            if not whole:
                self._refuse(f"shows none of {len(_marks(size))} marks on an image of {size[1]} x {size[0]} pixels")

    def _comes_back(self, mark: BoolArray, plain: UInt8Array, bare: UInt8Array, size: tuple[int, int]) -> bool:
        """Say whether a mark is seen whole in the view; one that is has to come back."""
        drawn = plain.copy()
        drawn[mark] = 255 - drawn[mark]
        shown = self.show(drawn)
        if shown.shape != bare.shape:
            self._refuse(
                f"shows images of one size as {bare.shape[:2]} and {shown.shape[:2]}: a view has to stay the same"
            )
        difference = np.abs(shown.astype(np.int16) - bare).max(axis=2)
        seen = difference > max(difference.max() / 2, 8)
        edges = seen[[0, -1]].any() or seen[:, [0, -1]].any()
        if edges or not seen.any():
            return False
        back = self.array_back(seen.astype(np.uint8) * np.uint8(255), size) >= 128
        union = int((back | mark).sum())
        iou = int((back & mark).sum()) / union if union else 0.0
        if iou < LEAST_IOU:
            self._refuse(
                f"does not come back: a mark at {_place(mark)} of an image of {size[1]} x {size[0]} pixels came back "
                f"at {_place(back)}, with an IoU of {iou:.2f}, expected {LEAST_IOU:g} or more: give the view's inverse"
            )
        return True


def own_views(given: Any, name: str, mark: str) -> list[OwnView]:
    """Return the views that a function gave, tried out.

    Args:
        given: A list of pairs ``(view, inverse)`` of functions.
        name: The function's name.
        mark: What tells its code from another.

    Raises:
        ConfigError: They are no such pairs, or one does not come back.

    >>> own_views([(np.flipud, np.flipud)], "upside_down", "1")
    [OwnView(view 0 of upside_down, 1)]
    """
    if not isinstance(given, (list, tuple)) or not given or len(given) > MOST_VIEWS:
        what = f"{len(given)} views" if isinstance(given, (list, tuple)) else shortened(given)
        raise ConfigError(
            f"testTimeAugmentation {name} gave {what}, expected a list of 1 to {MOST_VIEWS} pairs (view, inverse)."
        )
    views = []
    for number, pair in enumerate(given):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(callable(one) for one in pair):
            raise ConfigError(
                f"testTimeAugmentation {name} gave {shortened(pair)} as view {number}, expected a pair of functions "
                "(view, inverse)."
            )
        views.append(OwnView(f"view {number} of {name}", mark, pair[0], pair[1]))
    for view in views:
        view.try_out()
    return views


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in kinds and one.default is inspect.Parameter.empty for one in parameters) == 2


def _canvas(size: tuple[int, int]) -> UInt8Array:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.stack([30 + rows % 60, 30 + columns % 60, 30 + (rows + columns) % 60], axis=2).astype(np.uint8)


def _marks(size: tuple[int, int]) -> list[BoolArray]:
    """Return marks ``(height, width)`` bool over an image: each the letter L, which no flip and no turn keeps."""
    height, width = (side // 4 for side in size)
    marks: list[BoolArray] = []
    for row in range(3):
        for column in range(3):
            mark = np.zeros(size, bool)
            top, left = height // 2 + row * height, width // 2 + column * width
            mark[top : top + height, left : left + width] = True
            mark[top : top + height * 6 // 10, left + width * 4 // 10 : left + width] = False
            marks.append(mark)
    return marks


def _is_upright(there: Float64Array) -> bool:
    across = np.abs(there[:, :2])
    return bool(min(across[0, 1] + across[1, 0], across[0, 0] + across[1, 1]) < STRAIGHT)


def _tight(masks: BoolArray) -> Float64Array:
    boxes = np.zeros((len(masks), 4))
    for number, mask in enumerate(masks):
        rows, columns = np.nonzero(mask)
        if len(rows):
            boxes[number] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return boxes


def _place(mask: BoolArray) -> str:
    if not mask.any():
        return "no pixel"
    x1, y1, x2, y2 = (int(side) for side in _tight(mask[None])[0])
    return f"x {x1} to {x2}, y {y1} to {y2}"
