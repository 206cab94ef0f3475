"""Datasets around datasets: each reads an item of the one before it and gives it on, changed.

Training reads by ``get_train_item``, everything else by ``[]``; the two differ from an augmentation on, and where the
provider's dataset tells them apart. What a step does not know, such as folds or ``isPositive``, is asked of the dataset
before it.
"""

import contextlib
import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from musket_core.datasets import DataSet, PredictionItem

from ...detection.instances import check_image
from ...errors import DatasetError, UserError, one_line
from ..data_folder import FolderDataSet
from ..dataset_walk import within
from ..item_cache import place_of
from ..protocols import Dataset, Item
from ..training_members import train_item
from .item_checks import check_item

OF_ITEMS = ("isPositive", "sample_weight")
"""Answers of the dataset that an item is of; a step that changes targets may make the first wrong."""

OTHER_WAYS = ("item", "parent", "keeps_targets")
"""What is never asked of the dataset before: ``item(position, isTrain)`` would go around the steps."""


class Preprocessed(DataSet):
    """The items of another dataset, in its order, as they are.

    Args:
        parent: The dataset before this one.
        setting: What the step is, for fingerprints.
    """

    keeps_targets = True
    is_step = True

    def __init__(self, parent: Dataset, setting: str = "") -> None:
        super().__init__()
        self.parent = parent
        self.setting = setting

    def __len__(self) -> int:
        return len(self.parent)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, slice):
            return [self[position] for position in range(*item.indices(len(self)))]
        return self._changed(self.parent[item], item)

    def get_train_item(self, item: int) -> Any:
        """Return an item as training reads it."""
        return self._changed(train_item(self.parent, item), item)

    def get_target(self, item: int) -> Any:
        """Return ``y`` of an item."""
        if self.keeps_targets and hasattr(self.parent, "get_target"):
            return self.parent.get_target(item)
        return self[item].y

    def get_stratify_class(self, item: int) -> Any:
        """Return what a dataset that tells it is stratified by: that of the item before the steps."""
        owner, number = place_of(self.parent, item)
        return owner.get_stratify_class(number) if hasattr(owner, "get_stratify_class") else self.get_target(item)

    def root(self) -> Any:
        """Return the dataset at the root, which knows classes."""
        return self.parent.root() if hasattr(self.parent, "root") else self.parent

    def encode(self, item: Item, encode_y: bool = False, treshold: float = 0.5) -> Any:
        """Return what the dataset before this one makes of an item for a table."""
        before: Any = self.parent
        return before.encode(item, encode_y, treshold)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in OTHER_WAYS:
            raise AttributeError(name)
        if name in OF_ITEMS:
            return self._of_item(name)
        return getattr(self.parent, name)

    def _of_item(self, name: str) -> Callable[[int], Any]:
        """Return what asks the dataset that an item is of, seen through musket_core's parts and unions."""
        known = len(self.parent) and callable(getattr(place_of(self.parent, 0)[0], name, None))
        if not known or (name == "isPositive" and not self.keeps_targets):
            raise AttributeError(name)

        def ask(position: int) -> Any:
            owner, number = place_of(self.parent, position)
            return getattr(owner, name)(number)

        return ask

    def _changed(self, item: Item, position: int) -> Any:
        return item


def mark_preprocessed(dataset: Any) -> None:
    """Say of a dataset that it has gone through ``preprocessing``; its parts of musket_core's say so too."""
    with contextlib.suppress(AttributeError):  # a list, which a chain of no steps left as it is
        dataset._preprocessed = True  # noqa: SLF001 - musket_core's own name


def is_preprocessed(dataset: Dataset) -> bool:
    """Say whether a dataset, or the one that it is a part of, has gone through ``preprocessing``."""
    return bool(getattr(dataset, "_preprocessed", False))


class ItemFunction:
    """A function of images or items, and what an error calls it. It is given what it may change in place.

    Args:
        function: Takes an image array, or a ``PredictionItem``, and gives one.
        takes_items: Which of the two.
        name: Its step's name.
    """

    def __init__(self, function: Callable[[Any], Any], takes_items: bool, name: str) -> None:
        self.function, self.takes_items, self.name = function, takes_items, name

    def __call__(self, item: Item) -> Any:
        """Return an item changed.

        Raises:
            DatasetError: The function fails, or gives something else than an image, or an item, that fits its target.
        """
        where = f"item {item.id!r}: the preprocessor {self.name}"
        size = getattr(item.x, "shape", ())[:2]
        try:
            made = self.function(_copied(item) if self.takes_items else copy.deepcopy(item.x))
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise DatasetError(f"{where} failed: {one_line(error)}.") from error
        if not self.takes_items:
            if isinstance(made, PredictionItem):
                raise DatasetError(
                    f"{where} is given the image and gives an item: annotate its parameter, as input: PredictionItem."
                )
            made = DerivedItem(item.id, made, item.y, item, getattr(item, "crowds", None))
        elif made is None or not hasattr(made, "x") or not hasattr(made, "y"):
            raise DatasetError(f"{where} gave a {type(made).__name__}, expected a PredictionItem, as it is given one.")
        elif getattr(made, "crowds", None) is getattr(item, "crowds", None) is not None:
            made.crowds = None  # the function may have moved all else
        check_item(made, size, where, self.takes_items)
        return made


def _copied(item: Item) -> Any:
    """Return an item that may be changed in place: its image and target may be those that a dataset keeps."""
    made: Any = copy.copy(item)
    try:
        made.x, made.y = copy.deepcopy(item.x), copy.deepcopy(item.y)
    except AttributeError:  # they are read when they are asked for, and cannot be set
        return DerivedItem(item.id, copy.deepcopy(item.x), copy.deepcopy(item.y), item)
    return made


class DerivedItem(PredictionItem):
    """An item made of another one; ``original()`` is that one, ``crowds`` are as those of ``CrowdedItem``."""

    def __init__(self, name: Any, x: Any, y: Any, before: Any, crowds: Any = None) -> None:
        super().__init__(name, x, y)
        self._before, self.crowds = before, crowds

    def original(self) -> Any:
        """Return the item that this one was made of."""
        return self._before

    def rootItem(self) -> Any:
        """Return the provider's item."""
        return self._before.rootItem() if hasattr(self._before, "rootItem") else self._before


class ItemStep(Preprocessed):
    """Items that a function has changed."""

    def __init__(self, parent: Dataset, function: ItemFunction, setting: str) -> None:
        super().__init__(parent, setting)
        self.function = function
        self.keeps_targets = not function.takes_items

    def _changed(self, item: Item, position: int) -> Any:
        return self.function(item)


class Augmentation(Preprocessed):
    """Items that training sees changed, by functions that are drawn anew each time; all else sees them as they are.

    What is drawn comes from NumPy's generator, which is seeded in each data worker and kept in checkpoints, and from
    ``seed``: runs repeat, workers differ, and a resumed run goes on as if it had not stopped.

    Args:
        parent: The dataset before this one.
        groups: Functions that run together.
        weights: How often each group runs, 0 to 1.
        seed: Another one draws otherwise.
        setting: What the step is.
    """

    def __init__(
        self,
        parent: Dataset,
        groups: Sequence[Sequence[ItemFunction]],
        weights: Sequence[float],
        seed: int,
        setting: str,
    ) -> None:
        super().__init__(parent, setting)
        self.groups = [list(group) for group in groups]
        self.weights, self.seed = list(weights), seed

    def get_train_item(self, item: int) -> Any:
        """Return an item as training reads it."""
        made = train_item(self.parent, item)
        drawn = int(np.random.randint(2**31 - 1))  # noqa: NPY002 - seeded by mmengine in each worker
        chances = np.random.default_rng((self.seed, drawn)).random(len(self.weights))
        for group, weight, chance in zip(self.groups, self.weights, chances, strict=True):
            for function in group if chance < weight else ():
                made = function(made)
        return made


class Transformed(Preprocessed):
    """The dataset that a transformer made of another one.

    Args:
        made: What the transformer gave.
        before: What it was given; it knows classes, where ``made`` does not.
        setting: What the step is, with its code and the steps before it.
        identity: Its name and arguments alone.
    """

    def __init__(self, made: Any, before: Any, setting: str, identity: str) -> None:
        super().__init__(made, setting)
        self.before, self.identity = before, identity
        for name in ("folds", "holdoutArr"):
            carried = getattr(before, name, None)
            if carried is not None and getattr(made, name, None) is None:
                setattr(self, name, carried)

    def root(self) -> Any:
        """Return the dataset that knows classes: the new one where it tells them, else that before it."""
        own = self.parent.root() if hasattr(self.parent, "root") else self.parent
        tells = callable(getattr(own, "meta", None)) and getattr(type(own), "meta", None) is not DataSet.meta
        if tells or not hasattr(self.before, "root"):
            return own
        return self.before.root()


class Finished(Preprocessed):
    """The end of a chain: items that are as a provider's have to be.

    Args:
        parent: The last dataset of the chain.
        names: Its steps, for messages.
        setting: What tells the whole chain: its steps, arguments and code.
    """

    def __init__(self, parent: Dataset, names: Sequence[str], setting: str) -> None:
        super().__init__(parent, setting)
        self.names = tuple(names)

    def _changed(self, item: Item, position: int) -> Any:
        try:
            check_image(item.x, item.id)
        except DatasetError as error:
            told = str(error).rstrip(".")
            raise DatasetError(f"{told}: so it comes from the preprocessing ({', '.join(self.names)}).") from None
        return item


def transformations(dataset: Any) -> list[str]:
    """Return what tells the transformers that a dataset has gone through: they decide which items there are."""
    places = (place.dataset for place in within(dataset, "before"))
    return [one.identity for one in places if isinstance(one, Transformed) and type(one) is not FolderDataSet]
