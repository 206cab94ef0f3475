"""musket_core's methods that choose thresholds and evaluate by hand; names and defaults are its own."""

from collections.abc import Iterator
from typing import Any

from musket_core.datasets import SubDataSet
from musket_core.generic_config import ScoreAndTreshold
from musket_core.model import FoldsAndStages

from ..data.epoch_items import ALL, validation_items
from ..data.protocols import Dataset
from ..detection.tta import TestTimeAugmentation
from ..inference.detector import PredictedBatch
from ..inference.trained_folds import Several
from ..metrics.score_threshold import Best
from .answer_arguments import batch_size_of, negatives_of
from .answer_methods import AnswerMethods
from .threshold_search import ThresholdSearch, best_of, mean_threshold
from .weight_averaging import FoldAverage, average_weights


class OutcomeMethods(AnswerMethods):
    """The part of ``PipelineConfig``'s surface that chooses thresholds and evaluates by hand.

    A threshold is the lowest score that counts. ``func`` is ``None`` for F1 at IoU .5; the name of a metric; or a
    function of truths and detections, lists of ``detection.detections.Detections``, one an image, that returns a
    number, the higher the better. Stored predictions answer, which have no scores below ``storage_threshold``.
    """

    def find_treshold(
        self, ds: "Dataset | str", fold: Several, func: Any = None, stage: Several = 0
    ) -> ScoreAndTreshold:
        """Return ``score`` and ``treshold`` of the best threshold on a dataset; several stages are blended.

        Raises:
            ConfigError: There is nothing to measure, or ``func`` is none, fails, or gives no number.
        """
        where = ds if isinstance(ds, str) else getattr(ds, "name", "the dataset")
        return best_of(self._best_threshold(ds, fold, stage, func), str(where))

    def find_optimal_treshold_by_validation(self, func: Any = None, stages: Several = None) -> float:
        """Return the mean over the trained folds of the best threshold on the validation part of each.

        ``stages`` are blended, by default all.

        Raises:
            ConfigError: No fold has anything to measure, or ``func`` is none, fails, or gives no number.
        """
        self.get_dataset()
        folds = self.folds_of(None)
        return mean_threshold((fold, self._best_threshold("validation", fold, stages, func)) for fold in folds)

    def find_optimal_treshold_by_holdout(self, func: Any = None, stages: Several = None) -> float:
        """Return the best threshold on the holdout, all folds blended.

        Raises:
            ConfigError: There is no holdout, or nothing to measure, or ``func`` is none, fails, or gives no number.
        """
        return float(best_of(self._best_threshold("holdout", None, stages, func), "holdout").treshold)

    def _best_threshold(self, ds: "Dataset | str", fold: Several, stage: Several, func: Any) -> Best:
        self.get_dataset()  # the project's modules may have the metric
        search = ThresholdSearch(
            self.ground_truths,
            self.class_names(),
            self.finished().needs_masks,
            self.known_metrics(),
            func,
            lambda: FoldsAndStages(self, fold, stage),
            self.maxDetections,
        )
        with self.ground_truths.kept():
            return search.of(self.predictions(ds, fold, stage))

    def average(self, folds: Several = None, stages: Several = None) -> list[FoldAverage]:
        """Average the best weights of stages of a fold, and keep what is better than each of them.

        Each fold, and each seed, is averaged for itself, and measured on the fold's validation part by the primary
        metric. An average that is better than all its members is written to ``weights/average-<fold>.weights``, which
        ``stage="average"`` asks; one of an earlier call goes to ``previous/``, so that the latest call counts.

        Args:
            folds: A number, or several; by default all that are trained.
            stages: Two or more; by default all.

        Returns:
            What came of each fold, the seeds in turn.

        Raises:
            ConfigError: There are no such folds or stages, or just one stage; folds are to be averaged together; the
                primary metric is a loss; a run trains here.
            WeightsError: A stage is not trained, or weights are of other models or classes.
        """
        return average_weights(self, folds, stages)

    def evaluateAll(
        self,
        ds: Any = None,
        fold: int = 0,
        stage: Several = -1,
        negatives: "str | float" = "real",
        ttflips: TestTimeAugmentation = None,
        batchSize: "int | None" = None,
    ) -> Iterator[PredictedBatch]:
        """Predict on the validation part of a fold, a batch at a time, with ``ground_truth``.

        ``negatives`` says which items without objects are among them, as ``validation_negatives`` of a stage does: all,
        ``none``, or so many for each item with objects.
        """
        kept, size = negatives_of(negatives), batch_size_of(batchSize)
        source, choice = self.validation(ds, fold), self.trained().choose(fold, stage)
        if kept not in ALL:
            source = self._fewer_negatives(source, kept, fold)
        return self.predictor(ttflips, size).batches(source, choice, with_truth=True)

    def _fewer_negatives(self, part: Any, negatives: "str | float", fold: int) -> Any:
        positions = list(range(len(part)))
        seed = (int(self.random_state) + int(self.seed), fold)
        chosen = validation_items(positions, self.positives().of(part, positions), negatives, seed)
        fewer = SubDataSet(part, chosen)
        fewer.name = part.name
        return fewer
