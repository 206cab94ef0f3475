"""``PipelineConfig``: a Musket experiment that trains a MMDetection model.

It has the surface of ``musket_core.generic_config.GenericImageTaskConfig`` and overrides what images with
instances need: dataset, folds, stages, weights, summary. Names of methods that musket_core calls are its own.
"""

import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from musket_core import context, datasets
from musket_core.generic_config import GenericImageTaskConfig

from .checkpoints import HeadPolicy, class_dependent, localize_initial_weights, resolve_weights
from .data_sources import declared_dataset, project_modules
from .dataset import ItemReader, MusketDetectionDataset, check_sample
from .dialect import project_of
from .errors import ConfigError, DatasetError, nearest
from .files import ExperimentFiles, write_yaml
from .hooks import read_rows
from .launch.devices import choose_device
from .launch.executor import Executor, InProcessExecutor
from .metrics import metric_names
from .model_config import FinishedConfig, ModelRequest, prepare
from .properties import check_properties
from .reporting.summary import best_row, stage_summary
from .splits import (
    Fold,
    SplitRequest,
    fingerprint,
    make_folds,
    make_holdout,
    read_split,
    stratification_classes,
    write_split,
)
from .stage import DetectionStage


class DetectionFolds(datasets.DefaultKFoldedDataSet):
    """Folds as musket_core's ``FoldWork`` reads them: ``ds``, and ``indexes(fold, isTrain)`` into it."""

    def __init__(self, ds: Any, folds: Sequence[Fold], batch: int) -> None:
        self.ds = ds
        self.folds = list(folds)
        self.batchSize = batch
        self.aug: list = []
        self.transforms: list = []
        self.maxEpochSize = None
        self.positive: dict = {}


class PipelineConfig(GenericImageTaskConfig):
    """An experiment of the MMDetection dialect; see ``reference.md`` for its properties.

    Made by ``musket_core.generic.parse``. ``fit`` trains every fold and stage and writes ``summary.yaml``.

    Raises:
        ConfigError: A property is unknown, missing or wrong.
    """

    folds_count: int
    primary_metric: Any
    _dataset: Any

    def __init__(self, **properties: Any) -> None:
        checked = check_properties(properties)
        self._path: str | None = None
        super().__init__(**checked)
        self.all = {name: value for name, value in checked.items() if value is not None}
        self.separatePredictions = False
        self.flipPred = False
        self.needsSessionForPrediction = False
        self.dataset_clazz = DetectionFolds
        self.gpus = 1
        self.cache: Path | None = None
        self.expires: float | None = None
        self.refit = False
        self._split_of: tuple = ()
        self._announced: set = set()

    def _update_from_config(self, v: str, val: Any) -> Any:
        return [self.createStage(stage) for stage in val] if v == "stages" else val

    def createStage(self, x: dict) -> DetectionStage:
        """Return a stage, as musket_core asks for it."""
        return DetectionStage(x, self)

    # -- where the experiment lies ---------------------------------------------------------------------------

    @property
    def path(self) -> "str | None":
        """The experiment's YAML file, absolute."""
        return self._path

    @path.setter
    def path(self, value: "str | None") -> None:
        self._path = None if value is None else str(Path(value).absolute())

    @property
    def files(self) -> ExperimentFiles:
        """Names of the experiment's files."""
        if self._path is None:
            raise ConfigError("this config has no path: read it with generic.parse(path).")
        return ExperimentFiles(Path(self._path))

    def get_project_path(self) -> str:
        """Return the project's folder; outside a project, the YAML's own folder."""
        project = project_of(self.files.config)
        if project is None:
            above = (folder for folder in self.files.config.parents if (folder / "modules").is_dir())
            project = next(above, self.files.root)
        return str(project)

    def get_default_dataset_folder(self) -> str:
        """Return the folder that dataset providers run in."""
        if self.datasets_path is not None:
            return str((self.files.root / self.datasets_path).resolve())
        return str(Path(self.get_project_path()) / "data")

    @contextlib.contextmanager
    def _in_data_folder(self) -> Iterator[None]:
        """Run in the data folder, as providers expect, and come back: nothing outside notices."""
        context.context.projectPath = self.get_project_path()
        folder = Path(self.get_default_dataset_folder())
        if self.datasets_path is not None and not folder.is_dir():
            raise ConfigError(f"datasets_path {self.datasets_path!r} is no folder: {folder} was looked for.")
        before = Path.cwd()
        try:
            if folder.is_dir():
                os.chdir(folder)
            yield
        finally:
            os.chdir(before)

    # -- the dataset -----------------------------------------------------------------------------------------

    def parse_dataset(self, datasetName: "str | None" = None) -> Any:
        """Make the dataset that ``dataset`` declares, or the entry ``datasetName`` of ``datasets``.

        Raises:
            UserError: The declaration names no provider, or the provider failed.
        """
        declaration = self.dataset
        if datasetName is not None:
            if datasetName not in self.datasets:
                known = [*self.datasets, "train", "validation", "holdout"]
                raise ConfigError(f"{self.path}: there is no dataset {datasetName!r}{nearest(datasetName, known)}.")
            declaration = self.datasets[datasetName]
        if isinstance(declaration, str) and declaration in self.datasets:
            declaration = self.datasets[declaration]
        imports = [*self.imports, *project_modules(Path(self.get_project_path()))]
        with self._in_data_folder():
            made = declared_dataset(declaration, list(dict.fromkeys(imports)), self.files.config)
        if datasetName is not None and not hasattr(made, "name"):
            made.name = datasetName
        return made

    def get_dataset(self, dataSetName: "str | None" = None) -> Any:
        """Return the experiment's dataset, a part of it (``train``, ``validation``, ``holdout``), or a named one."""
        if dataSetName is None and self._dataset is None and self.dataset is None:
            raise ConfigError(f"{self.path}: no dataset: give the property dataset, or call fit(dataset).")
        return super().get_dataset(dataSetName)

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes: the dataset's own, else ``class 1``, ``class 2``, …"""
        return self._class_names

    @cached_property
    def _class_names(self) -> tuple[str, ...]:
        known = known_class_names(self._dataset)
        if self.classes is None:
            if known is None:
                raise ConfigError(
                    f"{self.path}: classes is missing, and the dataset does not name its CLASSES: give it."
                )
            return known
        if known is None:
            return tuple(f"class {number}" for number in range(1, self.classes + 1))
        if len(known) != self.classes:
            raise ConfigError(
                f"{self.path}: classes is {self.classes}, but the dataset names {len(known)} CLASSES "
                f"({', '.join(known[:5])}): make them agree, or leave classes out."
            )
        return known

    def reader(self) -> ItemReader:
        """Return how items of the dataset are read."""
        xyxy = getattr(type(_root(self._dataset)), "gives_xyxy", False)
        return ItemReader(
            classes=len(self.class_names()),
            bbox_order=self.bboxOrder or ("xyxy" if xyxy else "yxyx"),
            bbox_source=self.bboxSource or "dataset",
            needs_masks=self.finished().needs_masks,
        )

    # -- folds and holdout -----------------------------------------------------------------------------------

    def kfold(self, ds: Any = None, indeces: Any = None, batch: Any = None) -> DetectionFolds:
        """Return the folds of the dataset, the holdout left out; they are fixed on disk at the first call."""
        train, _, folds = self._split(ds)
        return DetectionFolds(train, folds, batch or self.imagesPerGpu)

    def hasHoldout(self) -> bool:
        """Say whether a part of the dataset is held out."""
        return self.testSplit > 0 or self._given_holdout(self._dataset) is not None

    def holdout(self, ds: Any = None) -> Any:
        """Return the part of the dataset that is held out."""
        held = self._split(ds)[1]
        if held is None:
            raise ConfigError(f"{self.path}: there is no holdout: set testSplit.")
        return held

    def train_without_holdout(self, ds: Any = None) -> Any:
        """Return the dataset without the part that is held out."""
        return self._split(ds)[0]

    def validation(self, ds: Any = None, foldNum: Any = 0) -> Any:
        """Return the validation part of a fold."""
        return self._part(ds, foldNum, "validation", is_train=False)

    def train(self, ds: Any = None, foldNum: Any = 0) -> Any:
        """Return the training part of a fold."""
        return self._part(ds, foldNum, "train", is_train=True)

    def _part(self, ds: Any, fold: Any, name: str, is_train: bool) -> Any:
        if isinstance(ds, int):
            ds, fold = None, ds
        number = fold[0] if isinstance(fold, list) else fold
        folds = self.kfold(ds)
        part = datasets.SubDataSet(folds.ds, folds.indexes(number, is_train))
        part.name = f"{name}{number}"
        return part

    def _given_holdout(self, ds: Any) -> Any:
        return self.holdoutArr if self.holdoutArr is not None else getattr(ds, "holdoutArr", None)

    def _split(self, ds: Any = None) -> tuple[Any, Any, list[Fold]]:
        """Return training dataset, holdout dataset or ``None``, and the folds as indices into the first."""
        ds = self.get_dataset() if ds is None else ds
        if self._split_of and self._split_of[0] is ds:
            return self._split_of[1]
        _check_length(ds)
        given_folds, given_holdout = getattr(ds, "folds", None), self._given_holdout(ds)
        request = SplitRequest(
            self.folds_count if given_folds is None else len(given_folds),
            self.validationSplit,
            self.random_state,
            self.stratified,
            self.testSplit,
            self.testSplitSeed,
        )
        mark = fingerprint(request, ds, [given_folds, given_holdout])
        self._check_split(mark)
        classes = stratification_classes(ds) if self.stratified and self._unknown_split(mark) else None
        train, held = self._holdout_split(ds, request, mark, given_holdout, classes)
        if held is not None and classes is not None:
            classes = [classes[index] for index in train.indexes]
        folds = self._fold_split(train, request, mark, given_folds, given_holdout, classes)
        self.folds_count = len(folds)
        self._split_of = (ds, (train, held, folds))
        return self._split_of[1]

    def _check_split(self, mark: str) -> None:
        """Refuse to mix weights trained on one split with another one."""
        if self.files.folds_split.exists() and self._unknown_split(mark) and self.files.trained():
            raise ConfigError(
                f"{self.files.folds_split} was made for another dataset, folds_count, testSplit, validationSplit, "
                "stratified or seed than the config has now, and weights were trained on it: put the config back, or "
                "train anew without --allow_resume."
            )

    def _unknown_split(self, mark: str) -> bool:
        return read_split(self.files.folds_split, mark) is None

    def _holdout_split(self, ds: Any, request: SplitRequest, mark: str, given: Any, classes: Any) -> tuple[Any, Any]:
        if not self.testSplit and given is None:
            return ds, None
        split = read_split(self.files.holdout_split, mark)
        if split is None:
            if given is not None:
                held = {int(index) for index in given}
                split = [index for index in range(len(ds)) if index not in held], sorted(held)
            else:
                split = make_holdout(len(ds), request, classes)
            write_split(self.files.holdout_split, split, mark)
        train, held_out = (datasets.SubDataSet(ds, indexes) for indexes in split)
        held_out.name = "holdout"
        if not len(train) or not len(held_out):
            raise DatasetError(
                f"testSplit {self.testSplit} of {len(ds)} items leaves {len(train)} to train on and {len(held_out)} "
                "held out, expected at least one each: change testSplit, or add items."
            )
        return train, held_out

    def _fold_split(
        self, train: Any, request: SplitRequest, mark: str, given: Any, given_holdout: Any, classes: Any
    ) -> list[Fold]:
        split = read_split(self.files.folds_split, mark)
        if split is None:
            if given is not None:
                split = _given_folds(given, train, given_holdout)
            else:
                split = make_folds(len(train), request, classes)
            write_split(self.files.folds_split, split, mark)
        return [(list(fold[0]), list(fold[1])) for fold in split]

    # -- model and weights -----------------------------------------------------------------------------------

    def finished(self) -> FinishedConfig:
        """Return the native config with everything but the schedule set; read once."""
        return self._finished

    @cached_property
    def _finished(self) -> FinishedConfig:
        return prepare(
            ModelRequest(
                config_path=self.configPath,
                base=self.files.root,
                class_names=self.class_names(),
                shape=self.shape,
                images_per_gpu=self.imagesPerGpu,
                workers_per_gpu=self.workersPerGpu,
                inference_batch=self.inference_batch,
                lr=self.lr,
                optimizer=self.optimizer,
                pretrained=self.pretrained,
                native_pipeline=self.nativePipeline,
                has_weights=self.weightsPath is not None,
                options=self.configOptions,
                amp=self.amp,
                device=self.device,
            )
        )

    @cached_property
    def device(self) -> str:
        """The device that trains: ``cuda:0`` where there is one, else ``cpu``."""
        return choose_device(self.gpus)

    def executor(self) -> Executor:
        """Return what runs training jobs."""
        return InProcessExecutor(self.device)

    def initial_weights(self) -> tuple["Path | None", HeadPolicy]:
        """Return the checkpoint that stage 0 starts from, and how its heads are taken."""
        return self._initial_weights

    @cached_property
    def _initial_weights(self) -> tuple["Path | None", HeadPolicy]:
        config = self.finished().config
        if self.weightsPath is None:
            localize_initial_weights(config, self.cache)
            return None, HeadPolicy()
        path = resolve_weights(self.weightsPath, self.files.root, self.cache)
        layout = class_dependent(config)
        return path, HeadPolicy(layout, self.resetHeads, self.class_names(), self.trustWeights)

    def createNet(self) -> FinishedConfig:
        """Return the prepared config: MMEngine's Runner builds the net of each stage from it."""
        return self.finished()

    def createOptimizer(self, lr: "float | None" = None) -> None:
        """Return nothing: the optimizer is part of the prepared config."""

    def compile(self, net: FinishedConfig, opt: Any, loss: Any = None) -> FinishedConfig:
        """Return the net as it is: MMDetection models bring their losses."""
        return net

    def skip_stage(self, i: int, model: Any, s: int, subsample: float) -> None:
        """Do nothing: a stage finds the weights of the one before it on disk."""

    def inject_task_specific_transforms(self, ds: Any, transforms: list) -> Any:
        """Return the dataset as it is: the native pipeline resizes."""
        return ds

    def announce_once(self, stage: int, decisions: Sequence[str]) -> None:
        """Print what was decided for a stage, the first time it comes up; lines already printed are left out."""
        for line in decisions:
            key = (stage if line.startswith(("schedule", "learning rate:")) else None, line)
            if key not in self._announced:
                self._announced.add(key)
                where = f"stage {stage}: " if key[0] is not None else ""
                print(f"  {where}{line}")  # noqa: T201

    # -- training --------------------------------------------------------------------------------------------

    def check(self, dataset: Any = None) -> None:
        """Check everything that can be checked before training: config, weights, metrics, folds, items.

        Raises:
            UserError: What is wrong, in one sentence.
        """
        if dataset is not None and dataset is not self._dataset:
            self._dataset = dataset
            self._split_of = ()
        dataset = self.get_dataset()
        _check_length(dataset)
        self._check_metrics()
        self.initial_weights()
        check_sample(dataset, range(len(dataset)), self.reader())

    def validate(self) -> None:
        """Check the experiment, as musket_core's validation task asks."""
        self.check()

    def fit(
        self,
        dataset_: Any = None,
        subsample: float = 1.0,
        foldsToExecute: "Sequence[int] | None" = None,
        start_from_stage: int = 0,
        drawingFunction: Any = None,
        parallel: bool = False,
    ) -> Any:
        """Train every fold and stage, then write ``summary.yaml``.

        Args:
            dataset_: A Musket dataset, or a function that returns one; by default what ``dataset`` declares.
            subsample: Share of each fold's training items to use.
            foldsToExecute: Numbers of the folds to train; all by default.
            start_from_stage: The first stage to train; earlier ones must have been trained.
            drawingFunction: Not used.
            parallel: Return musket_core tasks instead of training at once.

        Raises:
            UserError: What is wrong, in one sentence; nothing trained before is touched by it.
        """
        if self.files.summary.exists() and not (self.refit or self.resume):
            raise ConfigError(
                f"{self.files.root} is finished, it has a summary.yaml: fit it again with the command musket fit, "
                "which keeps the old run, or delete that file."
            )
        if callable(dataset_) and not hasattr(dataset_, "__len__"):
            dataset_ = dataset_()
        with contextlib.ExitStack() as stack:
            if dataset_ is None:
                self.get_dataset()
                stack.enter_context(self._in_data_folder())
            self.check(dataset_)
            if foldsToExecute:
                self.kfold()
                self._check_folds(foldsToExecute)
            if not self.resume and not start_from_stage:
                self._make_room(foldsToExecute)
            self.kfold()
            return super().fit(
                self.get_dataset(), subsample, foldsToExecute, start_from_stage, drawingFunction, parallel=parallel
            )

    def generateReports(self, foldsToExecute: "Sequence[int] | None" = None, subsample: float = 1.0) -> None:
        """Compute the summary of the trained folds, then write it, whole."""
        if self.canceled_by_timer:
            return
        folds = list(foldsToExecute) if foldsToExecute else self._folds()
        summary = {
            "completed": True,
            "cfgName": self.files.config.name,
            "subsample": subsample,
            "folds": folds,
            **self.createSummary(folds, subsample),
        }
        write_yaml(self.files.summary, summary)

    def createSummary(self, foldsToExecute: Sequence[int], subsample: float) -> dict:
        """Return the metrics of each stage, and under ``allStages`` those of the last one, over the folds."""
        stages = []
        for number in range(len(self.stages)):
            best = [best_row(self._rows(fold, number), self.primary_metric, self.better) for fold in foldsToExecute]
            held_out = [self._on_holdout(fold, number) for fold in foldsToExecute] if self.hasHoldout() else []
            stages.append(stage_summary(best, held_out))
        return {"stages": stages, "allStages": {name: _copied(value) for name, value in stages[-1].items()}}

    def _folds(self) -> list[int]:
        """Return the folds whose last stage has weights."""
        last = len(self.stages) - 1
        count = self.folds_count
        return [fold for fold in range(count) if self.files.stage(fold, last).best_weights.exists()]

    def _rows(self, fold: int, stage: int) -> list:
        rows = read_rows(self.files.stage(fold, stage).metrics)
        if not rows:
            raise ConfigError(
                f"fold {fold} stage {stage} is not trained: {self.files.stage(fold, stage).metrics} has no epoch."
            )
        return rows

    def _on_holdout(self, fold: int, stage: int) -> dict:
        from .evaluation import evaluate, load_detector

        finished, held = self.finished(), self.holdout()
        dataset = MusketDetectionDataset(
            held, range(len(held)), self.reader(), finished.val_pipeline, self.class_names(), training=False
        )
        weights = self.files.stage(fold, stage).best_weights

        def job(device: str) -> dict:
            detector = load_detector(finished.config, weights, device)
            batch = self.inference_batch or self.imagesPerGpu
            description = f"holdout, fold {fold} stage {stage}"
            return evaluate(detector, dataset, batch, finished.needs_masks, description)

        return self.executor().run(job)

    def _make_room(self, folds: "Sequence[int] | None") -> None:
        """Put what an earlier run of these folds trained aside, so that a fresh one never overwrites it."""
        archived = self.files.archive(folds or None)
        self._split_of = ()
        if archived is not None:
            print(f"  the weights of an earlier run are kept in {archived}")  # noqa: T201

    def _check_folds(self, wanted: "Sequence[int] | None") -> None:
        for fold in wanted or ():
            if not 0 <= fold < self.folds_count:
                raise ConfigError(f"fold {fold} was asked for, but there are folds 0 to {self.folds_count - 1}.")

    # -- metrics ---------------------------------------------------------------------------------------------

    def _check_metrics(self) -> None:
        """Settle ``primary_metric`` and check the names of metrics, before anything trains."""
        known = [*metric_names(self.finished().needs_masks), "loss"]
        if self.primary_metric is None:
            self.primary_metric = "val_coco_segm_mAP" if self.finished().needs_masks else "val_coco_bbox_mAP"
        for key in ("primary_metric", "experiment_result"):
            name = getattr(self, key)
            if name is not None and name.removeprefix("val_").removesuffix("_holdout") not in known:
                raise ConfigError(
                    f"{self.path}: {key} {name!r} is not known{nearest(name, known)}: use one of {known}."
                )
        if not self.primary_metric.startswith("val_"):
            self.primary_metric = f"val_{self.primary_metric}"

    def better(self, first: float, second: float) -> bool:
        """Say whether one value of the primary metric is better than another, as ``primary_metric_mode`` says."""
        mode = self.primary_metric_mode
        if mode == "auto":
            mode = "min" if "loss" in self.primary_metric else "max"
        return first < second if mode == "min" else first > second

    def result_of(self, summary: dict) -> float:
        """Return the number that stands for the whole experiment: ``experiment_result``, else the primary metric.

        Of a metric that was also measured on the holdout, the holdout's value; else the mean over folds.
        """
        self.get_dataset()
        self._check_metrics()
        name = (self.experiment_result or self.primary_metric).removeprefix("val_")
        values = summary["allStages"]
        value = values.get(f"{name}_holdout", values.get(name, math.nan))
        return float(value["mean"] if isinstance(value, dict) else value)

    # -- time ------------------------------------------------------------------------------------------------

    def expired(self) -> bool:
        """Say whether the time given to the experiment is over."""
        cancelled = self._reporter is not None and self._reporter.isCanceled()
        return cancelled or (self.expires is not None and time.monotonic() > self.expires)


def known_class_names(dataset: Any) -> "tuple[str, ...] | None":
    """Return the class names that a dataset's root gives in ``meta()["CLASSES"]``, ``None`` where it gives none."""
    meta = getattr(_root(dataset), "meta", None)
    if meta is None or not callable(meta):
        return None
    try:
        names = meta().get("CLASSES")
    except (TypeError, ValueError, AttributeError):
        return None  # musket_core's own DataSet.meta wants an item and raises
    return None if names is None else tuple(str(name) for name in names)


def _root(dataset: Any) -> Any:
    return dataset.root() if hasattr(dataset, "root") else dataset


def _check_length(dataset: Any) -> None:
    if not len(dataset):
        raise DatasetError("the dataset is empty: expected at least one item to train on.")


def _given_folds(given: Any, train: Any, holdout: Any) -> list[Fold]:
    """Return folds that came with a dataset, as indices into what is left of it without the holdout."""
    if holdout is None:
        return [([int(i) for i in fold[0]], [int(i) for i in fold[1]]) for fold in given]
    place = {index: position for position, index in enumerate(train.indexes)}
    return [
        ([place[int(i)] for i in fold[0] if int(i) in place], [place[int(i)] for i in fold[1] if int(i) in place])
        for fold in given
    ]


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value
