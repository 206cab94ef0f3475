"""Folds and holdout of an experiment: made once, fixed on disk, and never mixed with those of other data."""

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from musket_core import datasets

from ..config.settings import SplitSettings
from ..errors import ConfigError, DatasetError, UserError, shortened
from ..storage.experiment_files import ExperimentFiles
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
        self._plan: tuple[Dataset, _Asked, _Plan] | None = None
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

    def part(self, dataset: Dataset, kind: str, fold: Any) -> Part:
        """Return the items that a fold trains on or validates.

        Args:
            dataset: The whole dataset.
            kind: ``train`` or ``validation``, the beginning of the part's name.
            fold: Number of the fold, or a list or tuple of it alone.

        Raises:
            ConfigError: There is no such fold.
        """
        split = self.of(dataset)
        fold = fold[0] if isinstance(fold, (list, tuple)) and len(fold) == 1 else fold
        if isinstance(fold, bool) or not isinstance(fold, Integral) or not 0 <= int(fold) < len(split.folds):
            raise ConfigError(
                f"{shortened(fold)} is no fold of the {kind} parts: expected a number from 0 to {len(split.folds) - 1}."
            )
        part: Part = datasets.SubDataSet(split.train, split.folds[int(fold)][1 if kind == "validation" else 0])
        part.name = f"{kind}{int(fold)}"
        return part

    def count(self, dataset: "Dataset | None") -> int:
        """Return how many folds there are, whatever split lies on disk: a dataset's own folds go before settings."""
        given = getattr(dataset, "folds", None)
        return self.settings.folds_count if given is None else len(given)

    def has_holdout(self, dataset: "Dataset | None") -> bool:
        """Say whether a part of the dataset is held out."""
        return self.settings.test_split > 0 or self._given_holdout(dataset) is not None

    def check(self, dataset: Dataset) -> None:
        """See to it that the dataset can be split as is asked for; no file is written.

        Raises:
            UserError: It cannot.
        """
        asked = self._asked(dataset)
        self._announce(notes_on_idle(self.settings, asked.folds, asked.holdout))
        self.expected(dataset)

    def expected(self, dataset: Dataset) -> Split:
        """Return the split that a run would train on; no file is written.

        Raises:
            UserError: The dataset cannot be split as is asked for.
        """
        asked = self._asked(dataset)
        if asked.by_classes and not self._is_missing(asked):
            with contextlib.suppress(UserError):  # a damaged file is told when the run begins, or made anew
                return self.of(dataset)  # reading the classes of all items takes long
        return self._planned(dataset, asked).split

    @contextlib.contextmanager
    def unwritten(self, dataset: Dataset) -> Iterator[Split]:
        """Answer with the split that a run would train on, without fixing it on disk; see ``expected``."""
        before = self._kept
        self._kept = dataset, self.expected(dataset)
        try:
            yield self._kept[1]
        finally:
            self._kept = before

    def _planned(self, dataset: Dataset, asked: "_Asked") -> "_Plan":
        """Return the split that is made where no file fixes one; drawn once."""
        if self._plan is None or self._plan[0] is not dataset or self._plan[1] != asked:
            self._plan = dataset, asked, self._drawn(dataset, asked)
        return self._plan[2]

    def _drawn(self, dataset: Dataset, asked: "_Asked") -> "_Plan":
        classes = self._classes_of(dataset) if asked.by_classes else None
        parts: Fold | None = None
        train: Any = dataset
        held: Part | None = None
        if asked.holdout is not None or asked.request.test_split:
            parts = _holdout_of(len(dataset), asked, classes)
            train, held = _parts_of(dataset, parts)
            classes = None if classes is None else [classes[index] for index in parts[0]]
        made = self._transformed(train, asked)
        if made is not train and classes is not None:
            classes = self._classes_of(made)
        if asked.folds is None:
            folds = make_folds(len(made), asked.request, classes)
        else:
            folds = asked.folds if held is None else _given_folds(asked.folds, train)
        return _Plan(Split(made, held, folds), parts)

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
        if missing:
            self._write(self._planned(dataset, asked), asked)
        return self._read(dataset, asked)

    def _write(self, plan: "_Plan", asked: "_Asked") -> None:
        """Fix on disk what no file fixes yet."""
        each: list[tuple[Any, Any]] = [
            (self.files.holdout_split, plan.parts),
            (self.files.folds_split, plan.split.folds),
        ]
        for path, split in each:
            if split is not None and not is_made_from(path, asked.mark, asked.items):
                if asked.folds is not None and path == self.files.folds_split:
                    self._announce(notes_on(split, len(plan.split.train), "the dataset's folds"))
                write_split(path, split, asked.mark, asked.items)

    def _read(self, dataset: Dataset, asked: "_Asked") -> Split:
        train, held = dataset, None
        if asked.holdout is not None or asked.request.test_split:
            path = self.files.holdout_split
            ((kept, out),) = check_folds([read_split(path, asked.mark, asked.items)], len(dataset), str(path))
            train, held = _parts_of(dataset, (kept, out))
        train, path = self._transformed(train, asked), self.files.folds_split
        return Split(train, held, check_folds(read_split(path, asked.mark, asked.items), len(train), str(path)))

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


@dataclass(frozen=True)
class _Plan:
    """A split, and the positions that are kept and held out, where any are."""

    split: Split
    parts: "Fold | None"


def _holdout_of(count: int, asked: _Asked, classes: "list[int] | None") -> Fold:
    if asked.holdout is None:
        return make_holdout(count, asked.request, classes)
    held = set(asked.holdout)
    return [index for index in range(count) if index not in held], asked.holdout


def _parts_of(dataset: Dataset, parts: Fold) -> tuple[Any, Part]:
    train, holdout = (datasets.SubDataSet(dataset, part) for part in parts)
    holdout.name = "holdout"
    return train, holdout


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
