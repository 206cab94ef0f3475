"""What a metric's name says: where it is measured, and which of two values is the better one.

The one place that decides a direction. Losses are known by the whole first word of their name, never by letters
inside it: ``coco_segm_mAP_class_blossom`` is an average precision.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

VALIDATION, HOLDOUT = "val_", "_holdout"
PER_CLASS = "_mAP_class_"
"""Inside the names of average precisions of single classes, before the class."""

_LOSS = re.compile(r"(?:[a-z]{1,5}\d+[._])*(?:(?:aux|enc|dn)_)*loss(?:[_.]|$)")
"""``loss`` and its parts, with the prefixes that MMDetection gives those of stages, decoder layers and queries."""


@dataclass(frozen=True)
class MetricName:
    """A metric by its name, as the YAML, the CSV and the summary write it.

    Attributes:
        text: The name, such as ``val_coco_segm_mAP`` or ``val_s0.loss_cls``.
        mode: ``max`` or ``min`` set which values are better; ``auto`` takes the lower ones for losses, else the higher.

    >>> loss = MetricName("val_s0.loss_cls")
    >>> loss.plain, loss.lower_is_better, loss.best([0.5, 0.2])
    ('s0.loss_cls', True, 0.2)
    >>> MetricName("coco_segm_mAP_class_blossom").better(0.5, 0.2)
    True
    """

    text: str
    mode: str = "auto"

    def __str__(self) -> str:
        return self.text

    @property
    def plain(self) -> str:
        """The name without ``val_`` in front and ``_holdout`` behind."""
        return self.text.removeprefix(VALIDATION).removesuffix(HOLDOUT)

    @property
    def is_loss(self) -> bool:
        """Whether this is the loss or a part of it."""
        return _LOSS.match(self.plain) is not None

    @property
    def lower_is_better(self) -> bool:
        """Whether the lower of two values is the better one."""
        return self.is_loss if self.mode == "auto" else self.mode == "min"

    def better(self, first: float, second: float) -> bool:
        """Say whether the first value is better than the second; a number is better than NaN, NaN than nothing."""
        if math.isnan(first) or math.isnan(second):
            return math.isnan(second) and not math.isnan(first)
        return first < second if self.lower_is_better else first > second

    def best(self, values: Iterable[float]) -> float:
        """Return the best of some values, NaN where none is a number."""
        best = math.nan
        for value in values:
            if self.better(value, best):
                best = value
        return best

    def place_of_best(self, values: Sequence[float]) -> int:
        """Return the position of the best value: the first of equals, the last of all where none is a number."""
        best = len(values) - 1 if all(math.isnan(value) for value in values) else 0
        for position, value in enumerate(values):
            if self.better(value, values[best]):
                best = position
        return best
