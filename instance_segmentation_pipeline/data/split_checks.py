"""Whether folds and holdouts can be used: those that a dataset brings, and those that a file keeps.

Folds are pairs of train and validation positions, from 0; a holdout is the positions that no fold sees.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..config.schema import PROPERTIES
from ..config.settings import SplitSettings
from ..detection.arrays import Int64Array
from ..errors import DatasetError, shortened

Fold = tuple[list[int], list[int]]
DEFAULT_SHARE = next(entry.default for entry in PROPERTIES if entry.name == "validationSplit")
CONTENT = "# content "
"""Begins the line of a split file that holds the digest of what follows."""


def check_folds(folds: object, count: int, what: str) -> list[Fold]:
    """Return folds as pairs of lists of positions.

    Args:
        folds: Pairs of train and validation positions, lists or arrays of whole numbers.
        count: How many items there are.
        what: What holds the folds, for messages.

    Raises:
        DatasetError: There is no fold, a part is empty or names an item that is not there, or a fold validates on
            items that it trains on, or twice on one.
    """
    pairs = _sequence(folds)
    if not pairs:
        found = "is empty" if pairs is not None else f"is a {type(folds).__name__}"
        raise DatasetError(f"{what} {found}, expected a list of pairs of train and validation positions.")
    checked = []
    for number, fold in enumerate(pairs):
        where = f"{what}: fold {number}"
        parts = _sequence(fold)
        if parts is None or len(parts) != 2:
            found = f"a {type(fold).__name__}" if parts is None else f"{len(parts)} parts"
            raise DatasetError(f"{where} is {found}, expected a pair of train and validation positions.")
        train = _positions(parts[0], count, f"{where}, train")
        validation = _positions(parts[1], count, f"{where}, validation")
        both = np.intersect1d(train, validation)
        if len(both):
            raise DatasetError(
                f"{where} trains on {len(both)} of the items that it validates on (the first is item {both[0]}): each "
                "item belongs to one of the two."
            )
        _check_once(validation, f"{where}, validation")
        checked.append((train.tolist(), validation.tolist()))
    return checked


def check_holdout(held: object, count: int, what: str) -> list[int]:
    """Return the positions of a holdout, in order.

    Args:
        held: Whole numbers.
        count: How many items there are.
        what: What holds them, for messages.

    Raises:
        DatasetError: None is held out, or all are, one is named twice or is not there.
    """
    positions = _positions(held, count, what)
    _check_once(positions, what)
    if len(positions) == count:
        raise DatasetError(f"{what} holds out all {count} items, so that none is left to train on: take some out.")
    return [int(position) for position in np.sort(positions)]


def notes_on(folds: Sequence[Fold], count: int, what: str) -> list[str]:
    """Return a line on each thing that may be meant, but seldom is.

    These are items in no part of a fold, and items in which several folds validate: a value over all validation parts
    counts them more than once.
    """
    notes = []
    times = np.zeros(count, np.int64)
    for number, (train, validation) in enumerate(folds):
        times[validation] += 1
        unused = np.ones(count, bool)
        unused[train] = unused[validation] = False
        if unused.any():
            notes.append(
                f"{what}: fold {number} leaves out {int(unused.sum())} of {count} items, the first is item "
                f"{int(unused.argmax())}"
            )
    if (times > 1).any():
        notes.append(
            f"{what}: {int((times > 1).sum())} of {count} items validate more than one fold, the first is item "
            f"{int((times > 1).argmax())}"
        )
    return notes


def notes_on_idle(settings: SplitSettings, folds: "Sequence[Fold] | None", holdout: object) -> list[str]:
    """Return a line on each property of a split that does nothing beside what the dataset brings, or beside another.

    Args:
        settings: The properties.
        folds: Folds that came with the dataset.
        holdout: Items to hold out that came with the dataset, or were set.
    """
    own = "the dataset brings its folds"
    idle = []
    if folds is not None and settings.folds_count not in (1, len(folds)):
        idle.append(f"folds_count: {settings.folds_count} does nothing: {own}, {len(folds)} of them")
    if settings.validation_split != DEFAULT_SHARE and (folds is not None or settings.folds_count > 1):
        why = own if folds is not None else f"of {settings.folds_count} folds each validates on its share"
        idle.append(f"validationSplit: {settings.validation_split:g} does nothing: {why}")
    if settings.stratified and folds is not None and (holdout is not None or not settings.test_split):
        idle.append(f"stratified: true does nothing: {own}")
    if settings.test_split and holdout is not None:
        idle.append(f"testSplit: {settings.test_split:g} does nothing: the items that are held out are given")
    return [f"note: {line}" for line in idle]


def content_line(body: str) -> str:
    """Return the line that stands for the text of a split, without its end."""
    return CONTENT + hashlib.sha256(body.encode()).hexdigest()[:32]


def check_content(path: Path, line: str, body: str) -> None:
    """Compare the text of a split file with the line that stands for it.

    Raises:
        DatasetError: The text was cut or edited.
    """
    if line != content_line(body):
        raise damaged(path)


def damaged(path: Path) -> DatasetError:
    """Return the error of a split file that is not as it was written."""
    return DatasetError(
        f"{path} was edited or cut since it was written: put it back, or delete it, and the same split is made again "
        "from the config."
    )


def _sequence(value: Any) -> "list[Any] | None":
    """Return a list of what a list, tuple, set or array holds, ``None`` for anything else."""
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__len__"):
        return None
    try:
        return list(value)
    except TypeError:
        return None


def _positions(values: object, count: int, what: str) -> Int64Array:
    entries = values if isinstance(values, np.ndarray) and values.ndim else _sequence(values)
    if entries is None or not len(entries):
        found = "is empty" if entries is not None else f"is a {type(values).__name__}"
        raise DatasetError(f"{what} {found}, expected positions of items, from 0 to {count - 1}.")
    try:
        positions = np.asarray(entries)
    except ValueError:
        positions = np.empty(0)
    if positions.ndim != 1 or positions.dtype.kind not in "iu":
        raise DatasetError(
            f"{what} holds {_first_wrong(list(entries))}, expected positions of items, from 0 to {count - 1}."
        )
    outside = (positions < 0) | (positions >= count)
    if outside.any():
        raise DatasetError(
            f"{what} names item {positions[outside][0]}, but the {count} items are 0 to {count - 1}: correct it."
        )
    return positions.astype(np.int64)


def _first_wrong(entries: Sequence[object]) -> str:
    wrong = next((one for one in entries if isinstance(one, bool) or not isinstance(one, (int, np.integer))), entries)
    return shortened(wrong)


def _check_once(positions: Int64Array, what: str) -> None:
    values, counts = np.unique(positions, return_counts=True)
    if (counts > 1).any():
        raise DatasetError(f"{what} names item {values[counts > 1][0]} more than once: name it once.")
