"""Folds and holdout of an experiment: made once, fixed on disk, and never mixed with those of other data."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from musket_core import datasets

from ..config.settings import SplitSettings
from ..errors import ConfigError, DatasetError
from ..storage.experiment_files import ExperimentFiles
from .data_folder import FolderDataSet, inner_of
from .dataset_length import length_of
from .item_cache import ItemCache
from .preprocessing.item_steps import transformations
from .protocols import Dataset, Part
from .split_checks import check_folds, check_holdout, damaged, notes_on, notes_on_idle
from .split_functions import SplitFunctions, check_stratified
from .splits import (
    Fold,
    SplitRequest,
    fingerprint,
    has_mark,
    is_made_from,
    item_order,
    make_folds,
    make_holdout,
    read_split,
    stratification_classes,
    write_split,
)


class DetectionFolds(datasets.DefaultKFoldedDataSet):
    """Folds as musket_core's ``FoldWork`` reads them: ``ds``, and ``indexes(fold, isTrain)`` into it.

    Attributes:
        validated: The dataset that validation parts are of; ``ds`` may have more items, for training alone.
    """

    def __init__(self, ds: Dataset, folds: Sequence[Fold], batch: int) -> None:
        self.ds = ds
        self.folds = list(folds)
        self.batchSize = batch
        self.aug: list[Any] = []
        self.transforms: list[Any] = []
        self.maxEpochSize = None
        self.positive: dict[Any, Any] = {}
        self.validated = ds

    def addToTrain(self, dataset: Any) -> None:
        """Append a dataset to the training part of each fold."""
        own = len(self.ds)
        self.ds = datasets.CompositeDataSet([self.ds, dataset])
        more = list(range(own, own + len(dataset)))
        self.folds = [([*fold[0], *more], fold[1]) for fold in self.folds]


@dataclass(frozen=True)
class Split:
    """How a dataset is parted: what is trained on and validated, what is held out, and the folds of the first."""

    train: Dataset
    holdout: "Part | None"
    folds: list[Fold]


class CrossValidation:
    """The split of one experiment; it owns the two files that fix it.

    Args:
        settings: What decides a split.
        files: Names of the files.
        labels: Where labels of items are kept that were read.
        announce: Told what should be known of folds that came with the dataset.
        writes: Whether the files are made where they are missing; processes that take part in another one's run read
            what that one wrote.
        functions: The project's functions that the split goes by.
    """

    def __init__(
        self,
        settings: SplitSettings,
        files: ExperimentFiles,
        labels: "ItemCache[set[int]]",
        announce: Callable[[Sequence[str]], None] = lambda lines: None,
        *,
        writes: bool = True,
        functions: "SplitFunctions | None" = None,
    ) -> None:
        self.settings, self.files, self.labels, self._functions = settings, files, labels, functions
        self._announce, self._writes = announce, writes
        self._kept: tuple[Dataset, Split] | None = None
        self._stratification: tuple[Dataset, list[int]] | None = None

    def of(self, dataset: Dataset) -> Split:
        """Return the split of a dataset, which is fixed on disk at the first call.

        Raises:
            ConfigError: Weights were trained on another one.
            UserError: The dataset cannot be split so, or a file is damaged.
        """
        if self._kept is None or self._kept[0] is not dataset:
            self._kept = dataset, self._made(dataset)
        return self._kept[1]

    def forget(self) -> None:
        """Read the split anew when it is asked for next: its files were moved."""
        self._kept = None

    def part(self, dataset: Dataset, kind: str, fold: int) -> Part:
        """Return the items that a fold trains on or validates.

        Args:
            dataset: The whole dataset.
            kind: ``train`` or ``validation``, the beginning of the part's name.
            fold: Number of the fold.
        """
        split = self.of(dataset)
        part: Part = datasets.SubDataSet(split.train, split.folds[fold][1 if kind == "validation" else 0])
        part.name = f"{kind}{fold}"
        return part

    def count(self, dataset: "Dataset | None") -> int:
        """Return how many folds there are, whatever split lies on disk: a dataset's own folds go before settings."""
        given = getattr(dataset, "folds", None)
        return self.settings.folds_count if given is None else len(given)

    def has_holdout(self, dataset: "Dataset | None") -> bool:
        """Say whether a part of the dataset is held out."""
        return self.settings.test_split > 0 or self._given_holdout(dataset) is not None

    def check(self, dataset: Dataset) -> None:
        """See to it that the dataset can be split as is asked for; no file is read or written.

        Raises:
            UserError: It cannot.
        """
        asked = self._asked(dataset)
        self._announce(notes_on_idle(self.settings, asked.folds, asked.holdout))
        if asked.by_classes and not self._is_missing(asked):
            return  # it was made before, and reading the classes of all items takes long
        classes = self._classes_of(dataset) if asked.by_classes else None
        kept: Sequence[int] = range(len(dataset))
        if asked.holdout is not None:
            held = set(asked.holdout)
            kept = [index for index in kept if index not in held]
        elif asked.request.test_split:
            kept = make_holdout(len(dataset), asked.request, classes)[0]
        if self._functions is not None and self._functions.transforms:
            self._check_transformed(dataset if len(kept) == len(dataset) else datasets.SubDataSet(dataset, kept), asked)
        elif asked.folds is None:
            make_folds(len(kept), asked.request, None if classes is None else [classes[index] for index in kept])
        elif len(kept) < len(dataset):
            _given_folds(asked.folds, datasets.SubDataSet(dataset, kept))

    def _check_transformed(self, train: Any, asked: "_Asked") -> None:
        made = self._transformed(train, asked)
        make_folds(len(made), asked.request, self._classes_of(made) if asked.request.stratified else None)

    def _transformed(self, train: Any, asked: "_Asked") -> Any:
        if self._functions is None or not self._functions.transforms:
            return train
        if asked.folds is not None:
            raise ConfigError(
                "pretrain_transform makes other items, and the dataset brings folds of its own: remove one."
            )
        return self._functions.transformed(train)

    def _made(self, dataset: Dataset) -> Split:
        asked = self._asked(dataset)
        missing = self._is_missing(asked)
        if missing and not self._writes:
            raise ConfigError(
                f"{self.files.folds_split} was not made for the dataset that is found on {socket.gethostname()}: look "
                "for files of data/ that are missing there, and for a provider that goes by chance or by the order "
                "of a folder; items, their order and the YAML must be the same on all machines of a run."
            )
        self._check_trained(asked)
        classes = self._classes_of(dataset) if asked.by_classes and missing else None
        train, held = self._holdout_split(dataset, asked, classes)
        if held is not None and classes is not None:
            classes = [classes[index] for index in train.indexes]
        made = self._transformed(train, asked)
        if made is not train and classes is not None:
            classes = self._classes_of(made)
        train = made
        return Split(train, held, self._fold_split(train, held, asked, classes))

    def _given_holdout(self, dataset: "Dataset | None") -> Any:
        return self.settings.holdout if self.settings.holdout is not None else getattr(dataset, "holdoutArr", None)

    def _asked(self, dataset: Dataset) -> "_Asked":
        """Return folds and holdout that were given, checked, and what decides a split."""
        check_length(dataset)
        check_stratified(self.settings)
        folds, holdout = getattr(dataset, "folds", None), self._given_holdout(dataset)
        given = [folds, holdout, *transformations(dataset), *(self._functions.identity() if self._functions else ())]
        if folds is not None:
            folds = check_folds(folds, len(dataset), "the dataset's folds")
        if holdout is not None:
            holdout = check_holdout(holdout, len(dataset), "holdoutArr")
        settings = self.settings
        request = SplitRequest(
            settings.folds_count if folds is None else len(folds),
            settings.validation_split,
            settings.random_state,
            settings.stratified,
            settings.test_split,
            settings.test_split_seed,
        )
        return _Asked(folds, holdout, request, fingerprint(request, dataset, given), item_order(dataset))

    def _classes_of(self, dataset: Dataset) -> list[int]:
        """Return the class of each item that a stratified split goes by; read once."""
        if self._stratification is None or self._stratification[0] is not dataset:
            if self._functions is not None and self._functions.groups_items:
                made = self._functions.groups(dataset)
            else:
                made = stratification_classes(dataset, self.labels)
            self._stratification = (dataset, made)
        return self._stratification[1]

    def _check_trained(self, asked: "_Asked") -> None:
        """Refuse to mix weights trained on one split with another one."""
        path = self.files.folds_split
        if path.exists() and not is_made_from(path, asked.mark, asked.items) and self.files.trained():
            if not has_mark(path):
                raise damaged(path)
            raise ConfigError(
                f"{path} was made for another dataset, folds_count, testSplit, validationSplit, stratified, groupFunc, "
                "pretrain_transform, seed or order of the items than there is now, and weights were trained on it: put "
                "it back, or train anew without --allow_resume."
            )

    def _is_missing(self, asked: "_Asked") -> bool:
        """Say whether folds or holdout are still to be made."""
        has_holdout = self.settings.test_split > 0 or asked.holdout is not None
        needed = [self.files.folds_split, *([self.files.holdout_split] if has_holdout else [])]
        return not all(is_made_from(path, asked.mark, asked.items) for path in needed)

    def _holdout_split(
        self, dataset: Dataset, asked: "_Asked", classes: "list[int] | None"
    ) -> "tuple[Any, Part | None]":
        if not self.settings.test_split and asked.holdout is None:
            return dataset, None
        path = self.files.holdout_split
        split = read_split(path, asked.mark, asked.items)
        if split is None:
            if asked.holdout is not None:
                held = set(asked.holdout)
                split = [index for index in range(len(dataset)) if index not in held], asked.holdout
            else:
                split = make_holdout(len(dataset), asked.request, classes)
            write_split(path, split, asked.mark, asked.items)
        ((kept, held_out),) = check_folds([split], len(dataset), str(path))
        train, holdout = datasets.SubDataSet(dataset, kept), datasets.SubDataSet(dataset, held_out)
        holdout.name = "holdout"
        return train, holdout

    def _fold_split(self, train: Part, held: object, asked: "_Asked", classes: "list[int] | None") -> list[Fold]:
        path = self.files.folds_split
        split = read_split(path, asked.mark, asked.items)
        if split is None:
            if asked.folds is not None:
                split = asked.folds if held is None else _given_folds(asked.folds, train)
                self._announce(notes_on(split, len(train), "the dataset's folds"))
            else:
                split = make_folds(len(train), asked.request, classes)
            write_split(path, split, asked.mark, asked.items)
        return check_folds(split, len(train), str(path))


@dataclass(frozen=True)
class _Asked:
    """Folds and holdout that were given, what decides a split, and what it is recognised by."""

    folds: "list[Fold] | None"
    holdout: "list[int] | None"
    request: SplitRequest
    mark: str
    items: str

    @property
    def by_classes(self) -> bool:
        """Whether something is drawn by the classes of the items."""
        draws = self.folds is None or (self.request.test_split > 0 and self.holdout is None)
        return self.request.stratified and draws


def root_of(dataset: Dataset) -> Dataset:
    """Return the dataset at the root of parts and compositions."""
    return dataset.root() if hasattr(dataset, "root") else dataset


def roots_of(dataset: Any) -> list[Any]:
    """Return the datasets at the root: of a union, those of all its parts."""
    root = root_of(dataset)
    inner: Any
    inner, folder = inner_of(root) if type(root) is FolderDataSet else (root, None)
    if type(inner) is not datasets.CompositeDataSet:
        return [root]
    parts = [one if folder is None else FolderDataSet(one, folder) for one in inner.components]
    return [one for part in parts for one in roots_of(part)]


def gives_xyxy(dataset: Any) -> bool:
    """Say whether a dataset gives boxes as ``x1, y1, x2, y2``, as ``InstanceSegmentationDataSet`` does."""
    return all(getattr(one, "gives_xyxy", False) for one in roots_of(dataset))


def check_length(dataset: Dataset) -> None:
    """Raise a ``DatasetError`` for a dataset without items."""
    if not length_of(dataset):
        raise DatasetError("the dataset is empty: expected at least one item to train on.")


def _given_folds(given: list[Fold], train: Part) -> list[Fold]:
    """Return folds that came with a dataset, as positions in ``train``, what is left of it without the holdout."""
    place = {index: position for position, index in enumerate(train.indexes)}
    left = [
        ([place[index] for index in fold[0] if index in place], [place[index] for index in fold[1] if index in place])
        for fold in given
    ]
    return check_folds(left, len(train), "the dataset's folds without the holdout")
