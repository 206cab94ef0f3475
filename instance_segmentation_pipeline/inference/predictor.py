"""Asking trained folds and stages: predictions on datasets and folders, kept in stores and blended."""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from musket_core.datasets import SubDataSet
from tqdm import tqdm

from ..data.dataset_marks import DatasetMarks
from ..data.image_folder import Directory
from ..data.item_reader import ItemReader
from ..data.protocols import Dataset, Part
from ..detection.arrays import UInt8Array
from ..detection.fusion import VERSION
from ..detection.own_views import OwnView
from ..detection.seams import VERSION as SEAMS_VERSION
from ..detection.tiles import Grid
from ..detection.tta import PLAIN, View
from ..models.finished_config import FinishedConfig
from ..storage.digests import digest, digest_of_file
from ..storage.experiment_files import ExperimentFiles
from .detector import Detector, Ensemble, Fusion, PredictedBatch, for_inference, load_net
from .folder_sinks import Answer, FolderSink, answered
from .memory import bytes_of, room_for_nets
from .prediction_datasets import Answers, Predictions
from .prediction_store import PredictionStore, pack, unpack, writing
from .trained_folds import Choice, TrainedFolds, weights_of
from .workers import Piece, Workers, spread


@dataclass(frozen=True)
class Asking:
    """How nets are asked in one question.

    Attributes:
        batch_size: Images, or views of them, that a net is given at a time.
        storage_threshold: The lowest score that is kept.
        fusion: How members and views are fused.
        augmentation: The value of ``testTimeAugmentation`` that the views are those of.
        views: The views of each image.
        transforms: The property of that name.
        transform: What it does to an image.
        bars: Whether a terminal shows bars of what is predicted.
        grid: How images are cut into cells; ``None`` where they are not.
    """

    batch_size: int
    storage_threshold: float
    fusion: Fusion
    augmentation: Any = None
    views: "tuple[View | OwnView, ...]" = (PLAIN,)
    transforms: Any = None
    transform: "Callable[[UInt8Array], UInt8Array] | None" = field(default=None, compare=False)
    grid: "Grid | None" = None
    bars: bool = field(default=True, compare=False)

    @property
    def hides_bars(self) -> "bool | None":
        """What ``tqdm`` takes as ``disable``: ``None`` shows a bar where there is a terminal."""
        return None if self.bars else True


class Question(NamedTuple):
    """A dataset, who is asked about it, and the file for the answers, where it is not the experiment's own."""

    source: Dataset
    choice: Choice
    path: "Path | None" = None


@dataclass
class KeptNet:
    """The net of the latest question that asked to keep it; it outlives the ``Predictor``."""

    key: object = None
    net: "Detector | Ensemble | None" = None


@dataclass(frozen=True)
class _Single:
    """One trained net, and its store for one dataset."""

    files: ExperimentFiles
    fold: int
    stage: "int | str"
    store: PredictionStore

    @property
    def label(self) -> str:
        return f"predicting {label_of(self.store.parent)}, {self.files.label}fold {self.fold} stage {self.stage}"


class Predictor:
    """Answers questions with the weights of an experiment, in one state of its settings.

    Args:
        files: Names of the experiment's files.
        trained: What is trained.
        model: The prepared config of its nets.
        class_names: Names of the classes, in label order.
        reader: How items are read.
        asking: How the nets are asked.
        workers: Where they answer: whole datasets and folders are spread over all devices, what is given out batch by
            batch is answered by the first.
        kept: Where a net is kept for the next question.
        marks: What tells datasets apart.
    """

    def __init__(
        self,
        files: ExperimentFiles,
        trained: TrainedFolds,
        model: FinishedConfig,
        class_names: Sequence[str],
        reader: ItemReader,
        asking: Asking,
        workers: Workers,
        kept: KeptNet,
        marks: DatasetMarks,
    ) -> None:
        self.files, self.trained, self.model = files, trained, model
        self.class_names, self.reader = tuple(class_names), reader
        self.asking, self.workers, self.kept, self.marks = asking, workers, kept, marks

    # -- nets ------------------------------------------------------------------------------------------------

    def detector(self, choice: Choice, device: "str | None" = None) -> "Detector | Ensemble":
        """Return the net of a fold and a stage, or an ensemble of those of several, and of all seeds.

        Of an ensemble, as many nets are on a GPU as take half of its free memory; the others come there to answer.
        """
        device = device or self.workers.devices[0]
        room, members = room_for_nets(device), list[Detector]()
        for files, fold, stage in itertools.product(self.trained.files, choice.folds, choice.stages):
            fits = not members or bytes_of(members[0].net) * (len(members) + 1) <= room
            member = self._net(files, fold, stage, device if fits else "cpu")
            members.append(member if fits else replace(member, visits=device))
        return members[0] if len(members) == 1 else Ensemble(members, self.asking.fusion)

    def detector_of(self, files: ExperimentFiles, choice: Choice) -> Detector:
        """Return the net of the first fold and stage of a choice, of one of the seeds."""
        return self._net(files, choice.folds[0], choice.stages[0], self.workers.devices[0])

    def answers(self, source: Dataset, detector: Detector) -> Answers:
        """Return what a net that has no file finds in a dataset, as a store of a trained one would have it."""
        found = [
            unpack(pack(one))
            for numbers in self._in_batches(range(len(source)))
            for one in detector.detect([self.reader.image(source, number)[1] for number in numbers])
        ]
        return Answers(source, found, self.reader.bbox_order)

    def for_mmdetection(self, choice: Choice) -> Any:
        """Return MMDetection's own net of the first fold and stage, as ``mmdet.apis.inference_detector`` takes it."""
        weights = weights_of(self.trained.files[0], choice.folds[0], choice.stages[0])
        return for_inference(self.model, weights, self.class_names, self.workers.devices[0])

    def _net(self, files: ExperimentFiles, fold: int, stage: "int | str", device: str) -> Detector:
        net = load_net(self.model.config, weights_of(files, fold, stage), self.class_names, device)
        asking = self.asking
        return Detector(
            net,
            self.model.val_pipeline,
            self.model.needs_masks,
            asking.storage_threshold,
            asking.views,
            asking.fusion,
            asking.transform,
            asking.batch_size,
            grid=asking.grid,
        )

    def _kept_net(self, choice: Choice, keep: bool) -> "Detector | Ensemble":
        """Return the net of a choice; the one that was kept if it is that of the same weights, asked alike."""
        files = [weights_of(*one) for one in itertools.product(self.trained.files, choice.folds, choice.stages)]
        key = (choice, self.asking, self._model_digest, self.class_names, [digest_of_file(path) for path in files])
        if keep and self.kept.net is not None and self.kept.key == key:
            return self.kept.net
        net = self.detector(choice)
        self.kept.key, self.kept.net = (key, net) if keep else (None, None)
        return net

    # -- batches ---------------------------------------------------------------------------------------------

    def batches(
        self, source: Dataset, choice: Choice, limit: int = -1, keep: bool = False, with_truth: bool = False
    ) -> Iterator[PredictedBatch]:
        """Predict on a dataset, a batch at a time.

        Args:
            source: A Musket dataset; its targets are not looked at.
            choice: Folds and stages.
            limit: Only that many items; all by default.
            keep: Keep the net for the next question that is asked alike.
            with_truth: Give the items' targets, as the dataset has them.

        Raises:
            DatasetError: An item cannot be read: it is named, and none is skipped.
        """
        model = self._kept_net(choice, keep)
        count = len(source) if limit == -1 else min(limit, len(source))
        for numbers in self._in_batches(range(count)):
            items = [self.reader.checked(source, number) for number in numbers]
            images = [item.x for item in items]
            results = model.predict(images, self.reader.bbox_order)
            truth = [item.y for item in items] if with_truth else []
            yield PredictedBatch([str(item.id) for item in items], images, results, truth)

    def _in_batches(self, positions: range) -> Iterator[range]:
        size = self.asking.batch_size
        return (positions[start : start + size] for start in range(0, len(positions), size))

    # -- folders ---------------------------------------------------------------------------------------------

    def folder_batches(self, folder: Directory, choice: Choice, limit: int = -1) -> Iterator[PredictedBatch]:
        """Predict on the images of a folder, a batch at a time; ``data`` has their file names."""
        model = self._kept_net(choice, False)
        for batch in folder.batches(self.asking.batch_size, limit):
            answers = answered(model, folder, batch)
            if answers:
                found = [one.found.to_musket(self.reader.bbox_order) for one in answers]
                yield PredictedBatch([one.name for one in answers], [one.image for one in answers], found)

    def folder(self, folder: Directory, choice: Choice, sink: FolderSink, limit: int = -1) -> list[str]:
        """Predict on the images of a folder, and hand what is found to a sink.

        Returns:
            The files that were skipped, since they are no readable image, or the net fails on them.
        """
        places = {name: number for number, name in enumerate(folder.names)}
        alone = sink.in_order or limit != -1
        runs = spread(len(folder), 1 if alone else len(self.workers.devices))

        def piece(run: range) -> Piece:
            label = f"{run.start} to {run.stop - 1} of the images"
            return Piece(label, lambda device: self._seen(folder, choice, sink, limit, run, device))

        with tqdm(total=len(folder), desc="predicting", unit="image", disable=self.asking.hides_bars) as bar:

            def take(number: int, seen: _Seen) -> None:
                for name, found in seen.found:
                    sink.take(name, unpack(found), places[name])
                folder.learn(seen.reasons, seen.first_pages)
                bar.update(seen.images)

            self.workers.run([piece(run) for run in runs], take)
        folder.put_in_order()
        folder.tell()
        return folder.skipped

    def _seen(
        self, folder: Directory, choice: Choice, sink: FolderSink, limit: int, run: range, device: str
    ) -> Iterator["_Seen"]:
        model = self.detector(choice, device)
        for batch in folder.batches(self.asking.batch_size, limit, run):
            answers: list[Answer] = answered(model, folder, batch)
            for one in answers:
                sink.look(one, folder)
            found = [(one.name, pack(one.found)) for one in answers]
            yield _Seen(found, dict(folder.reasons), list(folder.first_pages), len(batch))
        yield _Seen([], dict(folder.reasons), list(folder.first_pages), 0)

    # -- stores ----------------------------------------------------------------------------------------------

    def stores(self, questions: Sequence[Question]) -> list[Predictions]:
        """Return the stores of what folds and stages find together on datasets, made where they are not current.

        Each net has a store of its own for each dataset; all that are to be made are, on all devices.
        """
        asked = [(question, self.marks.of(question.source, self.reader)) for question in questions]
        members = [self._members(question, mark) for question, mark in asked]
        todo = {one.store.path: one for each in members for one in each if not one.store.is_current()}
        self._fill(list(todo.values()))
        return [self._blended(*one, each) for one, each in zip(asked, members, strict=True)]

    def limited(self, source: Dataset, limit: int) -> Dataset:
        """Return the first items of a dataset, as a dataset with a name of its own; all of them for -1."""
        if limit == -1:
            return source
        some: Part = SubDataSet(source, list(range(min(limit, len(source)))))
        some.name = f"{label_of(source)}-{limit}"
        return some

    def new_store(self, dataset: Dataset, path: Path) -> PredictionStore:
        """Return an empty store for predictions on a dataset."""
        mark = self.marks.of(dataset, self.reader)
        return PredictionStore(dataset, path, self.reader.bbox_order, json.dumps({"dataset": mark}))

    def open_store(self, dataset: Dataset, path: Path) -> PredictionStore:
        """Return a store that is on disk.

        Raises:
            DatasetError: It cannot be read, or holds predictions on another dataset.
        """
        store = PredictionStore(dataset, path, self.reader.bbox_order)
        store.open(self.marks.of(dataset, self.reader))
        return store

    def _members(self, question: Question, mark: str) -> list[_Single]:
        each = list(itertools.product(self.trained.files, question.choice.folds, question.choice.stages))
        path = question.path if len(each) == 1 else None
        return [self._single(question.source, mark, *one, path) for one in each]

    def _single(
        self, source: Dataset, mark: str, files: ExperimentFiles, fold: int, stage: "int | str", path: "Path | None"
    ) -> _Single:
        asking = self.asking
        made_from: dict[str, Any] = {
            "weights": digest_of_file(weights_of(files, fold, stage)),
            "model": self._model_digest,
            "classes": list(self.class_names),
            "views": str(list(asking.views)),
            "fusion": self._fusion_mark if len(asking.views) > 1 else None,
            "storage_threshold": asking.storage_threshold,
            **({} if asking.transforms is None else {"transforms": asking.transforms}),
            **({} if asking.grid is None else {"cells": str(asking.grid), "joined by": SEAMS_VERSION}),
            "dataset": mark,
        }
        store = self._store(source, files, Choice((fold,), (stage,)), made_from, path)
        return _Single(files, fold, stage, store)

    def _store(
        self, source: Dataset, files: ExperimentFiles, choice: Choice, made_from: dict[str, Any], path: "Path | None"
    ) -> PredictionStore:
        augmentation = self.asking.augmentation
        further = "" if not augmentation else f"tta-{digest(augmentation)[:6]}"
        name = f"{label_of(source)}-{made_from['dataset'][:8]}"
        path = path or files.predictions(name, choice.stages, choice.folds, further)
        return PredictionStore(source, path, self.reader.bbox_order, json.dumps(made_from, sort_keys=True))

    def _blended(self, question: Question, mark: str, members: Sequence[_Single]) -> Predictions:
        if len(members) == 1:
            return members[0].store
        made_from = {
            "dataset": mark,
            "fusion": self._fusion_mark,
            "members": [member.store.fingerprint for member in members],
        }
        source, choice, path = question
        store = self._store(source, self.files, choice, made_from, path)
        if not store.is_current():
            fusion = self.asking.fusion
            with writing(store):
                words, hidden = f"blending {label_of(source)}", self.asking.hides_bars
                for number in tqdm(range(len(source)), words, leave=False, disable=hidden):
                    found = [member.store.detections(number) for member in members]
                    store.append(fusion.of(found))
        return store

    def _fill(self, todo: Sequence[_Single]) -> None:
        """Predict into stores, each of which is complete when its last item is answered.

        With more devices than stores, several nets of the same weights look at parts of a dataset.
        """
        if not todo:
            return
        each = -(-len(self.workers.devices) // len(todo))
        work = [(one, run) for one in todo for run in spread(len(one.store.parent), each)]
        pieces = [
            Piece(one.label, lambda device, one=one, run=run: self._found(one, run, device))  # type: ignore[misc]
            for one, run in work
        ]
        left = {one.store.path: len(one.store.parent) for one in todo}
        words = todo[0].label if len(todo) == 1 else f"predicting with {len(todo)} nets"
        with tqdm(total=sum(left.values()), desc=words, leave=False, disable=self.asking.hides_bars) as bar:

            def take(number: int, answer: tuple[int, bytes]) -> None:
                store = work[number][0].store
                store.put(*answer)
                left[store.path] -= 1
                if not left[store.path]:
                    store.commit()
                bar.update()

            try:
                self.workers.run(pieces, take)
            finally:
                for one in todo:
                    if left[one.store.path]:
                        one.store.abandon()

    def _found(self, one: _Single, run: range, device: str) -> Iterator[tuple[int, bytes]]:
        """Give position and packed detections of some items of a store's dataset."""
        source = one.store.parent
        model = self._net(one.files, one.fold, one.stage, device)
        for numbers in self._in_batches(run):
            images = [self.reader.image(source, number)[1] for number in numbers]
            for number, found in zip(numbers, model.detect(images), strict=True):
                yield number, pack(found)

    @cached_property
    def _model_digest(self) -> str:
        return digest(self.model.config.model.to_dict(), self.model.val_pipeline)

    @property
    def _fusion_mark(self) -> list[Any]:
        fusion = self.asking.fusion
        return [fusion.method, fusion.iou_threshold, VERSION, *([] if fusion.most is None else [fusion.most])]


class _Seen(NamedTuple):
    """What was found in some images of a folder, packed, and what is known of its files by then."""

    found: list[tuple[str, bytes]]
    reasons: dict[str, str]
    first_pages: list[str]
    images: int


def label_of(source: object) -> str:
    """Return a dataset's name as part of a file name."""
    name = getattr(source, "name", None) or source.__class__.__name__
    return re.sub(r"[^\w.]+", "_", str(name)).strip("_") or "dataset"
