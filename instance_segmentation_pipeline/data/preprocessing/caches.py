"""Steps that keep items: in memory that data workers share, and in one SQLite file that processes share.

What is kept are bytes, as ``item_codec`` writes them: every reading gives arrays of its own. What training alone sees
otherwise is never kept.
"""

from typing import Any

import numpy as np
from musket_core.datasets import CompositeDataSet, DataSet, SubDataSet

from ...config.step_chain import Step
from ...detection.arrays import AnyArray
from ...errors import ConfigError, DatasetError, UserError, nearest, one_line, shortened
from ..data_folder import FolderDataSet, inner_of
from ..dataset_walk import within
from ..protocols import Dataset
from ..training_members import train_item
from .disk_store import DiskStore
from .item_codec import packed, unpacked
from .item_steps import Augmentation, DerivedItem, Preprocessed
from .shared_memory import SharedMemory

MOST_MEGABYTES = 1 << 24


class CachedItem(DerivedItem):
    """An item from a cache; the one that it was made of is read again when it is asked for."""

    def __init__(self, name: Any, x: Any, y: Any, crowds: Any, parent: Dataset, position: int) -> None:
        super().__init__(name, x, y, None, crowds)
        self._parent, self._position = parent, position

    def original(self) -> Any:
        """Return the item that was kept."""
        if self._before is None:
            self._before = self._parent[self._position]
        return self._before

    def rootItem(self) -> Any:
        """Return the provider's item."""
        before = self.original()
        return before.rootItem() if hasattr(before, "rootItem") else before


class Cached(Preprocessed):
    """The items of another dataset, each read once.

    Args:
        parent: The dataset before this one.
        store: Where they are kept: ``get(position)`` gives bytes or ``None``, ``put(position, bytes)`` may keep them.
        name: The step's name.
        setting: What the step is.
    """

    def __init__(self, parent: Dataset, store: "SharedMemory | DiskStore", name: str, setting: str) -> None:
        super().__init__(parent, setting)
        self.store, self.name_of_step = store, name
        self.trains_otherwise = trains_otherwise(parent)
        self.has_targets = tells_targets(parent)

    def __deepcopy__(self, memo: object) -> "Cached":
        return self

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, slice):
            return [self[position] for position in range(*item.indices(len(self)))]
        position = range(len(self))[item]
        kept = self.store.get(position)
        if kept is not None:
            try:
                return CachedItem(*unpacked(kept), self.parent, position)
            except ValueError:
                self.store.drop(position)
        made = self.parent[position]
        self.store.put(position, packed(made, self.name_of_step))
        return made

    def get_train_item(self, item: int) -> Any:
        """Return an item as training reads it: the kept one, where training is shown the same items as all else."""
        return train_item(self.parent, item) if self.trains_otherwise else self[item]

    def get_target(self, item: int) -> Any:
        """Return ``y`` of an item, without its image where the provider's dataset can tell it so."""
        return super().get_target(item) if self.has_targets else self[item].y


def trains_otherwise(dataset: Any) -> bool:
    """Say whether a dataset shows training other items than everything else."""
    while isinstance(dataset, Preprocessed) and type(dataset) not in (Augmentation, FolderDataSet):
        dataset = dataset.parent
    if type(dataset) is FolderDataSet:
        return trains_otherwise(inner_of(dataset)[0])
    if type(dataset) is SubDataSet:
        return trains_otherwise(dataset.ds)
    if type(dataset) is CompositeDataSet:
        return any(trains_otherwise(one) for one in dataset.components)
    if callable(getattr(dataset, "item", None)):
        return True
    own = getattr(type(dataset), "get_train_item", None)
    return own is not None and own is not DataSet.get_train_item


def tells_targets(dataset: Any) -> bool:
    """Say whether a dataset has a way of its own to tell targets, which no step changes."""
    while isinstance(dataset, Preprocessed) and type(dataset) is not FolderDataSet:
        if not dataset.keeps_targets:
            return False
        dataset = dataset.parent
    own = getattr(type(dataset), "get_target", DataSet.get_target)
    return own not in (DataSet.get_target, SubDataSet.get_target)


def kinds_within(dataset: Any) -> list[type]:
    """Return the classes of the datasets that one is made of, seen through steps and musket_core's parts and unions."""
    return list(dict.fromkeys(type(place.dataset) for place in within(dataset) if place.is_leaf))


class AnyImages:
    """Reads images for a fingerprint as a provider gives them; steps may make uint8 of them later."""

    def image(self, source: Dataset, index: int) -> tuple[str, AnyArray]:
        """Return id and image of an item.

        Raises:
            DatasetError: It cannot be read.
        """
        try:
            item = source[index]
            return str(item.id), np.asarray(item.x)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise DatasetError(f"item {index} of the dataset cannot be read: {one_line(error)}.") from error


def most_bytes(step: Step) -> "int | None":
    """Return how many bytes a cache may take, as its step says; ``None`` where it does not.

    Raises:
        ConfigError: It is given something else than ``megabytes``.
    """
    arguments = step.arguments
    if arguments in (None, {}, []):
        return None
    if isinstance(arguments, dict):
        for key in arguments:
            if key == "split":
                raise ConfigError(f"{step.where}: {step.name} is one file here, whatever split says: remove split.")
            if key != "megabytes":
                raise ConfigError(
                    f"{step.where}: {step.name} has no argument {shortened(key)}{nearest(str(key), ['megabytes'])}: it "
                    "takes megabytes."
                )
    listed = list(arguments.values()) if isinstance(arguments, dict) else arguments
    value = listed[0] if isinstance(listed, list) and len(listed) == 1 else listed
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_MEGABYTES:
        raise ConfigError(
            f"{step.where}: megabytes of {step.name} is {shortened(value)}, expected a whole number from 1 to "
            f"{MOST_MEGABYTES}."
        )
    return value << 20
