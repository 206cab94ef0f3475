"""Datasets by the names that questions have for them: parts of the experiment's own, and entries of ``datasets``."""

import re
from typing import Any, Protocol, cast

from ..data.class_names import known_class_names
from ..data.dataset_length import check_dataset
from ..data.protocols import Dataset
from .predictor import Question
from .trained_folds import Choice, Several, TrainedFolds

NUMBERED = re.compile(r"(validation|train)(\d{1,9})")


class Parts(Protocol):
    """The datasets of an experiment, by musket_core's names for them."""

    def get_dataset(self, dataSetName: "str | None" = None) -> Dataset:
        """Return the experiment's dataset, a part of it, or a named one."""
        ...

    def validation(self, ds: "Dataset | None" = None, foldNum: int = 0) -> Dataset:
        """Return the validation part of a fold."""
        ...

    def train(self, ds: "Dataset | None" = None, foldNum: int = 0) -> Dataset:
        """Return the training part of a fold."""
        ...

    def holdout(self, ds: "Dataset | None" = None) -> Dataset:
        """Return the part that is held out."""
        ...

    def preprocessed(self, dataset: Dataset) -> Dataset:
        """Return a dataset with the experiment's preprocessing."""
        ...

    def train_without_holdout(self, ds: "Dataset | None" = None) -> Dataset:
        """Return the dataset without the part that is held out."""
        ...


def dataset_named(parts: Parts, trained: TrainedFolds, dataset: "Dataset | str") -> Dataset:
    """Return a dataset: itself, with the experiment's preprocessing, or the one of a name.

    Names are ``holdout``, ``validation<fold>``, ``train<fold>``, ``validation`` and ``train`` (of fold 0), and the
    entries of ``datasets``.

    Raises:
        ConfigError: There is no such dataset or fold.
    """
    if not isinstance(dataset, str):
        check_dataset(dataset, "the name of a part or of a dataset")
        return parts.preprocessed(dataset)
    numbered = NUMBERED.fullmatch(dataset)
    if numbered is not None:
        parts.get_dataset()  # its own folds decide how many there are
        (number,) = trained.folds_of(int(numbered[2]))
        return parts.validation(None, number) if numbered[1] == "validation" else parts.train(None, number)
    return parts.holdout() if dataset == "holdout" else parts.get_dataset(dataset)


def questions_of(
    parts: Parts, trained: TrainedFolds, dataset: "Dataset | str", fold: Several, stage: Several
) -> list[Question]:
    """Return the datasets that an answer for a name is put together of, and who is asked about each.

    On ``validation`` each of several folds is asked about its own part, so that every item is answered by nets that
    have not seen it; elsewhere all folds are asked about all items.

    Raises:
        WeightsError: A fold or stage is not trained, or was trained for other classes than those of the dataset.
        ConfigError: There is no such dataset, fold or stage.
    """
    numbered = NUMBERED.fullmatch(dataset) if isinstance(dataset, str) else None
    if numbered is not None:
        dataset, fold = numbered[1], int(numbered[2])
    if isinstance(dataset, str):
        parts.get_dataset()
    choice = trained.choose(fold, stage)
    if dataset == "validation":
        each = [Choice((number,), choice.stages) for number in choice.folds]
        return [Question(parts.validation(None, one.folds[0]), one) for one in each]
    if dataset == "train":
        return [Question(_trained_on(parts, choice), choice)]
    source = dataset_named(parts, trained, dataset)
    named = known_class_names(source)
    if named is not None:  # what is there and what is found are compared
        trained.check_names(named)
    return [Question(source, choice)]


def _trained_on(parts: Parts, choice: Choice) -> Dataset:
    if len(choice.folds) == 1:
        return parts.train(None, choice.folds[0])
    whole: Any = parts.train_without_holdout()
    whole.name = "all" if whole is parts.get_dataset() else "train"
    return cast(Dataset, whole)
