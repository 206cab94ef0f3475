"""What is trained of an experiment, told by its weights alone: folds, stages, classes, and which files hold them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, WeightsError, shortened
from ..models.checkpoints import BBOX_ORDER_KEY, classes_of, read_meta
from ..models.trained_weights import check_names
from ..storage.experiment_files import AVERAGE, ExperimentFiles
from ..storage.run_manifest import stage_of
from .averaged_weights import average_there, averaged_folds

WORDS = {"all": None, "last": -1}
"""What a command line calls all folds or stages, and the last stage."""

Several = int | Sequence[int] | str | None
"""Folds or stages: a number, several, a word such as ``all``, or ``None``."""


@dataclass(frozen=True)
class Choice:
    """Some folds and stages, each of which is trained in every seed; a stage may be ``average``, alone."""

    folds: tuple[int, ...]
    stages: "tuple[int | str, ...]"


class TrainedFolds:
    """The folds and stages of an experiment whose best weights are on disk; they are looked at on each question.

    Args:
        files: Names of the files of the experiment, or of each of its seeds.
        stages: How many stages the experiment has.
        count: Returns how many folds there are, as far as is known: more may be trained.
        where: The experiment's YAML, for messages.
    """

    def __init__(
        self,
        files: Sequence[ExperimentFiles],
        stages: int = 1,
        count: Callable[[], int] = lambda: 1,
        where: "str | None" = None,
    ) -> None:
        self.files = list(files)
        self._stages = stages
        self._count = count
        self._where = where or str(self.files[0].config)

    def folds(self) -> tuple[int, ...]:
        """Return the folds that can answer, in order: those whose last stage has weights, in every seed."""
        trained = [{fold for fold, stage in _best(files) if stage == self._stages - 1} for files in self.files]
        return tuple(sorted(set.intersection(*trained)))

    def begun(self) -> set[int]:
        """Return the folds of which any weights are there, best or last, of any stage and seed."""
        found = (stage_of(f"weights/{path.name}") for files in self.files for path in _weights_in(files, "*"))
        return {number[0] for number in found if number is not None}

    def folds_of(self, fold: Several) -> list[int]:
        """Return the folds that a choice means: a number, several, ``all`` or ``None`` (those that are trained).

        Raises:
            WeightsError: None is trained.
            ConfigError: There is no such fold.
        """
        numbers = _numbers(fold)
        if numbers is None:
            folds = list(self.folds())
            if not folds:
                raise WeightsError(f"{self.files[0].root} has no trained fold: train it first.")
            return folds
        return self._checked("fold", numbers, max(self._count(), *(number + 1 for number in self.begun()), 1))

    def stages_of(self, stage: Several) -> "list[int | str]":
        """Return the stages that a choice means: as ``numbers_of``, or ``average``, alone.

        Raises:
            ConfigError: There is no such stage.
        """
        if _is_average(stage):
            return [AVERAGE]
        return list(self._stages_of(stage, f", or {AVERAGE}"))

    def numbers_of(self, stage: Several) -> list[int]:
        """Return the stages that a choice means, where ``average`` is none.

        Raises:
            ConfigError: There is no such stage.
        """
        return self._stages_of(stage)

    def _stages_of(self, stage: Several, further: str = "") -> list[int]:
        numbers = _numbers(stage, further)
        if numbers is None:
            return list(range(self._stages))
        last = self._stages - 1
        return self._checked("stage", [last if number == -1 else number for number in numbers], self._stages)

    def choose(self, fold: Several, stage: Several) -> Choice:
        """Return folds and stages that can be asked.

        Raises:
            WeightsError: One of them is not trained.
            ConfigError: There is no such fold or stage.
        """
        average = _is_average(stage) and _numbers(fold) is None
        folds = averaged_folds(self.files) if average else self.folds_of(fold)
        choice = Choice(tuple(folds), tuple(self.stages_of(stage)))
        for files in self.files:
            for number in choice.folds:
                for one in choice.stages:
                    weights_of(files, number, one)
        return choice

    def class_names(self) -> "tuple[str, ...] | None":
        """Return the names of the classes that were trained, in label order; ``None`` where nothing is trained."""
        return self._told()[0]

    def check_names(self, class_names: Sequence[str]) -> None:
        """Raise a ``WeightsError`` where the trained classes are others than those of a dataset."""
        path = self._first()
        if path is not None:
            check_names(self.class_names(), path, class_names)

    def bbox_order(self) -> "str | None":
        """Return ``yxyx`` or ``xyxy``, the order of the dataset's boxes; ``None`` where it is not told."""
        return self._told()[1]

    def _told(self) -> tuple["tuple[str, ...] | None", "str | None"]:
        path = self._first()
        if path is None:
            return None, None
        meta = read_meta(path)
        order = meta.get(BBOX_ORDER_KEY)
        return classes_of({"meta": meta}), order if order in ("yxyx", "xyxy") else None

    def _first(self) -> "Path | None":
        each: dict[tuple[int, int], Path] = {}
        for files in self.files:
            each = {**_best(files), **each}
        return each[min(each)] if each else None

    def _checked(self, what: str, numbers: list[int], count: int) -> list[int]:
        wrong = [number for number in numbers if not 0 <= number < count]
        if wrong or not numbers:
            found = wrong[0] if wrong else "none"
            raise ConfigError(f"{self._where}: {what} {found} was asked for, but there are {what}s 0 to {count - 1}.")
        return list(dict.fromkeys(numbers))


def weights_of(files: ExperimentFiles, fold: int, stage: "int | str") -> Path:
    """Return the best weights of a stage of a fold, or of ``average`` the average that was kept of the fold.

    Raises:
        WeightsError: It is not trained; there is no average, or its members are others by now.
    """
    if isinstance(stage, str):
        return average_there(files, fold)
    weights = files.stage(fold, stage).best_weights
    if not weights.exists():
        trained = [".".join(map(str, number)) for number in sorted(_best(files))]
        there = f"trained are (fold.stage) {', '.join(trained)}" if trained else "nothing is trained"
        raise WeightsError(
            f"fold {fold} stage {stage} is not trained, {weights} does not exist; {there}: train it first."
        )
    return weights


def _best(files: ExperimentFiles) -> dict[tuple[int, int], Path]:
    """Return the best weights by fold and stage."""
    found = {stage_of(f"weights/{path.name}"): path for path in _weights_in(files, "best")}
    return {number: path for number, path in found.items() if number is not None}


def _weights_in(files: ExperimentFiles, kind: str) -> list[Path]:
    return sorted((files.root / "weights").glob(f"{kind}-*.weights"))


def _numbers(choice: Several, further: str = "") -> "list[int] | None":
    choice = WORDS.get(choice, choice) if isinstance(choice, str) else choice
    if choice is None:
        return None
    several: Sequence[Any] = choice if isinstance(choice, (list, tuple, range)) else [choice]
    try:
        if any(isinstance(one, bool) or (isinstance(one, float) and not one.is_integer()) for one in several):
            raise ValueError("no whole number")
        return [int(number) for number in several]
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"{shortened(choice)} is no choice of folds or stages: give a number, numbers, all or last{further}."
        ) from None


def _is_average(choice: Several) -> bool:
    """Say whether averaged weights are meant, by the word or by what ``stages_of`` makes of it."""
    return (isinstance(choice, str) and choice == AVERAGE) or (
        isinstance(choice, (list, tuple)) and list(choice) == [AVERAGE]
    )
