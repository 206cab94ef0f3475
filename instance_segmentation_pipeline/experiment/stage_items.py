"""Which items a stage of a fold trains and validates on, and what decides it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.cells import CellCatalog, Cells
from ..data.epoch_items import ALL, EpochItems, Negatives, epoch_items, validation_items
from ..data.item_cache import ItemCache
from ..data.splits import class_balanced
from ..data.training_members import Positives, sample_weights
from ..detection.arrays import BoolArray
from ..models.finished_config import FinishedConfig
from ..storage.digests import digest


@dataclass(frozen=True)
class ItemRequest:
    """What is asked for of a stage's items.

    Attributes:
        negatives: Items without objects that an epoch trains on; see ``epoch_items``.
        validation_negatives: Those that are validated on; ``None`` as ``negatives``.
        most: Iterations of an epoch at most.
        batch: Items of an iteration, those of all devices.
        seed: Of what is drawn.
    """

    negatives: Negatives = None
    validation_negatives: Negatives = None
    most: "int | None" = None
    batch: int = 1
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Return what is not as by default, by the names of its properties."""
        chosen = {
            "negatives": self.negatives,
            "validation_negatives": self.validation_negatives,
            "maxEpochSize": self.most,
        }
        return {name: value for name, value in chosen.items() if value is not None}


@dataclass(frozen=True)
class StageItems:
    """Items of a stage.

    Attributes:
        train: Indices to train on.
        validation: Indices to validate on after each epoch.
        epoch: What an epoch draws from ``train``; ``None`` where it shows all of them.
        notes: Lines on what was decided.
        train_cells: The cells of the images in ``train``, where images are cut: ``epoch`` draws from them.
        validation_cells: Those of the images in ``validation``.
    """

    train: list[int]
    validation: list[int]
    epoch: "EpochItems | None"
    notes: list[str]
    train_cells: "Cells | None" = None
    validation_cells: "Cells | None" = None

    def per_epoch(self) -> int:
        """Return how many items an epoch shows."""
        shown = self.train if self.train_cells is None else self.train_cells
        return len(shown if self.epoch is None else self.epoch)


def stage_items(
    request: ItemRequest,
    model: FinishedConfig,
    kf: Any,
    fold: int,
    train: Sequence[int],
    labels: "ItemCache[set[int]]",
    positives: Positives,
    cells: "CellCatalog | None" = None,
) -> StageItems:
    """Return the items of a stage.

    Args:
        request: What is asked for.
        model: The prepared config.
        kf: The folds.
        fold: Number of the fold.
        train: Indices of its training items.
        labels: The labels in each item, read once.
        positives: Which items have objects.
        cells: Tells the cells of images, where these are the items that are trained on.

    Raises:
        DatasetError: None is left.
    """
    notes: list[str] = []
    indices = [int(index) for index in train]
    if model.oversample_threshold is not None:
        indices = class_balanced(indices, labels.of(kf.ds, indices), model.oversample_threshold)
    weights = sample_weights(kf.ds, indices)
    parts = None if cells is None else cells.of(kf.ds, indices, training=True)
    if parts is not None:
        notes.append(f"schedule of items: {len(parts)} cells of {len(indices)} images")
        if weights is not None:
            each = dict(zip(indices, weights, strict=True))
            weights = np.array([each[index] for index in parts.indices])
    shown: list[int] = indices if parts is None else list(range(len(parts)))
    most = None if request.most is None else request.most * request.batch
    selects = request.negatives not in (None, *ALL)
    epoch = None
    if selects or weights is not None or (most is not None and most < len(shown)):
        positive: BoolArray = np.ones(len(shown), bool)
        if selects:
            positive = positives.of(kf.ds, indices) if parts is None else parts.positive
        epoch = epoch_items(positive, request.negatives, weights, most)
        notes.append(_line(epoch, selects))
        if selects and not epoch.drawn_negatives:  # so that none takes the place of an image that a pipeline rejects
            shown = [shown[position] for position in epoch.positives]
            parts = None if parts is None else parts.take(shown)
            weights = None if weights is None else weights[epoch.positives]
            fewer = most is not None and most < len(shown)
            everything = np.ones(len(shown), bool)
            epoch = epoch_items(everything, None, weights, most) if fewer or weights is not None else None
    validation = [int(index) for index in kf.indexes(fold, False)]
    kept = request.negatives if request.validation_negatives is None else request.validation_negatives
    if kept not in (None, *ALL):
        given = len(validation)
        validation = validation_items(validation, positives.of(kf.validated, validation), kept, (request.seed, fold))
        if len(validation) < given:
            notes.append(f"schedule of items: validation after each epoch on {len(validation)} of {given} items")
    seen = None if cells is None else cells.of(kf.validated, validation, training=False)
    return StageItems(shown if parts is None else indices, validation, epoch, notes, parts, seen)


def weights_mark(kf: Any, train: Sequence[int]) -> "str | None":
    """Return what stands for the weights of training items, ``None`` where they are equal."""
    weights = sample_weights(kf.ds, [int(index) for index in train])
    return None if weights is None else f"weights of digest {digest(weights.tolist())}"


def _line(epoch: EpochItems, selects: bool) -> str:
    parts = []
    if selects:
        parts.append(
            f"{len(epoch.positives)} items with objects, {epoch.drawn_negatives} of {len(epoch.negatives)} without"
        )
    if epoch.weights is not None:
        parts.append("drawn in proportion to sample_weight")
    if epoch.most is not None:
        parts.append(f"{len(epoch)} items at most")
    return f"schedule of items: an epoch draws anew {'; '.join(parts)}"
