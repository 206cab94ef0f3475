"""``PipelineConfig``: a Musket experiment that trains a MMDetection model.

It has the surface of ``musket_core.generic_config.GenericImageTaskConfig`` and overrides what images with
instances need: dataset, folds, stages, weights, summary. Names of methods that musket_core calls are its own.
"""

import contextlib
import copy
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from musket_core.generic_config import GenericImageTaskConfig

from ..config.loader import project_of
from ..config.schema import check_properties, shapes_of
from ..data.augmentation.declaration import Surroundings
from ..data.augmentation.properties import DECLARED, ItemAugmenters
from ..data.class_names import known_class_names
from ..data.consistency import Sampled, check_items, notes_on_counts, notes_on_sizes
from ..data.cross_validation import DetectionFolds, Folding, check_length, root_of
from ..data.data_folder import DataFolder, FolderDataSet
from ..data.item_reader import ItemReader
from ..data.providers import declared_dataset, project_modules
from ..errors import ConfigError, nearest
from ..inference.predictor import Predicting
from ..inference.trained_folds import TrainedFolds
from ..launch.deadline import Deadline
from ..launch.devices import devices_for
from ..launch.executors import Executor, executor_for
from ..launch.torchrun import joined
from ..models.checkpoints import read_checkpoint
from ..models.finished_config import FinishedConfig
from ..models.initial_weights import localize_initial_weights, resolve_weights
from ..models.prepare import ModelRequest, detection_limits, prepare
from ..models.schedule import iterations_of, schedule
from ..models.transfer import HeadPolicy, class_dependent
from ..storage.experiment_files import ExperimentFiles
from ..text import printable
from ..training.build_check import check_buildable
from ..training.detection_dataset import MusketDetectionDataset
from .evaluator import Scoring
from .seeds import Seeding
from .stage import DetectionStage
from .trainer import Fitting


class PipelineConfig(Fitting, Folding, Seeding, Predicting, Scoring, GenericImageTaskConfig):
    """An experiment of the MMDetection dialect; see ``reference.md`` for its properties.

    Made by ``musket_core.generic.parse``. ``fit`` trains every fold and stage and writes ``summary.yaml``.

    Raises:
        ConfigError: A property is unknown, missing or wrong.
    """

    folds_count: int
    primary_metric: Any
    canceled_by_timer: bool
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
        self.joined = joined()
        self.gpus = 1 if self.joined is None else self.joined.place.size
        self.cache: Path | None = None
        self.expires: float | None = None
        self.deadline = Deadline()
        self.refit = False
        self.break_lock = False
        self.within_lock: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
        self._split_of: tuple = ()
        self._given = False
        self._named: tuple[Any, tuple[str, ...] | None] | None = None
        self._prepared: tuple[ModelRequest, FinishedConfig] | None = None
        self._start: tuple[FinishedConfig, tuple[Path | None, HeadPolicy]] | None = None
        self.lease: list[str] = []
        self.num_gpus = self.num_workers = 1
        self.cluster: str | None = None
        self._announced: set = set()
        self._augmenters: dict[str, tuple] = {}

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
            project = next(above, self.files.base)
        return str(project)

    def get_default_dataset_folder(self) -> str:
        """Return the folder that dataset providers run in."""
        if self.datasets_path is not None:
            return str((self.files.base / self.datasets_path).resolve())
        return str(Path(self.get_project_path()) / "data")

    def _data_folder(self) -> DataFolder:
        """Return the folder that the dataset is made and read in; the current one where the project has none."""
        project, folder = Path(self.get_project_path()), Path(self.get_default_dataset_folder())
        if self.datasets_path is not None and not os.path.isdir(folder):  # noqa: PTH112 - Path's raises on long names
            raise ConfigError(f"datasets_path {self.datasets_path!r} is no folder: {folder} was looked for.")
        return DataFolder(folder if folder.is_dir() else Path.cwd(), project)

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
        folder = self._data_folder()
        with folder.entered():
            made: Any = declared_dataset(declaration, list(dict.fromkeys(imports)), self.files.config)
        if datasetName is not None and not hasattr(made, "name"):
            made.name = datasetName
        return FolderDataSet(made, folder)

    def get_dataset(self, dataSetName: "str | None" = None) -> Any:
        """Return the experiment's dataset, a part of it (``train``, ``validation``, ``holdout``), or a named one."""
        if dataSetName is None and self._dataset is None and self.dataset is None:
            raise ConfigError(f"{self.path}: no dataset: give the property dataset, or call fit(dataset).")
        return super().get_dataset(dataSetName)

    def trained(self) -> TrainedFolds:
        """Return what is trained, seeds included."""
        files = [self.files.of_seed(number) for number in range(self.num_seeds or 0)] or [self.files]
        return TrainedFolds(files, len(self.stages), self._known_folds, self.path)

    def _known_folds(self) -> int:
        if self._dataset is not None:
            self.kfold()  # a dataset's own folds decide how many there are
        return self.folds_count

    def _asked_dataset(self) -> Any:
        """Return the dataset if it was asked for; where weights do not tell what only it knows, it is asked now."""
        if self._dataset is None and self.dataset is not None:
            trained = self.trained()
            if trained.class_names() is None or (trained.bbox_order() or self.bboxOrder) is None:
                return self.get_dataset()
        return self._dataset

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes.

        They are those of the dataset once that was asked for, until then those of trained weights, which need none;
        where neither names them, ``class 1``, ``class 2``, …
        """
        dataset = self._asked_dataset()
        if self._named is None or self._named[0] is not dataset:
            self._named = dataset, known_class_names(dataset)
        known, whose = self._named[1], "the dataset names"
        if dataset is None:
            known, whose = self.trained().class_names(), f"the weights in {self.files.root / 'weights'} have"
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
                f"{self.path}: classes is {self.classes}, but {whose} {len(known)} CLASSES "
                f"({', '.join(known[:5])}): make them agree, or leave classes out."
            )
        return known

    @property
    def item_augmenters(self) -> ItemAugmenters:
        """What items go through before the native pipeline, as ``augmentation`` and ``transforms`` are now.

        Raises:
            ConfigError: One of them declares what there is not, or what masks cannot follow.
        """
        return ItemAugmenters(*(self.augmenters_of(key) for key in ("augmentation", "transforms")))

    def augmenters_of(self, key: str) -> Any:
        """Return what ``augmentation`` or ``transforms`` declares, built anew when it was changed; ``None``: nothing.

        Raises:
            ConfigError: It declares what there is not, or what masks cannot follow.
        """
        declared = getattr(self, key)
        if key not in self._augmenters or self._augmenters[key][0] != declared:
            project = Path(self.get_project_path())
            folders = dict.fromkeys((self.files.base, project, Path(self.get_default_dataset_folder())))
            around = Surroundings(tuple(folders), lambda: [*self.imports, *project_modules(project)])
            self._augmenters[key] = copy.deepcopy(declared), DECLARED[key](declared, around)
        return self._augmenters[key][1]

    def reader(self) -> ItemReader:
        """Return how items of the dataset are read."""
        dataset = self._asked_dataset()
        order = "xyxy" if getattr(root_of(dataset), "gives_xyxy", False) else "yxyx"
        if dataset is None:
            order = self.trained().bbox_order() or order
        return ItemReader(
            classes=len(self.class_names()),
            bbox_order=self.bboxOrder or order,
            bbox_source=self.bboxSource or "dataset",
            needs_masks=self.finished().needs_masks,
        )

    # -- model and weights -----------------------------------------------------------------------------------

    def finished(self) -> FinishedConfig:
        """Return the native config with everything but the schedule set; read once while nothing of it changes."""
        request = ModelRequest(
            config_path=self.configPath,
            base=self.files.base,
            class_names=self.class_names(),
            shapes=shapes_of(self.shape),
            multiscale_mode=self.multiscaleMode or "value",
            manual_resize=self.manualResize,
            images_per_gpu=self.imagesPerGpu,
            workers_per_gpu=self.workersPerGpu,
            inference_batch=self.inference_batch,
            lr=self.lr,
            optimizer=self.optimizer,
            pretrained=self.pretrained,
            native_pipeline=self.nativePipeline,
            has_weights=self.weightsPath is not None,
            trust_weights=self.trustWeights,
            options=self.configOptions,
            amp=self.amp,
            device=self.device.partition(":")[0],
            world_size=self.gpus,
        )
        if self._prepared is None or self._prepared[0] != request:
            self._prepared = copy.deepcopy(request), prepare(request)
        return self._prepared[1]

    @cached_property
    def device(self) -> str:
        """The device that trains: ``cuda:0`` where there is one, else ``cpu``."""
        return self.devices()[0]

    def devices(self) -> list[str]:
        """Return the devices of this machine that train one net: those of the lease, else the first ``gpus``."""
        if self.joined is not None:
            return [self.joined.device]
        return self.lease or devices_for(self.gpus)

    def executor(self) -> Executor:
        """Return what runs training jobs."""
        if self.joined is not None:
            return self.joined
        return executor_for(self.devices())

    def initial_weights(self) -> tuple["Path | None", HeadPolicy]:
        """Return the checkpoint that stage 0 starts from, and how its heads are taken."""
        finished = self.finished()
        if self._start is None or self._start[0] is not finished:
            self._start = finished, self._start_of(finished)
        return self._start[1]

    def _start_of(self, finished: FinishedConfig) -> tuple["Path | None", HeadPolicy]:
        config = finished.config
        localize_initial_weights(config, self.cache)
        if self.weightsPath is None:
            return None, HeadPolicy()
        path = resolve_weights(self.weightsPath, self.files.base, self.cache)
        read_checkpoint(path, self.trustWeights)  # what is wrong with it is told before anything is moved or trained
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
                print(f"  {where}{printable(line)}")  # noqa: T201

    # -- checking --------------------------------------------------------------------------------------------

    def check(self, dataset: Any = None) -> None:
        """Check everything that can be checked before training: config, weights, metrics, folds, items.

        Raises:
            UserError: What is wrong, in one sentence.
        """
        if dataset is not None and dataset is not self._dataset:
            self._dataset, self._given = dataset, True
            self._split_of = ()
        dataset = self.get_dataset()
        check_length(dataset)
        self._check_metrics()
        self.initial_weights()
        sampled = check_items(dataset, self.reader())
        self.check_split(dataset)
        if not self.files.is_of_seed:
            self._check_parts(dataset, sampled)

    def _check_parts(self, dataset: Any, sampled: Sampled) -> None:
        """Prove that model, optimizer, schedules, hooks, loaders, pipelines and metric of every stage can be built."""
        finished, reader, names = self.finished(), self.reader(), self.class_names()
        iterations = iterations_of(finished.config, len(dataset), self.gpus)
        plans = [schedule(finished, stage.epochs, iterations, stage.lr) for stage in self.stages]
        items = range(len(dataset))
        self.item_augmenters.check_files()
        train, val = (
            MusketDetectionDataset(
                dataset, items, reader, pipeline, names, training=training, augmenters=self.item_augmenters
            )
            for pipeline, training in ((finished.train_pipeline, True), (finished.val_pipeline, False))
        )
        notes = check_buildable(plans, train, val, *self.initial_weights())
        notes += notes_on_sizes(val, sampled) + notes_on_counts(sampled, detection_limits(finished.config.model))
        self.announce_once(0, [f"note: {line}" for line in (*sampled.notes, *notes)])

    def validate(self) -> None:
        """Check the experiment, as musket_core's validation task asks."""
        self.check()
