"""``PipelineConfig``: a Musket experiment that trains a MMDetection model.

It has the surface of ``musket_core.generic_config.GenericImageTaskConfig`` and overrides what images with
instances need: dataset, folds, stages, weights, summary. Names of methods that musket_core calls are its own.
"""

import copy
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..config.schema import check_properties
from ..data.augmentation.properties import ItemAugmenters
from ..data.catalog import BUILT_IN, DatasetCatalog, ProjectPaths
from ..data.cross_validation import DetectionFolds, check_length
from ..data.item_cache import ItemCache
from ..data.item_reader import ItemReader
from ..data.protocols import Dataset, Part
from ..data.training_members import Positives
from ..errors import ConfigError
from ..inference.predictor import KeptNet
from ..inference.trained_folds import TrainedFolds
from ..launch.executors import Executor
from ..launch.torchrun import torchrun_executor
from ..models.finished_config import FinishedConfig
from ..models.transfer import HeadPolicy
from ..storage.experiment_files import ExperimentFiles
from ..training.callbacks.making import CallbackPlan
from .announcer import Announcer
from .assembly import Assembly, ExperimentParts, Shared, plain
from .attributes import PROPERTY_NAMES, check_attribute
from .callback_source import CallbackSource
from .checks import check_parts
from .evaluator import GroundTruths
from .outcome_methods import OutcomeMethods
from .rate_finder import RateRequest, find_rates
from .run_arguments import TrainRequest, checked_dataset, is_fold, refuse_upstream
from .run_options import RunAttribute, RunOptions
from .seeds import SeedRuns
from .stage import DetectionStage
from .stage_work import check_stage_items
from .summary_writer import write_summaries
from .trainer import ExperimentTrainer


class PipelineConfig(OutcomeMethods):
    """An experiment of the MMDetection dialect; see ``reference.md`` for its properties.

    Made by ``musket_core.generic.parse``. ``fit`` trains every fold and stage and writes ``summary.yaml``. Properties
    are attributes that can be set at any time: the next call goes by what they are then.

    Raises:
        ConfigError: A property is unknown, missing or wrong.
    """

    gpus = RunAttribute("gpus_per_net")
    num_gpus = RunAttribute("num_gpus")
    num_workers = RunAttribute("num_workers")
    lease = RunAttribute("lease")
    joined = RunAttribute("joined")
    cluster = RunAttribute("cluster")
    cache = RunAttribute("cache")
    resume = RunAttribute("resume")
    refit = RunAttribute("replace_finished")
    break_lock = RunAttribute("break_lock")
    expires = RunAttribute("expires")
    _reporter = RunAttribute("reporter")
    within_lock = RunAttribute("within_lock")
    _is_made = False

    def __init__(self, **properties: Any) -> None:
        checked = check_properties(properties)
        self._path: str | None = None
        self._shared = Shared(RunOptions(), Announcer(), GroundTruths(self.reader))
        self._kept_net = KeptNet()
        self._assembly, self._seeds = Assembly(), SeedRuns(self._of_seed)
        super().__init__(**checked)
        self.all = {name: value for name, value in checked.items() if value is not None}
        self.separatePredictions = self.flipPred = self.needsSessionForPrediction = False
        self.dataset_clazz = DetectionFolds
        group = torchrun_executor()
        self.run = RunOptions(joined=group, gpus_per_net=1 if group is None else group.place.size)
        self._written = copy.deepcopy(self.properties())
        self._is_made = True

    def __setattr__(self, name: str, value: Any) -> None:
        value = check_attribute(self, name, value) if self._is_made else value
        super().__setattr__(name, self._update_from_config(name, value) if self._is_made else value)

    def _update_from_config(self, v: str, val: Any) -> Any:
        return [self.createStage(stage) for stage in val] if v == "stages" else val

    def createStage(self, x: dict[str, Any]) -> DetectionStage:
        """Return a stage, as musket_core asks for it."""
        return DetectionStage(x, self)

    def join(self, holdout: Any, announcer: Announcer, datasets: DatasetCatalog) -> None:
        """Belong to another experiment, as a trial of a search does: share its holdout, announcer and datasets."""
        self.holdoutArr: Any = holdout
        self._shared.announcer, self._shared.datasets = announcer, datasets

    # -- what it is made of ----------------------------------------------------------------------------------

    @property
    def run(self) -> RunOptions:
        """What a run is asked for beside the properties; the seeds have it in common."""
        return self._shared.run

    @run.setter
    def run(self, options: RunOptions) -> None:
        self._shared.run = options

    def properties(self) -> dict[str, Any]:
        """Return the value of each property, as it is now."""
        stages = [stage.properties() for stage in self.stages]
        return {name: stages if name == "stages" else getattr(self, name) for name in PROPERTY_NAMES}

    @property
    def parts(self) -> ExperimentParts:
        """The objects that do the work, made of what the properties are now."""
        return self._assembly.parts(self.properties(), self.holdoutArr, self.files, self._shared)

    def members(self) -> "list[PipelineConfig]":
        """Return the configs that are trained: one for each seed, or just this one."""
        return self.seeds() or [self]

    def seeds(self) -> "list[PipelineConfig]":
        """Return the configs of the single seeds; none without ``num_seeds``."""
        return self._seeds.configs(self.properties(), self._written, self.files, plain(self.holdoutArr))

    def _of_seed(self, properties: dict[str, Any], files: ExperimentFiles) -> "PipelineConfig":
        member = PipelineConfig(**properties)
        member.path, member.holdoutArr = str(files.config), self.holdoutArr
        member._shared = self._shared
        self.parts  # makes the datasets that they share  # noqa: B018
        return member

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

    def _paths(self) -> ProjectPaths:
        return ProjectPaths.of(self.files.config, self.files.base, self.datasets_path)

    def get_project_path(self) -> str:
        """Return the project's folder; outside a project, the YAML's own folder."""
        return str(self._paths().project)

    def get_default_dataset_folder(self) -> str:
        """Return the folder that dataset providers run in."""
        return str(self._paths().data)

    # -- datasets and their parts ----------------------------------------------------------------------------

    def use_dataset(self, dataset: "Dataset | None") -> None:
        """Train on this dataset, in place of the one that ``dataset`` declares."""
        datasets = self.parts.datasets
        if dataset is not datasets.known and dataset is not datasets.given:
            self._shared.datasets = DatasetCatalog(datasets.settings, datasets.paths, dataset)

    @property
    def _dataset(self) -> "Dataset | None":
        """The dataset to train on, where it was given or made already, by its name in musket_core."""
        return self.parts.datasets.known

    @_dataset.setter
    def _dataset(self, dataset: "Dataset | None") -> None:
        if self._is_made:
            self.use_dataset(dataset)

    def parse_dataset(self, datasetName: "str | None" = None) -> Dataset:
        """Make the dataset that ``dataset`` declares, or the entry ``datasetName`` of ``datasets``.

        Raises:
            UserError: The declaration names no provider, or the provider failed.
        """
        return self.parts.datasets.make(datasetName)

    def get_dataset(self, dataSetName: "str | None" = None) -> Dataset:
        """Return the experiment's dataset, a part of it (``train``, ``validation``, ``holdout``), or a named one."""
        if dataSetName is None:
            return self.parts.datasets.main()
        if not isinstance(dataSetName, str) or dataSetName not in BUILT_IN:
            return self.parts.datasets.named(dataSetName)
        return self.holdout() if dataSetName == "holdout" else self._part(dataSetName, None, 0)

    def kfold(self, ds: "Dataset | None" = None, indeces: Any = None, batch: "int | None" = None) -> DetectionFolds:
        """Return the folds of the dataset, the holdout left out; they are fixed on disk at the first call."""
        parts = self.parts
        return parts.training.of(parts.folds.of(self._or_own(ds)), batch or parts.model.images_per_gpu)

    def hasHoldout(self) -> bool:
        """Say whether a part of the dataset is held out."""
        declared = isinstance(self.dataset, dict) and "holdout" in self.dataset
        return declared or self.parts.folds.has_holdout(self.parts.datasets.known)

    def holdout(self, ds: "Dataset | None" = None) -> Dataset:
        """Return the part of the dataset that is held out."""
        held = self.parts.folds.of(self._or_own(ds)).holdout
        if held is None:
            raise ConfigError(f"{self.path}: there is no holdout: set testSplit.")
        return held

    def train_without_holdout(self, ds: "Dataset | None" = None) -> Dataset:
        """Return the dataset without the part that is held out."""
        return self.parts.folds.of(self._or_own(ds)).train

    def validation(self, ds: "Dataset | int | None" = None, foldNum: "int | list[int]" = 0) -> Part:
        """Return the validation part of a fold."""
        return self._part("validation", ds, foldNum)

    def train(self, ds: "Dataset | int | None" = None, foldNum: "int | list[int]" = 0) -> Part:
        """Return the training part of a fold."""
        return self._part("train", ds, foldNum)

    def _part(self, kind: str, ds: Any, fold: "int | list[int]") -> Part:
        if is_fold(ds):
            return self._part(kind, None, ds)
        return self.parts.folds.part(self._or_own(ds), kind, fold)

    def _or_own(self, ds: "Dataset | None") -> Dataset:
        return self.get_dataset() if ds is None else self.preprocessed(checked_dataset(ds))

    def preprocessed(self, dataset: Dataset) -> Dataset:
        """Return a dataset as it is after ``preprocessing``; itself where there is none, or it has gone through it."""
        return self.parts.datasets.preprocessed(dataset)

    def image_steps(self) -> Any:
        """Return what images of folders go through before they are predicted on; see ``DatasetCatalog.image_steps``."""
        return self.parts.datasets.image_steps()

    def fold_count(self) -> int:
        """Return how many folds there are: of the dataset, where it was asked for, else ``folds_count``, or trained."""
        parts = self.parts
        return max(parts.folds.count(parts.datasets.known), *(number + 1 for number in parts.trained.begun()), 1)

    def labels(self) -> "ItemCache[set[int]]":
        """Return the labels in each item of the dataset; an item is read for all folds, stages and seeds once."""
        return self.parts.datasets.labels

    @property
    def ground_truths(self) -> GroundTruths:
        """What is there in the items, and what tells datasets apart; the seeds have it in common."""
        return self._shared.truths

    def positives(self) -> Positives:
        """Return which items of the dataset have objects."""
        return self.parts.datasets.positives

    def trained(self) -> TrainedFolds:
        """Return what is trained, seeds included."""
        return self.parts.trained

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes.

        They are those of the dataset once that was asked for, until then those of trained weights, which need none;
        where neither names them, ``class 1``, ``class 2``, …
        """
        return self.parts.classes.class_names()

    @property
    def item_augmenters(self) -> ItemAugmenters:
        """What items go through before the native pipeline, as ``augmentation`` and ``transforms`` are now."""
        return self.parts.augmentation.both()

    def augmenters_of(self, key: str) -> Any:
        """Return what ``augmentation`` or ``transforms`` declares; ``None``: nothing.

        Raises:
            ConfigError: It declares what there is not, or what masks cannot follow.
        """
        return self.parts.augmentation.of(key)

    def reader(self) -> ItemReader:
        """Return how items of the dataset are read."""
        parts = self.parts
        return parts.classes.reader(parts.model.prepared.needs_masks)

    # -- model and weights -----------------------------------------------------------------------------------

    def finished(self) -> FinishedConfig:
        """Return the native config with everything but the schedule set; read once."""
        return self.parts.model.prepared

    @property
    def device(self) -> str:
        """The device that trains: ``cuda:0`` where there is one, else ``cpu``."""
        return self.run.devices()[0]

    def executor(self) -> Executor:
        """Return what runs training jobs."""
        return self.run.executor()

    def initial_weights(self) -> tuple["Path | None", HeadPolicy]:
        """Return the checkpoint that stage 0 starts from, and how its heads are taken."""
        return self.parts.model.start

    def createNet(self) -> FinishedConfig:
        """Return the prepared config: MMEngine's Runner builds the net of each stage from it."""
        return self.finished()

    def callback_plan(self, stage: int) -> CallbackPlan:
        """Return the callbacks of a stage, looked up and checked; see ``CallbackSource.of``."""
        source = CallbackSource(self.parts.settings, self.parts.datasets)
        return source.of(stage, self.metric_selection(), self.finished().needs_masks, self.known_metrics())

    def callback_plans(self) -> list[CallbackPlan]:
        """Return the callbacks of each stage."""
        return [self.callback_plan(number) for number in range(len(self.stages))]

    def createOptimizer(self, lr: "float | None" = None) -> None:
        """Return nothing: the optimizer is part of the prepared config."""

    def compile(self, net: FinishedConfig, opt: Any, loss: Any = None) -> FinishedConfig:
        """Return the net as it is: MMDetection models bring their losses."""
        return net

    def skip_stage(self, i: int, model: Any, s: int, subsample: float) -> None:
        """Do nothing: a stage finds the weights of the one before it on disk."""

    def inject_task_specific_transforms(self, ds: Any, transforms: list[Any]) -> Any:
        """Return the dataset as it is: the native pipeline resizes."""
        return ds

    def announce_once(self, stage: int, decisions: Sequence[str]) -> None:
        """Print what was decided for a stage, the first time it comes up; lines already printed are left out."""
        self._shared.announcer.announce(stage, decisions)

    # -- training --------------------------------------------------------------------------------------------

    def fit(
        self,
        dataset_: Any = None,
        subsample: float = 1.0,
        foldsToExecute: "Sequence[int] | None" = None,
        start_from_stage: int = 0,
        drawingFunction: Any = None,
        parallel: bool = False,
    ) -> None:
        """Train every fold and stage, then write ``summary.yaml``.

        Args:
            dataset_: A Musket dataset, or a function that returns one; by default what ``dataset`` declares.
            subsample: Share of each fold's training items to use.
            foldsToExecute: Numbers of the folds to train; all by default.
            start_from_stage: The first stage to train; earlier ones must have been trained.
            drawingFunction: Refused: pictures are drawn after each epoch.
            parallel: Refused: ``num_gpus`` and ``num_workers`` train folds at the same time.

        Raises:
            UserError: What is wrong, in one sentence; nothing trained before is touched by it.
        """
        if self.hyperparameters is not None:
            raise ConfigError("hyperparameters are searched where the YAML has them: read it with generic.parse(path).")
        request = TrainRequest.of(foldsToExecute, start_from_stage, subsample, len(self.stages))
        refuse_upstream(drawingFunction, parallel)
        if callable(dataset_) and not hasattr(dataset_, "__len__"):
            dataset_ = dataset_()
        if dataset_ is not None:
            self.use_dataset(dataset_)
        ExperimentTrainer(self).train(request)

    def lr_find(
        self,
        d: Any = None,
        foldsToExecute: "Sequence[int] | None" = None,
        stage: int = 0,
        subsample: float = 1.0,
        start_lr: float = 1e-6,
        end_lr: float = 1.0,
        epochs: int = 5,
    ) -> Any:
        """Return musket_core's ``LRFinder`` with the loss of each batch while the learning rate rises.

        Nothing is written, and what is trained afterwards is the same as without it; see ``find_rates``.

        Args:
            d: A dataset, or a function that returns one; by default what ``dataset`` declares.
            foldsToExecute: A list of one fold; by default the first.
            stage: The stage; one behind the first starts from the weights of the one before.
            subsample: Share of the fold's training items to use.
            start_lr: The first rate.
            end_lr: The rate that the last batch comes close to.
            epochs: Epochs over which the rate rises.

        Raises:
            UserError: What is wrong, in one sentence.
        """
        asked = RateRequest.of(foldsToExecute, stage, subsample, start_lr, end_lr, epochs, len(self.stages))
        before = self._shared.datasets
        try:
            if d is not None:
                self.use_dataset(d() if callable(d) and not hasattr(d, "__len__") else d)
            return find_rates(self, asked)
        finally:
            if d is not None:
                self._shared.datasets = before

    def generateReports(self, foldsToExecute: "Sequence[int] | None" = None, subsample: float = 1.0) -> None:
        """Compute the summary of the trained folds, then write it, whole."""
        if not self.canceled_by_timer:
            write_summaries(self, foldsToExecute or self.trained().folds(), subsample)

    # -- checking --------------------------------------------------------------------------------------------

    def check(self, dataset: "Dataset | None" = None, folds: "Sequence[int] | None" = None) -> None:
        """Check everything that can be checked before training: config, weights, metrics, folds, items.

        Args:
            dataset: The dataset to train on; by default what ``dataset`` declares.
            folds: Those that are to be trained; by default all.

        Raises:
            UserError: What is wrong, in one sentence.
        """
        if dataset is not None:
            self.use_dataset(dataset)
        check_length(self.get_dataset())
        self.metric_selection()
        announce, whole = partial(self.announce_once, 0), not self.files.is_of_seed
        check_parts(self.parts, self.callback_plans(), announce, whole=whole, folds=folds)
        if not self.files.is_of_seed:
            check_stage_items(self)

    def validate(self) -> None:
        """Check the experiment, as musket_core's validation task asks."""
        self.check()
