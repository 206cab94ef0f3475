"""``EpochItems``: which items of a training set an epoch shows, and in which order. It is drawn anew for each epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..detection.arrays import BoolArray, Float64Array, Int64Array
from ..errors import DatasetError

ALL = ("real", "all")
NONE = "none"
Negatives = str | float | None
"""``none``, ``real`` or ``all``, or how many items without objects there are for each one with."""


@dataclass(frozen=True, eq=False)
class EpochItems:
    """What an epoch draws from.

    Attributes:
        positives: Positions of the items that an epoch shows, if ``most`` does not make them fewer.
        negatives: Positions of items of which each epoch shows ``drawn_negatives``.
        drawn_negatives: How many.
        weights: Of all items, in proportion to which they are drawn, with replacement; ``None`` shows each once.
        most: Items of an epoch at most.
    """

    positives: Int64Array
    negatives: Int64Array
    drawn_negatives: int = 0
    weights: "Float64Array | None" = None
    most: "int | None" = None

    def __len__(self) -> int:
        count = len(self.positives) + self.drawn_negatives
        return count if self.most is None else min(count, self.most)

    def drawn(self, generator: np.random.Generator) -> Int64Array:
        """Return the positions that one epoch shows, in their order, ``(len(self),)``."""
        pool = self.positives
        if self.drawn_negatives:
            chosen = generator.choice(self.negatives, self.drawn_negatives, replace=False)
            pool = np.concatenate([pool, chosen])
        if self.weights is None:
            return generator.permutation(pool)[: len(self)]
        shares = self.weights[pool]
        return generator.choice(pool, len(self), p=shares / shares.sum())


def epoch_items(
    positive: BoolArray,
    negatives: Negatives = None,
    weights: "Float64Array | None" = None,
    most: "int | None" = None,
) -> EpochItems:
    """Return what the epochs of a training set draw from.

    Args:
        positive: Whether each item has objects, ``(N,)``.
        negatives: Which items without objects an epoch shows: ``none``; ``real``, ``all`` or ``None`` for all of them;
            or how many for each item with objects.
        weights: Of the items, ``(N,)``; ``None`` where they are equal.
        most: Items of an epoch at most.

    Raises:
        DatasetError: No item is left, or those that are have no weight.
    """
    everything = np.arange(len(positive))
    with_objects, without = everything[positive], everything[~positive]
    if negatives is None or negatives in ALL:
        made = EpochItems(everything, everything[:0], 0, weights, most)
    else:
        made = EpochItems(with_objects, without, count_of(negatives, len(with_objects), len(without)), weights, most)
    if not len(made):
        raise DatasetError(
            f"negatives is {negatives}, and none of the {len(positive)} training items has objects: nothing is left to "
            "train on."
        )
    if weights is not None and not weights[made.positives].sum():
        raise DatasetError("sample_weight is 0 for each item that is trained on: nothing would be.")
    return made


def count_of(negatives: Negatives, with_objects: int, without: int) -> int:
    """Return how many of the items without objects ``negatives`` leaves."""
    if negatives is None or negatives in ALL:
        return without
    return 0 if negatives == NONE else min(without, round(with_objects * float(negatives)))


def validation_items(
    indices: Sequence[int], positive: BoolArray, negatives: Negatives, seed: Sequence[int]
) -> list[int]:
    """Return the items that are validated on, in their order: the same ones in each epoch.

    Args:
        indices: Of the items.
        positive: Whether each has objects, ``(N,)``.
        negatives: As for ``epoch_items``.
        seed: Which of the items without objects are taken.

    Raises:
        DatasetError: No item is left.
    """
    count = count_of(negatives, int(positive.sum()), int((~positive).sum()))
    kept = positive.copy()
    kept[np.random.default_rng(list(seed)).permutation(np.flatnonzero(~positive))[:count]] = True
    if not kept.any():
        raise DatasetError(
            f"validation_negatives is {negatives}, and none of the {len(indices)} validation items has objects: "
            "nothing is left to validate on."
        )
    return [int(index) for index, keeps in zip(indices, kept, strict=True) if keeps]
