"""Folds and holdout of an experiment: made once, fixed on disk, and never mixed with those of other data."""

import socket
from collections.abc import Callable, Sequence
from typing import Any

from musket_core import datasets

from ..errors import ConfigError, DatasetError
from .dataset_length import length_of
from .item_cache import ItemCache
from .protocols import Dataset
from .split_checks import check_folds, check_holdout, damaged, notes_on
from .splits import (
    Fold,
    SplitRequest,
    fingerprint,
    has_mark,
    is_made_from,
    item_labels,
    item_order,
    make_folds,
    make_holdout,
    read_split,
    stratification_classes,
    write_split,
)


class DetectionFolds(datasets.DefaultKFoldedDataSet):
    """Folds as musket_core's ``FoldWork`` reads them: ``ds``, and ``indexes(fold, isTrain)`` into it."""

    def __init__(self, ds: Any, folds: Sequence[Fold], batch: int) -> None:
        self.ds = ds
        self.folds = list(folds)
        self.batchSize = batch
        self.aug: list[Any] = []
        self.transforms: list[Any] = []
        self.maxEpochSize = None
        self.positive: dict[Any, Any] = {}


class Folding:
    """The part of ``PipelineConfig`` that splits the dataset; the methods' names are musket_core's."""

    files: Any
    path: Any
    get_dataset: Callable[..., Any]
    announce_once: Callable[..., None]
    folds_count: int
    imagesPerGpu: int
    validationSplit: float
    random_state: int
    stratified: bool
    testSplit: float
    testSplitSeed: int
    holdoutArr: Any
    writes_split: bool = True
    """Whether a split that is not on disk is made; of the processes of one run, the first alone makes it."""
    _dataset: Any
    _split_of: "tuple[()] | tuple[Any, tuple[Any, Any, list[Fold]]]"
    _labels: "ItemCache[set[int]] | None" = None
    _items: str = ""
    _stratification: "tuple[Any, list[int]] | None" = None

    def kfold(self, ds: Any = None, indeces: Any = None, batch: Any = None) -> DetectionFolds:
        """Return the folds of the dataset, the holdout left out; they are fixed on disk at the first call."""
        train, _, folds = self._split(ds)
        return DetectionFolds(train, folds, batch or self.imagesPerGpu)

    def hasHoldout(self) -> bool:
        """Say whether a part of the dataset is held out."""
        return self.testSplit > 0 or self._given_holdout(self._dataset) is not None

    def holdout(self, ds: Any = None) -> Any:
        """Return the part of the dataset that is held out."""
        held = self._split(ds)[1]
        if held is None:
            raise ConfigError(f"{self.path}: there is no holdout: set testSplit.")
        return held

    def train_without_holdout(self, ds: Any = None) -> Any:
        """Return the dataset without the part that is held out."""
        return self._split(ds)[0]

    def validation(self, ds: Any = None, foldNum: Any = 0) -> Any:
        """Return the validation part of a fold."""
        return self._part(ds, foldNum, "validation", is_train=False)

    def train(self, ds: Any = None, foldNum: Any = 0) -> Any:
        """Return the training part of a fold."""
        return self._part(ds, foldNum, "train", is_train=True)

    def labels(self) -> ItemCache[set[int]]:
        """Return the labels in each item of the dataset; an item is read for all folds, stages and seeds once."""
        if self._labels is None:
            self._labels = item_labels()
        return self._labels

    def _part(self, ds: Any, fold: Any, name: str, is_train: bool) -> Any:
        if isinstance(ds, int):
            ds, fold = None, ds
        number = fold[0] if isinstance(fold, list) else fold
        folds = self.kfold(ds)
        part = datasets.SubDataSet(folds.ds, folds.indexes(number, is_train))
        part.name = f"{name}{number}"
        return part

    def _given_holdout(self, ds: Any) -> Any:
        return self.holdoutArr if self.holdoutArr is not None else getattr(ds, "holdoutArr", None)

    def _split(self, ds: Any = None) -> tuple[Any, Any, list[Fold]]:
        """Return training dataset, holdout dataset or ``None``, and the folds as indices into the first."""
        ds = self.get_dataset() if ds is None else ds
        if self._split_of and self._split_of[0] is ds:
            return self._split_of[1]
        given_folds, given_holdout, request = self._asked(ds)
        mark = fingerprint(request, ds, [getattr(ds, "folds", None), self._given_holdout(ds)])
        self._items = item_order(ds)
        self._check_split(mark, given_holdout)
        classes = self._classes_of(ds) if self.stratified and self._is_missing(mark, given_holdout) else None
        train, held = self._holdout_split(ds, request, mark, given_holdout, classes)
        if held is not None and classes is not None:
            classes = [classes[index] for index in train.indexes]
        folds = self._fold_split(train, held, request, mark, given_folds, classes)
        self.folds_count = len(folds)
        self._split_of = (ds, (train, held, folds))
        return self._split_of[1]

    def _asked(self, ds: Any) -> tuple["list[Fold] | None", "list[int] | None", SplitRequest]:
        """Return folds and holdout that were given, checked, and what decides a split."""
        check_length(ds)
        folds, holdout = getattr(ds, "folds", None), self._given_holdout(ds)
        if folds is not None:
            folds = check_folds(folds, len(ds), "the dataset's folds")
        if holdout is not None:
            holdout = check_holdout(holdout, len(ds), "holdoutArr")
        request = SplitRequest(
            self.folds_count if folds is None else len(folds),
            self.validationSplit,
            self.random_state,
            self.stratified,
            self.testSplit,
            self.testSplitSeed,
        )
        return folds, holdout, request

    def check_split(self, ds: Any) -> None:
        """See to it that the dataset can be split as is asked for; no file is read or written.

        Raises:
            UserError: It cannot.
        """
        folds, holdout, request = self._asked(ds)
        mark = fingerprint(request, ds, [getattr(ds, "folds", None), self._given_holdout(ds)])
        if request.stratified and not self._is_missing(mark, holdout):
            return  # it was made before, and reading the classes of all items takes long
        classes = self._classes_of(ds) if request.stratified else None
        kept: Sequence[int] = range(len(ds))
        if holdout is not None:
            held = set(holdout)
            kept = [index for index in kept if index not in held]
        elif request.test_split:
            kept = make_holdout(len(ds), request, classes)[0]
        if folds is None:
            make_folds(len(kept), request, None if classes is None else [classes[index] for index in kept])
        elif len(kept) < len(ds):
            _given_folds(folds, datasets.SubDataSet(ds, kept))

    def _classes_of(self, ds: Any) -> list[int]:
        """Return the class of each item that a stratified split goes by; read once."""
        if self._stratification is None or self._stratification[0] is not ds:
            self._stratification = (ds, stratification_classes(ds, self.labels()))
        return self._stratification[1]

    def _check_split(self, mark: str, given_holdout: Any) -> None:
        """Refuse to mix weights trained on one split with another one, and processes that would train on several."""
        there = self.files.folds_split
        if not self.writes_split and self._is_missing(mark, given_holdout):
            raise ConfigError(
                f"{there} was not made of the dataset that is found on {socket.gethostname()}: items, their order and "
                "what the YAML asks of the split must be the same on all machines of a run: look for files of data/ "
                "that are missing here, and for a provider that goes by the order of a folder or by chance."
            )
        if there.exists() and not is_made_from(there, mark, self._items) and self.files.trained():
            if not has_mark(there):
                raise damaged(there)
            raise ConfigError(
                f"{there} was made for another dataset, folds_count, testSplit, validationSplit, stratified, seed or "
                "order of the items than there is now, and weights were trained on it: put it back, or train anew "
                "without --allow_resume."
            )

    def _is_missing(self, mark: str, given_holdout: Any) -> bool:
        """Say whether folds or holdout are still to be made."""
        has_holdout = self.testSplit > 0 or given_holdout is not None
        needed = [self.files.folds_split, *([self.files.holdout_split] if has_holdout else [])]
        return not all(is_made_from(path, mark, self._items) for path in needed)

    def _holdout_split(self, ds: Any, request: SplitRequest, mark: str, given: Any, classes: Any) -> tuple[Any, Any]:
        if not self.testSplit and given is None:
            return ds, None
        split = read_split(self.files.holdout_split, mark, self._items)
        if split is None:
            if given is not None:
                held = set(given)
                split = [index for index in range(len(ds)) if index not in held], given
            else:
                split = make_holdout(len(ds), request, classes)
            write_split(self.files.holdout_split, split, mark, self._items)
        ((kept, held_out),) = check_folds([split], len(ds), str(self.files.holdout_split))
        train, holdout = datasets.SubDataSet(ds, kept), datasets.SubDataSet(ds, held_out)
        holdout.name = "holdout"
        return train, holdout

    def _fold_split(
        self, train: Any, held: Any, request: SplitRequest, mark: str, given: Any, classes: Any
    ) -> list[Fold]:
        split = read_split(self.files.folds_split, mark, self._items)
        if split is None:
            if given is not None:
                split = given if held is None else _given_folds(given, train)
                self.announce_once(0, notes_on(split, len(train), "the dataset's folds"))
            else:
                split = make_folds(len(train), request, classes)
            write_split(self.files.folds_split, split, mark, self._items)
        return check_folds(split, len(train), str(self.files.folds_split))


def root_of(dataset: Dataset) -> Dataset:
    """Return the dataset at the root of parts and compositions."""
    return dataset.root() if hasattr(dataset, "root") else dataset


def check_length(dataset: Dataset) -> None:
    """Raise a ``DatasetError`` for a dataset without items."""
    if not length_of(dataset):
        raise DatasetError("the dataset is empty: expected at least one item to train on.")


def _given_folds(given: list[Fold], train: Any) -> list[Fold]:
    """Return folds that came with a dataset, as positions in ``train``, what is left of it without the holdout."""
    place = {index: position for position, index in enumerate(train.indexes)}
    left = [
        ([place[index] for index in fold[0] if index in place], [place[index] for index in fold[1] if index in place])
        for fold in given
    ]
    return check_folds(left, len(train), "the dataset's folds without the holdout")
