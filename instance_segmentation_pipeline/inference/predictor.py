"""Asking trained folds and stages: predictions on datasets and folders, kept in stores, blended, and evaluated."""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from musket_core.datasets import SubDataSet
from tqdm import tqdm

from ..data.class_names import known_class_names
from ..data.fingerprint import dataset_mark
from ..data.item_reader import ItemReader
from ..detection.fusion import VERSION, fuse
from ..detection.tta import View, views_of
from ..errors import ConfigError
from ..models.finished_config import FinishedConfig
from ..storage.digests import digest, digest_of_file
from .detector import Detector, Ensemble, Fusion, PredictedBatch, for_inference, load_net
from .folder_predictor import FolderPredicting, hand_on
from .prediction_datasets import Answers, ConcatPredictions, Predictions
from .prediction_store import PredictionStore, writing
from .trained_folds import TrainedFolds, weights_of


class Predicting(FolderPredicting):
    """The part of ``PipelineConfig`` that answers questions; the methods' names and defaults are musket_core's.

    ``fold`` and ``stage`` are a number or a list of numbers; several are fused as ``fusion`` and ``fusionIou`` say.
    A ``stage`` of -1 is the last. ``ttflips`` is a value of ``testTimeAugmentation``, which is the default.
    """

    files: Any
    path: Any
    stages: list
    folds_count: int
    imagesPerGpu: int
    inference_batch: "int | None"
    storage_threshold: float
    testTimeAugmentation: Any
    fusion: str
    fusionIou: float
    device: Any
    threshold: float
    transforms: Any
    mdl: Any = None
    finished: Callable[[], FinishedConfig]
    class_names: Callable[[], tuple[str, ...]]
    reader: Callable[[], ItemReader]
    executor: Callable[[], Any]
    augmenters_of: Callable[[str], Any]
    get_dataset: Callable[..., Any]
    preprocessed: Callable[[Any], Any]
    kfold: Callable[..., Any]
    trained: Callable[[], TrainedFolds]
    members: Callable[[], list]
    seeds: Callable[[], list]
    validation: Callable[..., Any]
    train: Callable[..., Any]
    holdout: Callable[..., Any]
    train_without_holdout: Callable[..., Any]

    # -- nets ------------------------------------------------------------------------------------------------

    def load_model(self, fold: Any = 0, stage: Any = -1) -> Any:
        """Return a ``Detector``, or for lists of folds or stages an ``Ensemble`` of them.

        Raises:
            WeightsError: A fold or stage is not trained.
        """
        return self._model(self.folds_of(fold), self.stages_of(stage), self._views(None), self.device)

    def createAnsambleModel(self, models: Sequence[Any]) -> Ensemble:
        """Return models of ``load_model``, of this experiment or of others, as one."""
        return Ensemble(list(models), self._fusion())

    def createNetForInference(self, fold: int = 0, stage: int = -1) -> Any:
        """Return MMDetection's own net with trained weights, ready for ``mmdet.apis.inference_detector``."""
        weights = self.members()[0]._weights(*self.folds_of(fold)[:1], *self.stages_of(stage)[:1])
        return for_inference(self.finished(), weights, self.class_names(), self.device)

    def _fusion(self) -> Fusion:
        return Fusion(self.fusion, self.fusionIou)

    def _views(self, ttflips: Any) -> list[View]:
        try:
            return views_of(ttflips or self.testTimeAugmentation)
        except ValueError as error:
            raise ConfigError(f"{self.path}: ttflips: {error}: see testTimeAugmentation.") from None

    def _model(self, folds: Sequence[int], stages: Sequence[int], views: Sequence[View], device: str) -> Any:
        each = list(itertools.product(self.members(), folds, stages))
        members = [member._detector(fold, stage, views, device) for member, fold, stage in each]
        return members[0] if len(members) == 1 else Ensemble(members, self._fusion())

    def _detector(self, fold: int, stage: int, views: Sequence[View], device: str) -> Detector:
        finished = self.finished()
        net = load_net(finished.config, self._weights(fold, stage), self.class_names(), device)
        return Detector(
            net,
            finished.val_pipeline,
            finished.needs_masks,
            self.storage_threshold,
            views,
            self._fusion(),
            self.augmenters_of("transforms"),
        )

    def _weights(self, fold: int, stage: int) -> Path:
        return weights_of(self.files, fold, stage)

    def _folds(self) -> list[int]:
        """Return the folds whose last stage has weights, in every seed."""
        return list(self.trained().folds())

    def folds_of(self, fold: Any) -> list[int]:
        """Return the folds that a choice means; see ``TrainedFolds.folds_of``."""
        return self.trained().folds_of(fold)

    def stages_of(self, stage: Any) -> list[int]:
        """Return the stages that a choice means; see ``TrainedFolds.stages_of``."""
        return self.trained().stages_of(stage)

    # -- datasets --------------------------------------------------------------------------------------------

    def predict_on_dataset(
        self,
        dataset: Any,
        fold: Any = 0,
        stage: Any = 0,
        limit: int = -1,
        batch_size: "int | None" = None,
        ttflips: Any = False,
        cacheModel: bool = False,
    ) -> Iterator[PredictedBatch]:
        """Predict on a dataset, a batch at a time.

        Args:
            dataset: A Musket dataset, or the name of one; its targets are not looked at.
            fold: A fold or a list of folds.
            stage: A stage or a list of stages.
            limit: Only that many items; all by default.
            batch_size: Images at a time, by default ``inference_batch``; what is found does not depend on it.
            ttflips: Test-time augmentation.
            cacheModel: Keep the net for the next call with the same folds, stages and augmentation.

        Raises:
            DatasetError: An item cannot be read: it is named, and none is skipped.
        """
        source = self.dataset_named(dataset)
        model = self._cached_model(fold, stage, ttflips, cacheModel)
        order = self.reader().bbox_order
        for numbers in self._batches(len(source), limit, batch_size):
            items = [self.reader().image(source, number) for number in numbers]
            images = [image for _, image in items]
            yield PredictedBatch([name for name, _ in items], images, model.predict(images, order))

    def predict_all_to_dataset(
        self,
        dataset: Any,
        fold: Any = None,
        stage: Any = None,
        limit: int = -1,
        batch_size: "int | None" = None,
        ttflips: Any = False,
        dsPath: "str | None" = None,
        cacheModel: bool = False,
    ) -> Predictions:
        """Predict on a whole dataset into a store, and return it; by default with all trained folds and all stages.

        The arguments are those of ``predict_on_dataset``; ``dsPath`` is the store's file.
        """
        source = self.dataset_named(dataset)
        if limit != -1:
            name = f"{_label(source)}-{limit}"
            source = SubDataSet(source, list(range(min(limit, len(source)))))
            source.name = name
        path = Path(dsPath) if dsPath is not None else None
        return self._blended(source, self.folds_of(fold), self.stages_of(stage), ttflips, batch_size, path)

    def predict_all_to_array(
        self,
        dataset: Any,
        fold: Any = None,
        stage: Any = None,
        limit: int = -1,
        batch_size: "int | None" = None,
        ttflips: Any = False,
    ) -> np.ndarray:
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
        dataset: Any,
        fold: Any,
        stage: Any,
        cb: Callable[[str, tuple, Any], Any],
        data: Any,
        limit: int = -1,
        batch_size: "int | None" = None,
        ttflips: Any = False,
    ) -> None:
        """Call ``cb(id, prediction, data)`` for each item."""
        source = self.dataset_named(dataset)
        count = len(source) if limit == -1 else min(limit, len(source))
        with tqdm(total=count, desc="predicting", unit="image", disable=None) as bar:
            hand_on(self.predict_on_dataset(source, fold, stage, limit, batch_size, ttflips), cb, data, bar)

    def predictions(self, name: Any, fold: Any = None, stage: Any = None) -> Predictions:
        """Return predictions as a dataset, from their store where it is current.

        Args:
            name: ``validation``, ``holdout``, ``train``, ``validation<fold>``, the name of an entry of ``datasets``,
                or a dataset object.
            fold: Default: all trained folds. On ``validation``, each of several folds answers for its own part, so that
                every item is answered by a net that has not seen it; elsewhere they are blended.
            stage: Default: all stages, blended.

        Raises:
            WeightsError: A fold or stage is not trained.
        """
        stages = self.stages_of(stage)
        numbered = re.fullmatch(r"(validation|train)(\d+)", name) if isinstance(name, str) else None
        if numbered is not None:
            name, fold = numbered[1], int(numbered[2])
        folds = self.folds_of(fold)
        if name == "validation":
            members = [self._blended(self.validation(None, number), [number], stages) for number in folds]
            return members[0] if len(members) == 1 else ConcatPredictions(members)
        if name == "train" and len(folds) == 1:
            return self._blended(self.train(None, folds[0]), folds, stages)
        if name == "train":
            name = self.train_without_holdout()
            name.name = "all" if name is self.get_dataset() else "train"
        source = self.dataset_named(name)
        named = known_class_names(source)
        if named is not None:  # what is there and what is found are compared
            self.trained().check_names(named)
        return self._blended(source, folds, stages)

    def dataset_named(self, dataset: Any) -> Any:
        """Return a dataset: itself, or the one of a name.

        Names are ``holdout``, ``validation<fold>``, ``train<fold>``, ``validation`` and ``train`` (of fold 0), and the
        entries of ``datasets``.
        """
        if not isinstance(dataset, str):
            return self.preprocessed(dataset)
        numbered = re.fullmatch(r"(validation|train)(\d{1,9})", dataset)
        if numbered is not None:
            self.get_dataset()
            number = self.trained().folds_of(int(numbered[2]))[0]
            return self.validation(None, number) if numbered[1] == "validation" else self.train(None, number)
        return self.holdout() if dataset == "holdout" else self.get_dataset(dataset)

    def _batches(self, count: int, limit: int, batch_size: "int | None") -> Iterator[range]:
        count = count if limit == -1 else min(limit, count)
        size = self._batch_size(batch_size)
        return (range(start, min(start + size, count)) for start in range(0, count, size))

    def _cached_model(self, fold: Any, stage: Any, ttflips: Any, keep: bool) -> Any:
        views = self._views(ttflips)
        key = (tuple(self.folds_of(fold)), tuple(self.stages_of(stage)), tuple(views))
        if keep and self.mdl is not None and self.mdl[0] == key:
            return self.mdl[1]
        model = self._model(key[0], key[1], views, self.device)
        self.mdl = (key, model) if keep else None
        return model

    # -- stores ----------------------------------------------------------------------------------------------

    def _blended(
        self,
        source: Any,
        folds: Sequence[int],
        stages: Sequence[int],
        ttflips: Any = None,
        batch_size: "int | None" = None,
        path: "Path | None" = None,
    ) -> Predictions:
        """Return the store of what folds and stages find together; each of them has a store of its own."""
        each = list(itertools.product(self.members(), folds, stages))
        mark = self._mark(source)
        if each == [(self, folds[0], stages[0])]:
            return self._single(source, mark, folds[0], stages[0], ttflips, batch_size, path)
        members = [member._single(source, mark, fold, stage, ttflips, batch_size) for member, fold, stage in each]
        made_from = {
            "dataset": mark,
            "fusion": [self.fusion, self.fusionIou, VERSION],
            "members": [member.fingerprint for member in members],
        }
        store = self._store(source, folds, stages, ttflips, made_from, path)
        if not store.is_current():
            with writing(store):
                for number in tqdm(range(len(source)), f"blending {_label(source)}", leave=False, disable=None):
                    found = [member.detections(number) for member in members]
                    store.append(fuse(found, self.fusion, self.fusionIou))
        return store

    def _mark(self, source: Any) -> str:
        """Return what tells a dataset from all others; a store is asked for this one alone."""
        return dataset_mark(source, self.reader())

    def _single(
        self,
        source: Any,
        mark: str,
        fold: int,
        stage: int,
        ttflips: Any,
        batch_size: "int | None",
        path: "Path | None" = None,
    ) -> PredictionStore:
        views = self._views(ttflips)
        made_from: dict[str, Any] = {
            "weights": digest_of_file(self._weights(fold, stage)),
            "model": digest(self.finished().config.model.to_dict(), self.finished().val_pipeline),
            "classes": list(self.class_names()),
            "views": str(views),
            "fusion": [self.fusion, self.fusionIou, VERSION] if len(views) > 1 else None,
            "storage_threshold": self.storage_threshold,
            **({} if self.transforms is None else {"transforms": self.transforms}),
            "dataset": mark,
        }
        store = self._store(source, [fold], [stage], ttflips, made_from, path)
        if not store.is_current():
            self.executor().run(lambda device: self._fill(store, fold, stage, views, batch_size, device))
        return store

    def _store(
        self,
        source: Any,
        folds: Sequence[int],
        stages: Sequence[int],
        ttflips: Any,
        made_from: Any,
        path: "Path | None",
    ) -> PredictionStore:
        augmentation = ttflips or self.testTimeAugmentation
        further = "" if not augmentation else f"tta-{digest(augmentation)[:6]}"
        name = f"{_label(source)}-{made_from['dataset'][:8]}"
        path = path or self.files.predictions(name, stages, folds, further)
        return PredictionStore(source, path, self.reader().bbox_order, json.dumps(made_from, sort_keys=True))

    def _fill(
        self, store: PredictionStore, fold: int, stage: int, views: Sequence[View], batch: "int | None", device: str
    ) -> None:
        source = store.parent
        model = self._detector(fold, stage, views, device)
        description = f"predicting {_label(source)}, fold {fold} stage {stage}"
        with writing(store), tqdm(total=len(source), desc=description, leave=False, disable=None) as bar:
            for numbers in self._batches(len(source), -1, batch):
                images = [self.reader().image(source, number)[1] for number in numbers]
                for found in model.detect(images):
                    store.append(found)
                bar.update(len(numbers))

    def create_writeable_dataset(self, dataset: Any, dsPath: str) -> PredictionStore:
        """Return an empty store for predictions on a dataset."""
        dataset = self.preprocessed(dataset)
        made_from = json.dumps({"dataset": self._mark(dataset)})
        return PredictionStore(dataset, Path(dsPath), self.reader().bbox_order, made_from)

    def load_writeable_dataset(self, ds: Any, path: str) -> PredictionStore:
        """Return a store that is on disk.

        Raises:
            DatasetError: It cannot be read, or holds predictions on another dataset.
        """
        ds = self.preprocessed(ds)
        store = PredictionStore(ds, Path(path), self.reader().bbox_order)
        store.open(self._mark(ds))
        return store

    # -- evaluating ------------------------------------------------------------------------------------------

    def evaluateAll(
        self,
        ds: Any = None,
        fold: int = 0,
        stage: Any = -1,
        negatives: str = "real",
        ttflips: Any = None,
        batchSize: "int | None" = None,
    ) -> Iterator[PredictedBatch]:
        """Predict on the validation part of a fold, a batch at a time, with ``ground_truth``.

        ``negatives`` is not used: images without objects are part of every evaluation.
        """
        source = self.validation(ds, fold)
        model = self._cached_model(fold, stage, ttflips, False)
        order = self.reader().bbox_order
        for numbers in self._batches(len(source), -1, batchSize):
            items = [self.reader().checked(source, number) for number in numbers]
            images = [item.x for item in items]
            truth = [item.y for item in items]
            yield PredictedBatch([str(item.id) for item in items], images, model.predict(images, order), truth)


def in_memory(source: Any, found: Sequence[Any], reader: ItemReader) -> Answers:
    """Return predictions that were just made as a dataset."""
    return Answers(source, found, reader.bbox_order)


def _label(source: Any) -> str:
    """Return a dataset's name as part of a file name."""
    name = getattr(source, "name", None) or source.__class__.__name__
    return re.sub(r"[^\w.]+", "_", str(name)).strip("_") or "dataset"
