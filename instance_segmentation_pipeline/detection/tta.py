"""Views of an image for test-time augmentation: flips, quarter turns and scales, and the way back for detections.

Pure functions. Flips and turns move whole pixels, so the way back is exact, for masks and for boxes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import shortened
from .arrays import UInt8Array
from .detections import Detections
from .mask_crops import MaskCrops


@dataclass(frozen=True)
class View:
    """One way to show an image to the net: turned by ``turns`` quarters counter-clockwise, then flipped, then scaled.

    Attributes:
        turns: 0 to 3.
        flip: Left and right exchanged, after turning.
        scale: Factor of the size that the net's pipeline resizes to.

    >>> image = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    >>> View(turns=1).show(image)[:, :, 0]
    array([[2, 5],
           [1, 4],
           [0, 3]], dtype=uint8)
    """

    turns: int = 0
    flip: bool = False
    scale: float = 1.0

    def show(self, image: UInt8Array) -> UInt8Array:
        """Return the view of an image ``(height, width, channels)``."""
        turned = np.rot90(image, self.turns)
        return np.ascontiguousarray(turned[:, ::-1] if self.flip else turned)

    def back(self, found: Detections, size: "tuple[int, int] | None" = None) -> Detections:
        """Return detections in a view as detections in the image.

        Args:
            found: Detections in the view.
            size: Height and width of the image; by default they follow from those of the view.

        Raises:
            ValueError: ``size`` is another one than that which follows.
        """
        height, width = found.height, found.width
        if size is not None and tuple(size) != ((width, height) if self.turns % 2 else (height, width)):
            raise ValueError(f"a view of {height} x {width} pixels of an image of {size}")
        bboxes = found.bboxes.copy()
        if self.flip:
            bboxes[:, [0, 2]] = width - bboxes[:, [2, 0]]
        for _ in range(self.turns):  # a quarter clockwise: (x, y) becomes (height - y, x)
            x1, y1, x2, y2 = bboxes.T
            bboxes = np.stack([height - y2, x1, height - y1, x2], axis=1)
            height, width = width, height
        masks = found.masks
        if masks and (self.flip or self.turns):
            crops = MaskCrops.from_rles(masks, found.height, found.width)
            masks = crops.flip(horizontal=self.flip, vertical=False).turned(-self.turns).to_rles()
        return Detections(height, width, found.labels, found.scores, bboxes.astype(np.float32), masks)


TestTimeAugmentation = bool | str | Mapping[str, Any] | None
"""A value of ``testTimeAugmentation`` or ``ttflips``; see ``views_of``."""

PLAIN = View()
_FLIPS = {
    "Horizontal": ((0, False), (0, True)),
    "Vertical": ((0, False), (2, True)),
    "Horizontal_and_vertical": ((0, False), (0, True), (2, True), (2, False)),
    "All": tuple((turns, flip) for turns in range(4) for flip in (False, True)),
}
NAMES = tuple(_FLIPS)
SMALLEST, LARGEST, MOST_SCALES = 0.05, 20.0, 20


def views_of(augmentation: object) -> list[View]:
    """Return the views that a value of ``testTimeAugmentation`` or ``ttflips`` asks for.

    Args:
        augmentation: ``None`` or ``False`` for the image as it is; one of ``NAMES``; ``True`` for ``All``; or a mapping
            with ``flips`` (one of ``NAMES``) and ``scales`` (a list of factors).

    Raises:
        ValueError: Something else.

    >>> views_of("Horizontal")
    [View(turns=0, flip=False, scale=1.0), View(turns=0, flip=True, scale=1.0)]
    >>> len(views_of({"flips": "All", "scales": [1.0, 1.5]}))
    16
    """
    if augmentation is None or augmentation is False:
        return [PLAIN]
    if augmentation is True:
        augmentation = "All"
    if isinstance(augmentation, str):
        augmentation = {"flips": augmentation}
    if not isinstance(augmentation, dict) or not augmentation or set(augmentation) - {"flips", "scales"}:
        raise ValueError(f"{shortened(augmentation)} is no test-time augmentation")
    flips = augmentation.get("flips")
    if flips is not None and flips not in _FLIPS:
        raise ValueError(f"{shortened(flips)} is none of {', '.join(NAMES)}")
    turns = _FLIPS[flips] if flips is not None else ((0, False),)
    return [View(turn, flip, scale) for scale in _scales(augmentation.get("scales")) for turn, flip in turns]


def _scales(scales: "Sequence[float] | None") -> list[float]:
    if scales is None:
        return [1.0]
    if not isinstance(scales, (list, tuple)) or not 0 < len(scales) <= MOST_SCALES:
        raise ValueError(f"scales {shortened(scales)} are no list of factors")
    factors = [float(scale) for scale in scales if not isinstance(scale, bool)]
    if len(factors) != len(scales) or not all(SMALLEST <= factor <= LARGEST for factor in factors):
        raise ValueError(f"scales {shortened(scales)} are no list of factors from {SMALLEST:g} to {LARGEST:g}")
    return factors
