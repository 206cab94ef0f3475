"""``PipelineConfig``: a Musket experiment that trains a MMDetection model.

It has the surface of ``musket_core.generic_config.GenericImageTaskConfig`` and overrides what images with
instances need: dataset, folds, stages, weights, summary. Names of methods that musket_core calls are its own.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from musket_core import context
from musket_core.generic_config import FoldWork, GenericImageTaskConfig

from .checkpoints import HeadPolicy, class_dependent, localize_initial_weights, resolve_weights
from .data_sources import declared_dataset, project_modules
from .dataset import ItemReader, check_sample
from .dialect import project_of
from .errors import ConfigError, nearest
from .files import ExperimentFiles, read_yaml, remove_unfinished, write_text, write_yaml
from .folding import DetectionFolds, Folding, check_length, root_of
from .launch.cluster import train_on_cluster
from .launch.devices import devices_for, leases
from .launch.executor import Executor, GroupExecutor, InProcessExecutor
from .launch.lock import only_run
from .launch.side_by_side import raise_failures, side_by_side
from .launch.torchrun import Joined, joined
from .model_config import FinishedConfig, ModelRequest, prepare
from .predicting import Predicting
from .properties import check_properties
from .reporting.gallery import write_reports
from .reporting.progress import Display
from .scoring import Scoring
from .seeds import Seeding, label, summary_of_seeds
from .stage import DetectionStage


class PipelineConfig(Folding, Seeding, Predicting, Scoring, GenericImageTaskConfig):
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
        self.refit = False
        self._split_of: tuple = ()
        self._given = False
        self.lease: list[str] = []
        self.num_gpus = self.num_workers = 1
        self.cluster: str | None = None
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
            project = next(above, self.files.base)
        return str(project)

    def get_default_dataset_folder(self) -> str:
        """Return the folder that dataset providers run in."""
        if self.datasets_path is not None:
            return str((self.files.base / self.datasets_path).resolve())
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

    def _loaded(self) -> Any:
        """Return the dataset, made now if it is declared and was not asked for yet; ``None`` where there is none."""
        return self.get_dataset() if self._dataset is None and self.dataset is not None else self._dataset

    def reading(self) -> contextlib.AbstractContextManager:
        """Return a context in which items of a declared dataset find files by names relative to its folder."""
        return contextlib.nullcontext() if self._given or self.dataset is None else self._in_data_folder()

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes: the dataset's own, else ``class 1``, ``class 2``, …"""
        return self._class_names

    @cached_property
    def _class_names(self) -> tuple[str, ...]:
        known = known_class_names(self._loaded())
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
        xyxy = getattr(type(root_of(self._loaded())), "gives_xyxy", False)
        return ItemReader(
            classes=len(self.class_names()),
            bbox_order=self.bboxOrder or ("xyxy" if xyxy else "yxyx"),
            bbox_source=self.bboxSource or "dataset",
            needs_masks=self.finished().needs_masks,
        )

    # -- model and weights -----------------------------------------------------------------------------------

    def finished(self) -> FinishedConfig:
        """Return the native config with everything but the schedule set; read once."""
        return self._finished

    @cached_property
    def _finished(self) -> FinishedConfig:
        return prepare(
            ModelRequest(
                config_path=self.configPath,
                base=self.files.base,
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
                world_size=self.gpus,
            )
        )

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
        devices = self.devices()
        return InProcessExecutor(devices[0]) if len(devices) == 1 else GroupExecutor(devices)

    def initial_weights(self) -> tuple["Path | None", HeadPolicy]:
        """Return the checkpoint that stage 0 starts from, and how its heads are taken."""
        return self._initial_weights

    @cached_property
    def _initial_weights(self) -> tuple["Path | None", HeadPolicy]:
        config = self.finished().config
        if self.weightsPath is None:
            localize_initial_weights(config, self.cache)
            return None, HeadPolicy()
        path = resolve_weights(self.weightsPath, self.files.base, self.cache)
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
            self._dataset, self._given = dataset, True
            self._split_of = ()
        dataset = self.get_dataset()
        check_length(dataset)
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
            if self.joined is not None:
                stack.enter_context(self.joined.telling())
                self._join(self.joined)
                if not self.joined.place.is_first:
                    self._follow(self.joined, dataset_, subsample, foldsToExecute, start_from_stage)
                    return None
            stack.enter_context(only_run(self.files.root))
            remove_unfinished(self.files.root)
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
            for member in self.members():
                if member is not self:
                    stack.enter_context(only_run(member.files.root))
                    remove_unfinished(member.files.root)
                    if not self.resume and not start_from_stage:
                        member._make_room(foldsToExecute)
                    member.check()
                    member.kfold()
            if self.joined is not None:
                write_text(self.files.torchrun, self.joined.place.agent)
                self.joined.tell("prepared", "resume" if self.resume else "anew")
            if parallel:
                return super().fit(
                    self.get_dataset(), subsample, foldsToExecute, start_from_stage, drawingFunction, parallel=True
                )
            self._train_folds(subsample, foldsToExecute, start_from_stage)
            self.generateReports(foldsToExecute, subsample)
            if self.joined is not None:
                self.files.torchrun.unlink(missing_ok=True)
                self.joined.tell("reported")
            return None

    def _join(self, joined: Joined) -> None:
        """Begin a run of the processes that torchrun started; one that it has started again goes on."""
        if self.gpus != joined.place.size or self.num_gpus > joined.place.size or self.cluster is not None:
            raise ConfigError(
                f"torchrun started {joined.place.size} processes, which train one net together: leave gpus_per_net, "
                "num_gpus and cluster out."
            )
        restarted = joined.begin()
        mark = self.files.torchrun
        if joined.place.is_first and (restarted or (mark.exists() and mark.read_text() == joined.place.agent)):
            self.setAllowResume(True)

    def _follow(
        self, joined: Joined, dataset: Any, subsample: float, chosen: "Sequence[int] | None", start_from_stage: int
    ) -> None:
        """Train as a process that torchrun started beside the first, which prepares, writes and reports."""
        self.setAllowResume(joined.hear("prepared") == "resume")
        if not self.files.folds_split.exists():
            raise ConfigError(
                f"this machine does not see {self.files.folds_split}, which the first process wrote: put the project "
                "on storage that all machines share."
            )
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
            if dataset is None:
                self.get_dataset()
                stack.enter_context(self._in_data_folder())
            self.check(dataset)
            for member in self.members():
                member.check()
            self._train_folds(subsample, chosen, start_from_stage)
        joined.hear("reported", timedelta(days=1))

    def _train_folds(self, subsample: float, chosen: "Sequence[int] | None", start_from_stage: int) -> None:
        """Train folds one after the other or, where there are devices and workers for several, side by side."""
        works = []
        for member in self.members():
            folds = member.kfold()
            numbers = [number for number in range(len(folds.folds)) if not chosen or number in chosen]
            if self.cluster is not None:
                member._on_cluster(numbers)
            for number in numbers:
                works.append((member, FoldWork(member, number, start_from_stage, subsample, None, folds)))
        if self.cluster is not None:
            return
        alone = self.lease or self.joined is not None
        slots = [self.lease] if alone else leases(max(self.num_gpus, self.gpus), self.gpus, self.num_workers)
        if len(slots) == 1 or len(works) == 1:
            for member, work in works:
                work()
                self.canceled_by_timer = self.canceled_by_timer or member.canceled_by_timer
            return
        jobs = [(f"{label(member)}fold {work.num}", member._leased(work)) for member, work in works]
        outcomes = side_by_side(jobs, slots, Display(once=True))
        raise_failures(outcomes)
        self.canceled_by_timer = self.canceled_by_timer or any(outcome.result for outcome in outcomes)

    def _on_cluster(self, folds: Sequence[int]) -> None:
        if self._given or self.dataset is None:
            raise ConfigError(
                f"{self.path}: on a cluster the nodes make the dataset: declare it with dataset in the YAML."
            )
        train_on_cluster(
            str(self.cluster), Path(self.get_project_path()), self.files.config, folds, self.gpus, self.cache
        )

    def train_fold(self, fold: int) -> None:
        """Train the stages of one fold, as a part of a run that another process began; no summary is written."""
        with self._in_data_folder():
            self.check()
            FoldWork(self, fold, 0, 1.0, None, self.kfold())()

    def _leased(self, work: Callable[[], Any]) -> Callable[[Sequence[str]], bool]:
        def job(devices: Sequence[str]) -> bool:
            self.lease = list(devices)
            self.__dict__.pop("device", None)
            work()
            return bool(self.canceled_by_timer)

        return job

    def generateReports(self, foldsToExecute: "Sequence[int] | None" = None, subsample: float = 1.0) -> None:
        """Compute the summary of the trained folds, then write it, whole."""
        if self.canceled_by_timer:
            return
        folds = list(foldsToExecute) if foldsToExecute else self._folds()
        members = [member for member in self.members() if member is not self]
        for member in members:
            member.generateReports(folds, subsample)
        if members:
            of_seeds = summary_of_seeds([read_yaml(member.files.summary) for member in members])
        summary = {
            "completed": True,
            "cfgName": self.files.config.name,
            "subsample": subsample,
            "folds": folds,
            **({"seeds": [member.seed for member in members]} if members else {}),
            **(of_seeds if members else self.createSummary(folds, subsample)),
        }
        write_reports(self, folds)
        write_yaml(self.files.summary, summary)

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

    # -- time ------------------------------------------------------------------------------------------------

    def expired(self) -> bool:
        """Say whether the time given to the experiment is over."""
        cancelled = self._reporter is not None and self._reporter.isCanceled()
        return cancelled or (self.expires is not None and time.monotonic() > self.expires)


def known_class_names(dataset: Any) -> "tuple[str, ...] | None":
    """Return the class names that a dataset's root gives in ``meta()["CLASSES"]``, ``None`` where it gives none."""
    meta = getattr(root_of(dataset), "meta", None)
    if meta is None or not callable(meta):
        return None
    try:
        names = meta().get("CLASSES")
    except (TypeError, ValueError, AttributeError):
        return None  # musket_core's own DataSet.meta wants an item and raises
    return None if names is None else tuple(str(name) for name in names)
