"""Which items train, validate and are held out: the split that a run would make, or has made, by numbers of a scan."""

from dataclasses import dataclass
from functools import cached_property

from ..data.cross_validation import Split
from ..data.protocols import Dataset


@dataclass(frozen=True)
class Fold:
    """Numbers of the items that a fold trains on and validates."""

    train: list[int]
    validation: list[int]


@dataclass(frozen=True)
class ScannedParts:
    """What is scanned, and the parts of it by numbers in the scan.

    Attributes:
        sources: Datasets that are scanned.
        folds: Their folds; ``extra_train_data`` trains in each.
        holdout: Items that are held out.
        positions: Position in the experiment's dataset of each scanned item, ``None`` for one that is not in it.
    """

    sources: list[Dataset]
    folds: list[Fold]
    holdout: list[int]
    positions: "list[int | None]"

    @classmethod
    def of(cls, dataset: Dataset, split: "Split | None", extra: "Dataset | None") -> "ScannedParts":
        """Return the parts of a split; without one, where none can be made, the dataset alone."""
        if split is None:
            return cls([dataset], [], [], list(range(len(dataset))))
        sources: list[Dataset] = [split.train]
        count = len(split.train)
        held = list(range(count, count + (0 if split.holdout is None else len(split.holdout))))
        if split.holdout is not None:
            sources.append(split.holdout)
        more: list[int] = []
        if extra is not None:
            sources.append(extra)
            more = list(range(count + len(held), count + len(held) + len(extra)))
        folds = [Fold([*train, *more], list(validation)) for train, validation in split.folds]
        return cls(sources, folds, held, [place for source in sources for place in _positions(source, dataset)])

    def named(self) -> list[tuple[str, list[int]]]:
        """Return name and items of each part."""
        parts = []
        for number, fold in enumerate(self.folds):
            parts += [(f"fold {number} train", fold.train), (f"fold {number} validation", fold.validation)]
        return [*parts, *([("holdout", self.holdout)] if self.holdout else [])]

    @cached_property
    def held(self) -> frozenset[int]:
        """The items that are held out."""
        return frozenset(self.holdout)

    @cached_property
    def sides(self) -> list[tuple[frozenset[int], frozenset[int]]]:
        """What each fold trains on and validates."""
        return [(frozenset(fold.train), frozenset(fold.validation)) for fold in self.folds]


def _positions(source: Dataset, dataset: Dataset) -> "list[int | None]":
    if source is dataset:
        return list(range(len(dataset)))
    if getattr(source, "ds", None) is dataset and hasattr(source, "indexes"):
        return [int(position) for position in source.indexes]
    return [None] * len(source)
