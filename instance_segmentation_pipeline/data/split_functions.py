"""What the project's own functions say of a split: ``groupFunc`` and ``pretrain_transform``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.settings import SplitSettings
from ..config.step_chain import described, steps_of
from ..errors import ConfigError, DatasetError, UserError, one_line, shortened
from .dataset_length import length_of
from .protocols import Dataset

if TYPE_CHECKING:
    from .catalog import DatasetCatalog


class SplitFunctions:
    """The functions that a split goes by, found when they are first called.

    Args:
        settings: Which they are.
        datasets: Where they are looked for.
    """

    def __init__(self, settings: SplitSettings, datasets: "DatasetCatalog") -> None:
        self.settings, self._datasets = settings, datasets
        self._transformed: tuple[Dataset, Dataset] | None = None

    @property
    def groups_items(self) -> bool:
        """Whether a function says which class an item counts as."""
        return self.settings.group_func is not None

    @property
    def transforms(self) -> bool:
        """Whether the training data is transformed before it is parted into folds."""
        return self.settings.pretrain_transform is not None

    def identity(self) -> list[str]:
        """Return what tells the functions, for the mark of a split."""
        found = []
        if self.groups_items:
            found.append(f"groupFunc {name_of(self.settings.group_func)}")
        if self.transforms:
            found.append(f"pretrain_transform {described(self._steps())}")
        return found

    def groups(self, dataset: Dataset) -> list[int]:
        """Return the class of each item that a stratified split goes by, as ``groupFunc`` gives it.

        Raises:
            ConfigError: There is no such function, or ``stratified`` is not set.
            DatasetError: It fails, or gives something else than one class an item.
        """
        function = self.settings.group_func
        if isinstance(function, str):
            function = self._datasets.function("groupFunc", function)
        name = name_of(function)
        try:
            classes = list(function(dataset))
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise DatasetError(f"groupFunc {name} failed: {one_line(error)}.") from error
        if len(classes) != len(dataset):
            raise DatasetError(
                f"groupFunc {name} gave {len(classes)} classes for {len(dataset)} items, expected one each."
            )
        known: dict[Any, int] = {}
        for number, one in enumerate(classes):
            value = one.item() if isinstance(one, np.generic) else one
            try:
                known.setdefault(value, len(known))
            except TypeError:
                raise DatasetError(
                    f"groupFunc {name} gave {shortened(one)} for item {number}, expected a number or a text."
                ) from None
        return [known[one.item() if isinstance(one, np.generic) else one] for one in classes]

    def transformed(self, train: Dataset) -> Dataset:
        """Return training data after ``pretrain_transform``; itself where there is none.

        Raises:
            UserError: There is no such transformer, or it failed.
        """
        if not self.transforms:
            return train
        if self._transformed is None or not same_items(self._transformed[0], train):
            made: Dataset = self._datasets.transformed(self._steps(), train, "pretrain_transform")
            if not length_of(made):
                raise DatasetError("pretrain_transform left no item to train on.")
            self._transformed = (train, made)
        return self._transformed[1]

    def _steps(self) -> list[Any]:
        return steps_of(self.settings.pretrain_transform, self._datasets.settings.declarations, "pretrain_transform")


def same_items(one: Any, other: Any) -> bool:
    """Say whether two parts have the same items."""
    if one is other:
        return True
    parts = [getattr(part, "ds", None) for part in (one, other)]
    return parts[0] is not None and parts[0] is parts[1] and list(one.indexes) == list(other.indexes)


def name_of(function: Any) -> str:
    """Return the name of a function that is given by name or as itself."""
    return function if isinstance(function, str) else str(getattr(function, "__name__", type(function).__name__))


def check_stratified(settings: SplitSettings) -> None:
    """Raise a ``ConfigError`` for a ``groupFunc`` that no split goes by."""
    if settings.group_func is not None and not settings.stratified:
        raise ConfigError(
            "groupFunc does nothing unless stratified is true: set stratified: true, or remove groupFunc."
        )


def indices_of(values: Any, count: int, what: str) -> list[int]:
    """Return positions in a dataset of ``count`` items, checked.

    Raises:
        DatasetError: They are no whole numbers from 0 to below ``count``, or there are none.
    """
    try:
        array = np.asarray(values if isinstance(values, (np.ndarray, Sequence)) else list(values))
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{what} is {shortened(values)}, expected a list of positions.") from error
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
        raise DatasetError(f"{what} is {shortened(values)}, expected a list of positions.")
    if array.min() < 0 or array.max() >= count:
        raise DatasetError(
            f"{what} has the position {array.max() if array.min() >= 0 else array.min()} of {count} items."
        )
    return [int(value) for value in array]
