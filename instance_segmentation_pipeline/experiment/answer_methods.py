"""musket_core's methods that ask a trained experiment: each hands on to the object that answers."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from musket_core.generic_config import GenericImageTaskConfig
from musket_core.model import FoldsAndStages
from tqdm import tqdm

from ..data.image_folder import Directory
from ..data.protocols import Dataset
from ..detection.arrays import AnyArray, TruthRecord
from ..detection.detections import MusketPrediction, truth_of
from ..detection.tta import TestTimeAugmentation
from ..errors import ConfigError
from ..inference.detector import Detector, Ensemble, Fusion, PredictedBatch
from ..inference.folder_sinks import CallbackSink, CocoSink
from ..inference.named_datasets import dataset_named, questions_of
from ..inference.output_formats import check_outputs
from ..inference.prediction_datasets import ConcatPredictions, Predictions
from ..inference.prediction_store import PredictionStore
from ..inference.predictor import Asking, Predictor, Question
from ..inference.trained_folds import Several
from ..launch.answering import AnsweringPool
from ..metrics.metric_name import MetricName
from ..reporting.report_figures import ValidationView
from ..training.coco_metric import Further
from .answer_arguments import batch_size_of, flag_of, folder_of, function_of, limit_of
from .augmented_views import views_for
from .evaluator import Evaluator, GroundTruths
from .metric_selection import MetricSelection, default_primary, known_metrics
from .summary import StageInfo, info_of, result_of, summary_of

Callback = Callable[[str, MusketPrediction, Any], Any]
"""Gets an id or a file name, Musket's prediction tuple, and what was handed on for it."""


class AnswerMethods(GenericImageTaskConfig):
    """The part of ``PipelineConfig``'s surface that predicts and measures; names and defaults are musket_core's.

    ``fold`` and ``stage`` are a number, several, ``all`` or ``None``; several are fused as ``fusion`` and ``fusionIou``
    say. A ``stage`` of -1 is the last, one of ``average`` what the method of that name has kept. ``batch_size`` is by
    default ``inference_batch``; what is found does not depend
    on it. ``ttflips`` is a value of ``testTimeAugmentation``, which is the default. ``limit`` is how many items or
    images are looked at, all by default.
    """

    # -- who answers -----------------------------------------------------------------------------------------

    def predictor(self, ttflips: TestTimeAugmentation = None, batch_size: "int | None" = None) -> Predictor:
        """Return what answers questions with the weights, in the state of the settings now."""
        return Predictor(
            self.files,
            self.trained(),
            self.finished(),
            self.class_names(),
            self.reader(),
            self._asking(ttflips, batch_size),
            AnsweringPool(self.run.answering_devices()),
            self._kept_net,
            self.ground_truths.marks,
        )

    def _asking(self, ttflips: TestTimeAugmentation, batch_size: "int | None") -> Asking:
        augmentation = ttflips or self.testTimeAugmentation
        try:
            views = views_for(augmentation, self.parts.datasets)
        except ValueError as error:
            raise ConfigError(f"{self.path}: ttflips: {error}: see testTimeAugmentation.") from None
        return Asking(
            batch_size=batch_size_of(batch_size) or self.inference_batch or self.parts.model.images_per_gpu,
            storage_threshold=self.storage_threshold,
            fusion=self._fusion(),
            augmentation=augmentation,
            views=views,
            transforms=self.transforms,
            transform=self.augmenters_of("transforms"),
            bars=self.verbose == 1,
            grid=self.parts.settings.tiles.grid,
        )

    def predictor_views(self) -> int:
        """Return in how many views an image is predicted on by default.

        Raises:
            ConfigError: ``testTimeAugmentation`` names nothing that there is, or a view does not come back.
        """
        return len(views_for(self.testTimeAugmentation, self.parts.datasets))

    def evaluator(self) -> Evaluator:
        """Return what measures predictions, in the state of the settings now."""
        with_masks, most = self.finished().needs_masks, self.maxDetections
        return Evaluator(self.ground_truths, self.metric_selection(), self.class_names(), with_masks, most)

    def metric_selection(self) -> MetricSelection:
        """Return which metrics decide, and which a summary has.

        Raises:
            ConfigError: A property names a metric that there is not.
        """
        default = default_primary(self.finished().needs_masks)
        return MetricSelection.of(self, self.known_metrics(), default, self.hasHoldout(), str(self.path))

    # -- nets ------------------------------------------------------------------------------------------------

    def load_model(self, fold: Several = 0, stage: Several = -1) -> "Detector | Ensemble":
        """Return a ``Detector``, or for several folds, stages or seeds an ``Ensemble`` of them.

        Raises:
            WeightsError: A fold or stage is not trained.
        """
        choice = self.trained().choose(fold, stage)
        return self.predictor().detector(choice)

    def createAnsambleModel(self, models: "Sequence[Detector | Ensemble]") -> Ensemble:
        """Return models of ``load_model``, of this experiment or of others, as one."""
        return Ensemble(list(models), self._fusion())

    def _fusion(self) -> Fusion:
        most = self.maxDetections if self.parts.settings.tiles.grid is None else None  # of cells, each has so many
        return Fusion(self.fusion, self.fusionIou, most)

    def createNetForInference(self, fold: int = 0, stage: int = -1) -> Any:
        """Return MMDetection's own net with trained weights, ready for ``mmdet.apis.inference_detector``."""
        choice = self.trained().choose(fold, stage)
        return self.predictor().for_mmdetection(choice)

    def folds_of(self, fold: Several) -> list[int]:
        """Return the folds that a choice means; see ``TrainedFolds.folds_of``."""
        return list(self.trained().folds_of(fold))

    def stages_of(self, stage: Several) -> "list[int | str]":
        """Return the stages that a choice means; see ``TrainedFolds.stages_of``."""
        return list(self.trained().stages_of(stage))

    def _folds(self) -> list[int]:
        """Return the folds whose last stage has weights, in every seed; the name is musket_core's."""
        return list(self.trained().folds())

    # -- datasets --------------------------------------------------------------------------------------------

    def dataset_named(self, dataset: "Dataset | str") -> Dataset:
        """Return a dataset, or the one of a name; see ``named_datasets.dataset_named``."""
        return dataset_named(self, self.trained(), dataset)

    def predict_on_dataset(
        self,
        dataset: "Dataset | str",
        fold: Several = 0,
        stage: Several = 0,
        limit: int = -1,
        batch_size: "int | None" = None,
        ttflips: TestTimeAugmentation = False,
        cacheModel: bool = False,
    ) -> Iterator[PredictedBatch]:
        """Predict on a dataset, or on one of a name, a batch at a time; its targets are not looked at.

        ``cacheModel`` keeps the net for the next call that asks alike.
        """
        source, choice = self.dataset_named(dataset), self.trained().choose(fold, stage)
        return self.predictor(ttflips, batch_size).batches(source, choice, limit_of(limit), cacheModel)

    def predict_all_to_dataset(
        self,
        dataset: "Dataset | str",
        fold: Several = None,
        stage: Several = None,
        limit: int = -1,
        batch_size: "int | None" = None,
        ttflips: TestTimeAugmentation = False,
        dsPath: "str | None" = None,
        cacheModel: bool = False,
    ) -> Predictions:
        """Predict on a whole dataset into a store, and return it; by default with all trained folds and all stages.

        ``dsPath`` is the store's file. ``cacheModel`` is for batches: whole datasets are answered by all devices.
        """
        source, choice = self.dataset_named(dataset), self.trained().choose(fold, stage)
        predictor = self.predictor(ttflips, batch_size)
        path = Path(dsPath) if dsPath is not None else None
        return predictor.stores([Question(predictor.limited(source, limit_of(limit)), choice, path)])[0]

    def predict_all_to_array(
        self,
        dataset: "Dataset | str",
        fold: Several = None,
        stage: Several = None,
        limit: int = -1,
        batch_size: "int | None" = None,
        ttflips: TestTimeAugmentation = False,
    ) -> AnyArray:
        """Return the prediction tuples of a dataset as an object array ``(items,)``.

        Masks are dense here: a store of ``predict_all_to_dataset`` takes far less memory.
        """
        store = self.predict_all_to_dataset(dataset, fold, stage, limit, batch_size, ttflips)
        answers = np.empty(len(store), object)
        for number in range(len(store)):
            answers[number] = store.detections(number).to_musket(store.bbox_order)
        return answers

    def predict_in_dataset(
        self,
        dataset: "Dataset | str",
        fold: Several,
        stage: Several,
        cb: Callback,
        data: Any,
        limit: int = -1,
        batch_size: "int | None" = None,
        ttflips: TestTimeAugmentation = False,
    ) -> None:
        """Call ``cb(id, prediction, data)`` for each item."""
        function_of(cb, "cb")
        source, limit = self.dataset_named(dataset), limit_of(limit)
        count = len(source) if limit == -1 else min(limit, len(source))
        with tqdm(total=count, desc="predicting", unit="image", disable=None if self.verbose == 1 else True) as bar:
            for batch in self.predict_on_dataset(source, fold, stage, limit, batch_size, ttflips):
                for name, result in zip(batch.data, batch.results, strict=True):
                    cb(name, result, data)
                bar.update(len(batch.data))

    def predictions(self, name: "Dataset | str", fold: Several = None, stage: Several = None) -> Predictions:
        """Return predictions as a dataset, from their store where it is current.

        Args:
            name: ``validation``, ``holdout``, ``train``, ``validation<fold>``, ``train<fold>``, the name of an entry of
                ``datasets``, or a dataset object.
            fold: Default: all trained folds. On ``validation``, each of several folds answers for its own part, so that
                every item is answered by a net that has not seen it; elsewhere they are blended.
            stage: Default: all stages, blended.

        Raises:
            WeightsError: A fold or stage is not trained.
        """
        questions = questions_of(self, self.trained(), name, fold, stage)
        stores = self.predictor().stores(questions)
        return stores[0] if len(stores) == 1 else ConcatPredictions(stores)

    def create_writeable_dataset(self, dataset: Dataset, dsPath: str) -> PredictionStore:
        """Return an empty store for predictions on a dataset."""
        return self.predictor().new_store(self.preprocessed(dataset), Path(dsPath))

    def load_writeable_dataset(self, ds: Dataset, path: str) -> PredictionStore:
        """Return a store that is on disk.

        Raises:
            DatasetError: It cannot be read, or holds predictions on another dataset.
        """
        return self.predictor().open_store(self.preprocessed(ds), Path(path))

    # -- folders ---------------------------------------------------------------------------------------------

    def predict_on_directory(
        self,
        path: str,
        fold: Several = 0,
        stage: Several = 0,
        limit: int = -1,
        batch_size: "int | None" = None,
        ttflips: TestTimeAugmentation = False,
    ) -> Iterator[PredictedBatch]:
        """Predict on the images in a folder, a batch at a time; ``data`` has their file names.

        Files that are no readable image are skipped, and named at the end; ``image_folder.Directory`` counts them.
        """
        folder, choice = Directory(path, steps=self.image_steps()), self.trained().choose(fold, stage)
        return self.predictor(ttflips, batch_size).folder_batches(folder, choice, limit_of(limit))

    def predict_in_directory(
        self,
        spath: str,
        fold: Several,
        stage: Several,
        cb: Callback,
        data: Any,
        limit: int = -1,
        batchSize: "int | None" = None,
        ttflips: TestTimeAugmentation = False,
        batch_size: "int | None" = None,
    ) -> list[str]:
        """Call ``cb(file name, prediction, data)`` for each image of a folder; return the files that were skipped."""
        function_of(cb, "cb")
        folder, choice = Directory(spath, steps=self.image_steps()), self.trained().choose(fold, stage)
        predictor = self.predictor(ttflips, batch_size_of(batch_size, batchSize))
        return predictor.folder(folder, choice, CallbackSink(cb, data, predictor.reader.bbox_order), limit_of(limit))

    def predict_to_directory(  # noqa: PLR0913 - musket_core's arguments, and what is written beside
        self,
        spath: str,
        tpath: str,
        fold: Several = 0,
        stage: Several = 0,
        limit: int = -1,
        batchSize: "int | None" = None,
        binaryArray: bool = False,
        ttflips: TestTimeAugmentation = False,
        batch_size: "int | None" = None,
        *,
        recursive: bool = False,
        formats: Sequence[str] = (),
        page: bool = False,
    ) -> list[str]:
        """Predict on the images in a folder; write ``predictions.json`` (COCO) and a picture of each to another.

        Pictures show what has a score of ``threshold`` or more; ``storage.file_names`` makes their names. What is found
        is written image by image: ``predictions.jsonl`` has it until ``predictions.json`` is complete.

        Args:
            spath: The folder with the images.
            tpath: The folder to write to.
            fold: Who is asked.
            stage: Who is asked.
            limit: Images that are looked at, all by default.
            batchSize: ``inference_batch`` for this call; ``batch_size`` is the same.
            binaryArray: Write masks in place of pictures: ``<image's file name>.npy``, ``(N, height, width)`` bool, in
                the order that ``predictions.json`` has the image's objects in.
            ttflips: ``testTimeAugmentation`` for this call.
            batch_size: Another spelling of ``batchSize``.
            recursive: Look into the folders below ``spath``, too.
            formats: Further formats (``yolo``, ``labelme``, ``png``, ``csv``), in a folder of that name each: what has
                a score of ``threshold`` or more.
            page: Write ``index.html``, a page of the pictures.

        Returns:
            The files that were skipped, since they are no readable image.

        Raises:
            ConfigError: ``tpath`` is ``spath``, or cannot be written to; the model has no masks to write; there is no
                such format.
        """
        arrays, most, size = flag_of(binaryArray, "binaryArray"), limit_of(limit), batch_size_of(batch_size, batchSize)
        if arrays and not self.finished().needs_masks:
            raise ConfigError("binaryArray=True writes masks, and this model has none: predictions.json has its boxes.")
        check_outputs(formats, page, arrays, self.finished().needs_masks)
        target = folder_of(tpath, "tpath")
        folder = Directory(spath, target, self.image_steps(), recursive=flag_of(recursive, "recursive"))
        choice = self.trained().choose(fold, stage)
        predictor = self.predictor(ttflips, size)
        shown = None if arrays else self.threshold
        with CocoSink(target, folder, predictor.class_names, shown, formats, self.threshold, page) as sink:
            return predictor.folder(folder, choice, sink, most)

    # -- numbers ---------------------------------------------------------------------------------------------

    def evaluate(
        self, name: "Dataset | str" = "validation", fold: Several = None, stage: Several = None
    ) -> dict[str, float]:
        """Return the final metrics of what folds and stages find on a dataset; the arguments are ``predictions``'s."""
        if isinstance(name, str):
            self.get_dataset()
        evaluator = self.evaluator()
        return evaluator.evaluate(self.predictions(name, fold, stage), lambda: FoldsAndStages(self, fold, stage))

    def createSummary(self, foldsToExecute: Sequence[int], subsample: float) -> dict[str, Any]:
        """Return the metrics of each stage over the folds, and of all stages blended; see ``summary.summary_of``."""
        folds, held = list(foldsToExecute), self.hasHoldout()
        with self.ground_truths.kept():
            for name in ("validation", "holdout") if held else ("validation",):
                self.predictions(name, folds)  # all nets, on all devices
            return summary_of(folds, len(self.stages), self.evaluate, self.files, self.primary(), held)

    def further_metrics(self, source: Dataset, fold: int, stage: int) -> "Further | None":
        """Return what computes further metrics after each epoch; see ``Evaluator.each_epoch``."""
        model = FoldsAndStages(self, fold, stage)
        return self.evaluator().each_epoch(source, lambda: model, self.reader().bbox_order)

    def known_metrics(self) -> list[str]:
        """Return the names of the built-in metrics, those of single classes last."""
        return known_metrics(self.class_names(), self.finished().needs_masks)

    def wanted_metrics(self) -> list[str]:
        """Return the names of the metrics that a summary has: ``final_metrics``, and those that decide."""
        return list(self.metric_selection().wanted)

    def primary(self) -> MetricName:
        """Return the primary metric, with its direction as ``primary_metric_mode`` says."""
        self.get_dataset()  # the project's modules may have the metric
        return self.metric_selection().primary

    def info(self, metric: "str | None" = None) -> list[StageInfo]:
        """Return the best value of a metric, its epoch and the lowest rate of each fold and stage: see ``info_of``."""
        return info_of(self.files, self.fold_count(), len(self.stages), self.primary(), metric)

    def result_of(self, summary: dict[str, Any]) -> float:
        """Return the number that stands for the whole experiment; see ``summary.result_of``."""
        return result_of(summary, self.experiment_result, self.primary_metric)

    def truths(self, predictions: Dataset) -> list[TruthRecord]:
        """Return the ground truth of a dataset as ``records.to_middle_format`` records, masks as RLE."""
        records: list[TruthRecord] = self.ground_truths.of(predictions)
        return records

    def validation_view(self, folds: Sequence[int]) -> ValidationView:
        """Return what there is in the validation parts of folds, and what they find, for reports."""
        found, reader = self.predictions("validation", list(folds)), self.reader()
        return ValidationView(
            truths=[truth_of(record) for record in self.truths(found)],
            found=[found.detections(number) for number in range(len(found))],
            class_names=self.class_names(),
            threshold=self.threshold,
            with_masks=self.finished().needs_masks,
            item=lambda number: reader.read(found, number),
        )

    @contextlib.contextmanager
    def truths_kept(self) -> Iterator[GroundTruths]:
        """Keep the ground truth of items that are read in this context: a summary asks for it many times."""
        with self.ground_truths.kept() as truths:
            yield truths
