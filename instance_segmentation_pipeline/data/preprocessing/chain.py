"""A chain of steps, ready to be put around datasets."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from musket_core.datasets import PredictionItem

from ...config.step_chain import AUGMENTATION, CACHE, CACHES, Step, described
from ...detection.arrays import UInt8Array
from ...errors import ConfigError, DatasetError, UserError, one_line
from ...storage.digests import digest
from ..dataset_length import length_of
from ..fingerprint import dataset_mark
from ..protocols import Dataset
from .caches import AnyImages, Cached, kinds_within, most_bytes
from .code_digest import code_digest
from .disk_store import DiskStore
from .functions import MarkedFunction, check_given, find_function
from .item_codec import FORMAT
from .item_steps import Augmentation, Finished, ItemFunction, ItemStep, Transformed
from .shared_memory import SharedMemory

DEFAULT_MEMORY = 1024 << 20
"""Bytes that a ``cache`` takes at most."""


@dataclass(frozen=True)
class Place:
    """Where a chain runs.

    Attributes:
        modules: Where functions are looked for.
        declared: The declared chains by their names.
        cache: The folder of disk caches.
    """

    modules: Sequence[ModuleType]
    declared: Mapping[str, Any]
    cache: Path


class Chain:
    """Steps that found their functions.

    Args:
        steps: What ``config.step_chain`` made of the YAML.
        place: Where it runs.

    Raises:
        ConfigError: A step is not known, is given wrong arguments, or stands where it would do nothing.
    """

    def __init__(self, steps: Sequence[Step], place: Place) -> None:
        self.steps = tuple(steps)
        self._place = place
        self._functions: dict[int, MarkedFunction] = {}
        self._settings: list[str] = []
        augmented = False
        for step in self.steps:
            if step.name in CACHES and augmented:
                raise ConfigError(
                    f"{step.where}: {step.name} after an augmentation would keep what is drawn anew each time: put it "
                    "before."
                )
            augmented = augmented or step.name == AUGMENTATION
            self._settings.append(self._checked(step))
        for name in dict.fromkeys(step.declared_as for step in self.steps if step.given):
            check_given(name, place.declared[name], place.modules)

    def _checked(self, step: Step, *, within: bool = False) -> str:
        """Find a step's function, bind its arguments once to see that they fit, and return what tells the step.

        That is an empty text for what changes nothing that validation and prediction see.
        """
        if step.name == AUGMENTATION:
            for one in (one for group in step.body for one in group):
                self._checked(one, within=True)
            return ""
        if step.name in CACHES:
            most_bytes(step)
            return ""
        found = find_function(step, self._place.modules, list(self._place.declared))
        if within and found.transforms_datasets:
            raise ConfigError(
                f"{step.where}: {step.name} transforms a whole dataset, and can be no part of an augmentation: name a "
                "preprocessor of items."
            )
        found.bound(step)
        self._functions[id(step)] = found
        return digest(step.name, step.arguments, step.given, code_digest(found.function))

    @property
    def names(self) -> list[str]:
        """Names of the steps."""
        return [step.name for step in self.steps]

    def first_of_items(self) -> "str | None":
        """Return the first step that is no transformer of datasets, ``None`` where all are."""
        for step in self.steps:
            if id(step) not in self._functions or not self._functions[id(step)].transforms_datasets:
                return step.name
        return None

    def around(self, dataset: Dataset, *, caches: bool = True) -> Any:
        """Return a dataset whose items have gone through all steps.

        Args:
            dataset: What a provider gave.
            caches: Whether caches keep items.

        Raises:
            UserError: A transformer failed, or gave no dataset.
        """
        made = dataset
        for number, step in enumerate(self.steps):
            setting = self._setting(number + 1)
            if step.name not in CACHES:
                made = self._put_around(made, step, setting)
            elif caches:
                made = Cached(made, self._store(made, dataset, step, setting), step.name, setting)
        return Finished(made, self.names, self._setting(len(self.steps))) if self.steps else dataset

    def _setting(self, count: int) -> str:
        """Return what tells the first steps: their names, arguments and code."""
        return digest(*filter(None, self._settings[:count]))

    def _store(self, made: Any, provided: Any, step: Step, setting: str) -> "SharedMemory | DiskStore":
        size = most_bytes(step)
        if step.name == CACHE:
            return SharedMemory(length_of(made), DEFAULT_MEMORY if size is None else size)
        kinds = kinds_within(provided)
        code = sorted(code_digest(kind) for kind in kinds)
        key = digest(FORMAT, setting, code, dataset_mark(provided, AnyImages()), length_of(made))
        label = re.sub(r"[^\w.-]+", "_", str(getattr(made, "name", None) or kinds[0].__name__))[:60]
        return DiskStore(self._place.cache / f"{label}-{key}.sqlite", key, size)

    def _put_around(self, made: Any, step: Step, setting: str) -> Any:
        if step.name == AUGMENTATION:
            groups = [[self._item_function(one) for one in group] for group in step.body]
            return Augmentation(made, groups, step.arguments["weights"], step.arguments["seed"], setting)
        found = self._functions[id(step)]
        if found.transforms_datasets:
            return _transformed(made, found, step, setting)
        return ItemStep(made, self._item_function(step), setting)

    def _item_function(self, step: Step) -> ItemFunction:
        found = self._functions[id(step)]
        return ItemFunction(found.bound(step), found.takes_items, step.name)


def _transformed(before: Any, found: MarkedFunction, step: Step, setting: str) -> Transformed:
    try:
        made = found.bound(step)(before)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise DatasetError(f"{step.where}: the transformer {step.name} failed: {one_line(error)}.") from error
    if made is None or not hasattr(made, "__getitem__") or not hasattr(made, "__len__"):
        raise DatasetError(
            f"{step.where}: the transformer {step.name} gave a {type(made).__name__}, expected a dataset with items "
            "and a length."
        )
    length, earlier = length_of(made), length_of(before)
    if not length:
        raise DatasetError(f"{step.where}: the transformer {step.name} left none of {earlier} items.")
    given = next((one for one in ("folds", "holdoutArr") if getattr(before, one, None) is not None), None)
    if given is not None and length != earlier and getattr(made, given, None) is None:
        raise DatasetError(
            f"{step.where}: the transformer {step.name} makes {length} items of {earlier}, so that {given} of the "
            f"dataset no longer fits: give the new dataset {given} of its own."
        )
    return Transformed(made, before, setting, described([step]))


def image_through(chain: Chain, name: str, image: UInt8Array) -> UInt8Array:
    """Return what a chain makes of one image alone, as of a file that is predicted on; caches keep nothing of it.

    Raises:
        DatasetError: A step fails on it, leaves it out, makes several of it, or changes its size.
    """
    height, width = image.shape[:2]
    nothing = (np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros((0, height, width), bool))
    made = chain.around(_OneItem(PredictionItem(name, image, nothing)), caches=False)
    if len(made) != 1:
        raise DatasetError(f"item {name!r}: the preprocessing makes {len(made)} items of it, expected one.")
    seen: UInt8Array = made[0].x
    if seen.shape[:2] != (height, width):
        raise DatasetError(
            f"item {name!r}: the preprocessing makes an image of {seen.shape[0]} x {seen.shape[1]} of one of {height} "
            f"x {width}, so that what is found lies elsewhere in the file: predict on an entry of datasets."
        )
    return seen


class _OneItem:
    """A dataset of one item."""

    def __init__(self, item: PredictionItem) -> None:
        self._items = [item]

    def __len__(self) -> int:
        return 1

    def __getitem__(self, position: int) -> PredictionItem:
        return self._items[position]
