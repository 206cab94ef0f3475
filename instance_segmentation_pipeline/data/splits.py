"""Folds and holdout: how they are made, and the files that fix them at the first run.

The files hold plain lists that musket_core reads too. A comment in their first line records what they were made
from, so that a split for another folds_count, share, seed or dataset is never used by mistake; that line alone is read
to tell. The second line is the digest of what follows.
"""

import contextlib
import hashlib
import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..errors import DatasetError, one_line
from ..storage.atomic import write_text
from ..storage.regular_file import open_regular, read_text
from .data_folder import FolderDataSet, inner_of
from .dataset_length import id_of
from .item_cache import ItemCache
from .preprocessing.item_steps import Preprocessed
from .protocols import Dataset
from .split_checks import CONTENT, check_content, content_line, damaged
from .split_text import parse_split, plain, split_text
from .training_members import ask_owner

Fold = tuple[list[int], list[int]]
MARK = "# made from "
ITEMS = "# items "
"""Begins the line of a split file that holds the digest of the items' order."""

HEADING = 200
"""Bytes of the lines behind the first one."""


@dataclass(frozen=True)
class SplitRequest:
    """What decides a split; the fields have the meaning of the properties of the same name."""

    folds_count: int
    validation_split: float
    random_state: int
    stratified: bool
    test_split: float
    test_split_seed: int


def fingerprint(request: SplitRequest, dataset: Dataset, given: object) -> str:
    """Return what a split was made from, as one line of JSON.

    Args:
        request: The properties.
        dataset: The Musket dataset; its length and the ids of up to 8 items stand for it.
        given: Folds and holdout that come with the dataset or were set by the user.
    """
    count = len(dataset)
    picked = sorted({round(position * (count - 1) / 7) for position in range(8)}) if count else []
    ids = [id_of(dataset, position) for position in picked]
    digest = hashlib.sha256(json.dumps([ids, given], default=plain).encode()).hexdigest()[:16]
    return json.dumps({**asdict(request), "items": count, "dataset": digest}, sort_keys=True)


def item_order(dataset: Any) -> str:
    """Return what tells the order of a dataset's items, without reading them; an empty text where nothing does.

    That are lists of different texts, one for each item, such as ids or names of files: in the dataset, or in the one
    that it is a part of. Folders do not count, so that a project may move.
    """
    with contextlib.ExitStack() as folders:
        return _order_of(dataset, folders)


def _order_of(dataset: Any, folders: contextlib.ExitStack) -> str:
    positions: list[int] | None = None
    while True:
        if type(dataset) is FolderDataSet:
            dataset, folder = inner_of(dataset)
            folders.enter_context(folder.entered())  # a dataset may look there to tell its length
            continue
        if isinstance(dataset, Preprocessed):  # the items of the dataset before it, in its order
            dataset = dataset.parent
            continue
        chosen = getattr(dataset, "indexes", None)
        if not isinstance(chosen, (list, tuple, range)) or not hasattr(dataset, "ds"):
            break
        positions = list(chosen) if positions is None else [chosen[position] for position in positions]
        dataset = dataset.ds
    held = sorted(getattr(dataset, "__dict__", {}).items())
    mark = hashlib.sha256()
    found = False
    for _, values in held:
        if not isinstance(values, (list, tuple)) or len(values) != len(dataset) or not values:
            continue
        if all(isinstance(value, str) for value in values) and len(set(values)) == len(values):
            chosen = values if positions is None else [values[position] for position in positions]
            mark.update("\n".join(value.rpartition("/")[2] for value in chosen).encode(errors="surrogatepass"))
            found = True
    return mark.hexdigest()[:16] if found else ""


def make_holdout(count: int, request: SplitRequest, classes: "Sequence[int] | None") -> Fold:
    """Return the indices to train on and those held out, ``testSplit`` of all.

    Raises:
        DatasetError: One of the two would be empty.
    """
    if request.stratified and classes is not None:
        train, test = _parted(count, request.test_split, request.test_split_seed, _common(classes, 2), "testSplit")
        return sorted(train), sorted(test)
    order = list(range(count))
    random.Random(request.test_split_seed).shuffle(order)
    kept = round(count - count * request.test_split)
    if not 0 < kept < count:
        raise DatasetError(
            f"testSplit {request.test_split} of {count} items leaves {kept} to train on and {count - kept} held out, "
            "expected at least one each: change testSplit, or add items."
        )
    return order[:kept], order[kept:]


def make_folds(count: int, request: SplitRequest, classes: "Sequence[int] | None") -> list[Fold]:
    """Return train and validation indices of each fold, into a dataset of ``count`` items.

    Raises:
        DatasetError: There are fewer items than the folds need.
    """
    folds = request.folds_count
    if count < max(2, folds):
        raise DatasetError(
            f"the dataset has {count} items to train on, too few for folds_count {folds} with a validation part: "
            "lower folds_count, or add items."
        )
    items = np.arange(count)
    common = _common(classes, max(2, folds)) if request.stratified and classes is not None else None
    if folds == 1:
        return [_parted(count, request.validation_split, request.random_state, common, "validationSplit")]
    from sklearn import model_selection

    splitter = (model_selection.KFold if common is None else model_selection.StratifiedKFold)(
        folds, shuffle=True, random_state=request.random_state
    )
    return [(train.tolist(), validation.tolist()) for train, validation in splitter.split(items, common)]


def _parted(count: int, share: float, seed: int, classes: "Sequence[int] | None", key: str) -> Fold:
    """Return the indices of ``count`` items but a random share of them, and that share."""
    from sklearn import model_selection

    try:
        rest, part = model_selection.train_test_split(
            np.arange(count), shuffle=True, stratify=classes, random_state=seed, test_size=share
        )
    except ValueError as error:  # an empty part, or too few items to spread the classes over both
        spread = f", with each of {len(set(classes))} classes in both parts" if classes is not None else ""
        hint = ", or set stratified: false" if classes is not None else ""
        raise DatasetError(
            f"{key} {share} cannot part {count} items{spread} ({one_line(error)}): change {key}, or add items{hint}."
        ) from error
    return rest.tolist(), part.tolist()


def stratification_classes(dataset: Dataset, labels: "ItemCache[set[int]] | None" = None) -> list[int]:
    """Return one class an item: the rarest label in it over the dataset, 0 for items without objects.

    A dataset whose root defines ``get_stratify_class`` decides by itself, as in musket_core; in a union, of its part.

    Args:
        dataset: The dataset.
        labels: Where labels are kept that were read, ``item_labels()`` by default.
    """
    told = [ask_owner(dataset, number, _told_class) for number in range(len(dataset))]
    others = [number for number, one in enumerate(told) if one is None]
    found = (labels or item_labels()).of(dataset, others)
    frequency = Counter(label for item in found for label in item)
    rarest = [min(item, key=lambda label: (frequency[label], label)) if item else 0 for item in found]
    if len(others) == len(told):
        return rarest
    classes: list[object] = list(told)
    for number, label in zip(others, rarest, strict=True):
        classes[number] = label
    known: dict[object, int] = {}
    return [known.setdefault(one, len(known)) for one in classes]


def _told_class(owner: Any, number: int) -> "tuple[object] | None":
    """Return what a dataset says an item is stratified by, ``None`` where it says nothing."""
    from musket_core.datasets import DataSet

    root = owner.root() if hasattr(owner, "root") else owner
    decides = getattr(type(root), "get_stratify_class", None)
    if decides is None or decides is DataSet.get_stratify_class:
        return None
    return (owner.get_stratify_class(number),)


def item_labels() -> ItemCache[set[int]]:
    """Return what reads the set of labels in an item, each item once."""
    return ItemCache(_labels_in, "labels of the dataset")


def _labels_in(dataset: Dataset, number: int) -> set[int]:
    target = dataset.get_target(number) if hasattr(dataset, "get_target") else dataset[number].y
    return {int(label) for label in target[0]}


def class_balanced(indices: Sequence[int], labels: Sequence[set[int]], threshold: float) -> list[int]:
    """Repeat items that hold rare classes, by the factors of LVIS (Gupta et al., 2019, section 5).

    Args:
        indices: The items.
        labels: The set of labels in each.
        threshold: Classes in a smaller share ``f`` of the items than this count ``sqrt(threshold / f)`` times; an item
            comes as often as its rarest class says, rounded up, as in MMEngine's ``ClassBalancedDataset``.
    """
    counts = Counter(label for item in labels for label in item)
    factor = {label: max(1.0, math.sqrt(threshold * len(labels) / count)) for label, count in counts.items()}
    repeats = [math.ceil(max((factor[label] for label in item), default=1.0)) for item in labels]
    return [index for index, times in zip(indices, repeats, strict=True) for _ in range(times)]


def is_made_from(path: Path, mark: str, items: str = "") -> bool:
    """Say whether a split file is there and was made from ``mark``; its first lines are all that is read.

    Args:
        path: The file.
        mark: What ``fingerprint`` returned.
        items: What ``item_order`` returned; not compared where it is empty, or the file does not know it.
    """
    wanted = f"{MARK}{mark}\n".encode()
    if not path.exists():
        return False
    try:
        with open_regular(path, "rb") as file:
            if file.read(len(wanted)) != wanted:
                return False
            lines = file.read(HEADING).split(b"\n")
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read ({error.strerror}): delete it, and the split is made again from the config."
        ) from error
    known = [line for line in lines if line.startswith(ITEMS.encode())]
    return not items or not known or known[0] == f"{ITEMS}{items}".encode()


def has_mark(path: Path) -> bool:
    """Say whether a file begins with the line of what a split was made from, as each split file does."""
    with open_regular(path, "rb") as file:
        first = file.readline(1 << 16)
    return first.startswith(MARK.encode()) and first.endswith(b"\n") and not first.endswith(b"\r\n")


def read_split(path: Path, mark: str, items: str = "") -> Any:
    """Return a split that was made from ``mark``; ``None`` when there is none, or it was made from something else.

    The arguments are those of ``is_made_from``.

    Raises:
        DatasetError: The file was cut or edited since it was written.
    """
    if not is_made_from(path, mark, items):
        return None
    try:
        _, _, body = read_text(path).partition("\n")
        if body.startswith((ITEMS, "[")):  # only files of earlier versions, a position a line, have no such line
            raise damaged(path)
        if body.startswith(CONTENT):
            line, _, body = body.partition("\n")
            body = body.partition("\n")[2] if body.startswith(ITEMS) else body
            check_content(path, line, body)
        return parse_split(body)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise damaged(path) from error


def write_split(path: Path, split: object, mark: str, items: str = "") -> None:
    """Write a split below lines of what it was made from, the digest of its text, and that of the items' order."""
    body = split_text(split)
    order = f"{ITEMS}{items}\n" if items else ""
    write_text(path, f"{MARK}{mark}\n{content_line(body)}\n{order}{body}")


def _common(classes: Sequence[int], least: int) -> list[int]:
    """Put classes with fewer than ``least`` items together, since they cannot be spread over that many parts."""
    counts = Counter(classes)
    merged = [label if counts[label] >= least else -1 for label in classes]
    if 0 < merged.count(-1) < least:
        most = counts.most_common(1)[0][0]
        merged = [most if label == -1 else label for label in merged]
    return merged
