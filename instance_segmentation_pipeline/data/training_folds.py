"""What training parts of folds have beside the dataset's own items: ``extra_train_data``, ``dataset_augmenter``.

Validation parts, and the files that fix a split, know nothing of it.
"""

import contextlib
import inspect
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from musket_core import generic_config

from ..config.settings import ItemSettings
from ..errors import DatasetError, UserError, one_line, shortened
from ..storage.digests import digest
from .catalog import DatasetCatalog
from .class_names import known_class_names
from .consistency import check_items
from .cross_validation import DetectionFolds, Split, check_length
from .dataset_length import length_of
from .dataset_roots import gives_xyxy
from .item_reader import ItemReader
from .protocols import Dataset
from .split_functions import indices_of, same_items
from .splits import item_order


class TrainingFolds:
    """The folds that stages train on.

    Args:
        settings: What is added.
        random_state: Seed of what a ``dataset_augmenter`` draws.
        datasets: The datasets.
    """

    def __init__(self, settings: ItemSettings, random_state: int, datasets: DatasetCatalog) -> None:
        self.settings, self.random_state, self._datasets = settings, random_state, datasets
        self._kept: tuple[Split, DetectionFolds] | None = None

    def of(self, split: Split, batch: int) -> DetectionFolds:
        """Return the folds of a split with what is added to their training parts.

        Raises:
            UserError: What is to be added is not there, or does not fit.
        """
        if self._kept is None or not _same(self._kept[0], split):
            self._kept = (split, self._made(split))
        folds = self._kept[1]
        folds.batchSize = batch
        return folds

    def extra(self) -> "Dataset | None":
        """Return the dataset of ``extra_train_data``, ``None`` where there is none.

        Raises:
            UserError: It cannot be made, is empty, or has other classes or boxes than the dataset.
        """
        declared = self.settings.extra_train_data
        if declared is None:
            return None
        registered = generic_config.extra_train.get(declared) if isinstance(declared, str) else None
        if registered is not None:
            made: Dataset = self._datasets.preprocessed(registered)
        else:
            made = self._datasets.declared(declared, "extra_train_data")
        try:
            check_length(made)
        except DatasetError:
            raise DatasetError("extra_train_data is empty: expected at least one item.") from None
        self._check_kind(made)
        return made

    def check(self, reader: ItemReader) -> None:
        """Raise a ``UserError`` for ``extra_train_data`` that is not there, or whose items are wrong."""
        extra = self.extra()
        if extra is None:
            return
        try:
            check_items(extra, reader)
        except DatasetError as error:
            raise DatasetError(f"extra_train_data: {error}") from error

    def settings_of(self, split: Split, fold: int) -> dict[str, Any]:
        """Return what decides the training items of a fold beside its split, by the names of the properties."""
        found: dict[str, Any] = {}
        extra = self.extra()
        if extra is not None:
            found["extra_train_data"] = f"{self.settings.extra_train_data}: {len(extra)} items {item_order(extra)}"
        if self.settings.dataset_augmenter is not None:
            items = digest(self.of(split, 1).indexes(fold, True))
            found["dataset_augmenter"] = f"{self.settings.dataset_augmenter}: items of digest {items}"
        return found

    def _made(self, split: Split) -> DetectionFolds:
        folds = DetectionFolds(split.train, split.folds, 1)
        extra = self.extra()
        if extra is not None:
            folds.addToTrain(extra)
        if self.settings.dataset_augmenter is None:
            return folds
        return self._augmented(folds, split)

    def _check_kind(self, extra: Any) -> None:
        own = self._datasets.main()
        names, expected = known_class_names(extra), known_class_names(own)
        if names is not None and expected is not None and names != expected:
            raise DatasetError(
                f"extra_train_data names the classes {shortened(list(names))}, and the dataset "
                f"{shortened(list(expected))}: they must be the same, in the same order."
            )
        if gives_xyxy(extra) != gives_xyxy(own):
            raise DatasetError(
                "extra_train_data and the dataset give boxes in different orders of coordinates (musket_core's "
                "InstanceSegmentationDataSet gives x1, y1, x2, y2): give both in one."
            )

    def _augmented(self, folds: DetectionFolds, split: Split) -> DetectionFolds:
        arguments = dict(self.settings.dataset_augmenter or {})
        name = arguments.pop("name")
        registered = generic_config.dataset_augmenters.get(name)
        function = registered or self._datasets.function("dataset_augmenter", name)
        what = f"dataset_augmenter {name}"
        try:
            with _seeded(self.random_state), self._datasets.paths.data_folder().entered():
                if registered is not None or inspect.isclass(function):
                    answer = function(**arguments)(folds)
                else:
                    answer = function(folds, **arguments)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise DatasetError(f"{what} failed: {one_line(error)}.") from error
        if not hasattr(answer, "ds") or not hasattr(answer, "folds"):
            raise DatasetError(f"{what} gave a {type(answer).__name__}, expected the folds that it was given.")
        if len(answer.folds) != len(split.folds):
            raise DatasetError(
                f"{what} gave {len(answer.folds)} folds of {len(split.folds)}: it may change their items only."
            )
        count, checked = length_of(answer.ds), []
        for number, (fold, own) in enumerate(zip(answer.folds, split.folds, strict=True)):
            if list(fold[1]) != list(own[1]):
                raise DatasetError(
                    f"{what} changed the validation part of fold {number}: it may change training parts only."
                )
            train = indices_of(fold[0], count, f"{what}: the training part of fold {number}")
            both = np.intersect1d(train, own[1])
            if len(both):
                raise DatasetError(
                    f"{what} trains fold {number} on {len(both)} of the items that it validates on (the first is item "
                    f"{both[0]}): each item belongs to one of the two."
                )
            checked.append((train, list(own[1])))
        made = DetectionFolds(answer.ds, checked, 1)
        made.validated = split.train
        return made


def _same(one: Split, other: Split) -> bool:
    return one is other or (one.folds == other.folds and same_items(one.train, other.train))


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let what is drawn follow from the seed, so that each process and each resumed run draws the same."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - those that functions of projects draw from
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
