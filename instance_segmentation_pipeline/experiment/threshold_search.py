"""The score threshold that suits an experiment best, from what it has predicted, as musket_core asks for it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from musket_core.generic_config import ScoreAndTreshold

from ..detection.detections import Detections, truth_of
from ..errors import ConfigError, UserError, nearest, one_line, shortened
from ..inference.prediction_datasets import Answers, Predictions
from ..metrics.instance_metrics import final_metrics
from ..metrics.metric_name import HOLDOUT, VALIDATION
from ..metrics.score_threshold import Best, best_f1, best_threshold
from .evaluator import GroundTruths
from .user_metrics import user_metric, user_values


@dataclass(frozen=True)
class ThresholdSearch:
    """Searches thresholds for one experiment.

    Attributes:
        truths: The ground truth.
        class_names: Names of the classes, in label order.
        with_masks: Whether masks are predicted.
        known: Names of the built-in metrics.
        function: ``None`` for F1 at IoU .5; the name of a metric; or a function of truths and detections, lists of
            ``Detections``, one an image.
        model: Makes the ``FoldsAndStages`` that a metric of the project is given.
        most: Detections of a class in an image that COCO's numbers count.
    """

    truths: GroundTruths
    class_names: Sequence[str]
    with_masks: bool
    known: Sequence[str]
    function: Any
    model: Callable[[], Any]
    most: "int | None" = None

    def __post_init__(self) -> None:
        if self.function is None or callable(self.function):
            return
        if not isinstance(self.function, str):
            raise ConfigError(
                f"func is {shortened(self.function)}, expected a function of truths and detections, the name of a "
                "metric, or None for F1."
            )
        name = self._name
        if name not in self.known and user_metric(name) is None:
            raise ConfigError(
                f"func {shortened(self.function)} is no metric{nearest(name, self.known)}: name one that the summary "
                "can have, or give a function of truths and detections."
            )
        if name.endswith("F1_threshold"):
            raise ConfigError(f"func {name} is itself a threshold: give {name.removesuffix('_threshold')}.")

    @property
    def _name(self) -> str:
        name = str(self.function).removeprefix(VALIDATION)
        return name if name in self.known or user_metric(name) is not None else name.removesuffix(HOLDOUT)

    def of(self, predictions: Predictions) -> Best:
        """Return the best threshold of predictions, NaN where there is nothing to measure.

        Raises:
            ConfigError: The function fails, or gives no number.
        """
        records = self.truths.of(predictions)
        truths = [truth_of(record) for record in records]
        found = [predictions.detections(number) for number in range(len(predictions))]
        if self.function is None:
            return best_f1(truths, found, len(self.class_names))
        if callable(self.function):
            return best_threshold(truths, found, self._of_user)
        name = self._name
        if name in ("segm_F1", "bbox_F1"):
            if name == "bbox_F1":
                truths, found = ([_without_masks(one) for one in images] for images in (truths, found))
            return best_f1(truths, found, len(self.class_names))
        metric = user_metric(name) if name not in self.known else None

        def measure(_: Sequence[Detections], sure: Sequence[Detections]) -> float:
            if metric is None:
                return final_metrics(records, sure, self.class_names, self.with_masks, self.most).get(name, math.nan)
            answers = Answers(predictions.parent, sure, predictions.bbox_order)
            values = user_values(name, metric, self.model(), answers)
            return _number(values.get(name, next(iter(values.values()), None)), name)

        return best_threshold(truths, found, measure)

    def _of_user(self, truths: Sequence[Detections], found: Sequence[Detections]) -> float:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        try:
            value = self.function(truths, found)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise ConfigError(f"func {name} fails on truths and detections: {one_line(error)}.") from error
        return _number(value, name)


def best_of(best: Best, where: str) -> ScoreAndTreshold:
    """Return what musket_core returns of a search.

    Raises:
        ConfigError: There was nothing to measure.
    """
    if math.isnan(best.threshold):
        raise ConfigError(
            f"{where} has nothing to measure a threshold by: it has no object, or func gave NaN for each."
        )
    return ScoreAndTreshold(best.score, best.threshold)


def mean_threshold(each: Iterator[tuple[int, Best]]) -> float:
    """Return the mean of the thresholds of folds; those of folds with nothing to measure are left out.

    Raises:
        ConfigError: No fold has one.
    """
    thresholds = [best.threshold for _, best in each]
    there = [one for one in thresholds if not math.isnan(one)]
    if not there:
        raise ConfigError(
            f"the validation parts of {len(thresholds)} folds have nothing to measure a threshold by: they have no "
            "object, or func gave NaN for each."
        )
    return float(np.mean(there))


def _number(value: Any, name: str) -> float:
    """Return the number that a function gave; of an array its mean, as musket_core takes it."""
    try:
        numbers = np.asarray(value)
        if numbers.dtype.kind in "biuf" and numbers.size:
            return float(numbers.astype(np.float64).mean())
    except (TypeError, ValueError):
        pass
    raise ConfigError(f"func {name} gave {shortened(value)}, expected a number.")


def _without_masks(one: Detections) -> Detections:
    return Detections(one.height, one.width, one.labels, one.scores, one.bboxes, None)
