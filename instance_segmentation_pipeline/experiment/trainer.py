"""Training an experiment: every fold, stage and seed, in turn or side by side, here or elsewhere, then the summary."""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from musket_core.generic_config import FoldWork

from ..data.item_cache import ItemCache
from ..errors import ConfigError
from ..inference.trained_folds import TrainedFolds, weights_of
from ..launch.deadline import Deadline
from ..launch.devices import leases
from ..launch.executors import Executor
from ..launch.ray_cluster import RayCluster
from ..launch.scheduler import InTurn, Job, RemoteCall, Scheduler, raise_failures, scheduler_for
from ..launch.torchrun import Joined
from ..models.finished_config import FinishedConfig
from ..reporting.report_figures import write_reports
from ..storage.archive import archive, belonging, finish
from ..storage.atomic import write_text, write_yaml
from ..storage.leftovers import remove_leftovers
from ..storage.regular_file import read_text
from ..storage.run_lock import only_run
from ..storage.run_manifest import RunManifest, RunNames
from ..storage.yaml_files import read_yaml
from ..text import printable
from .assembly import ExperimentParts
from .remote_fold import train_fold
from .resuming import make_whole
from .run_arguments import FoldRequest, check_run, refuse_upstream
from .run_options import RunOptions
from .seeds import summary_of_seeds


class Fitting:
    """The part of ``PipelineConfig`` that trains; the methods' names are musket_core's."""

    files: Any
    path: Any
    dataset: Any
    gpus: int
    num_gpus: int
    num_workers: int
    cluster: "str | None"
    cache: "Path | None"
    break_lock: bool
    within_lock: Callable[[], contextlib.AbstractContextManager[None]]
    expires: "float | None"
    deadline: Deadline
    refit: bool
    resume: bool
    lease: list[str]
    joined: "Joined | None"
    folds_count: int
    canceled_by_timer: bool
    run: RunOptions

    @property
    def parts(self) -> ExperimentParts:
        """The objects that do the work."""
        raise NotImplementedError

    check: Callable[..., None]
    kfold: Callable[..., Any]
    members: Callable[[], list[Any]]
    seeds: Callable[[], list[Any]]
    get_dataset: Callable[..., Any]
    get_project_path: Callable[[], str]
    createSummary: Callable[..., dict[str, Any]]
    finished: Callable[[], FinishedConfig]
    labels: Callable[[], ItemCache[set[int]]]
    truths_kept: Callable[..., Any]
    setAllowResume: Callable[[bool], None]
    initial_weights: Callable[[], tuple[Any, ...]]
    weightsPath: "str | None"
    stages: list[Any]
    trained: Callable[[], TrainedFolds]
    _folds: Callable[[], list[int]]

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
            drawingFunction: Refused: pictures are drawn after each epoch.
            parallel: Refused: ``num_gpus`` and ``num_workers`` train folds at the same time.

        Raises:
            UserError: What is wrong, in one sentence; nothing trained before is touched by it.
        """
        if self.files.summary.exists() and not (self.refit or self.resume or start_from_stage):
            raise ConfigError(
                f"{self.files.root} is finished, it has a summary.yaml: fit it again with the command musket fit, "
                "which keeps the old run, or delete that file."
            )
        check_run(foldsToExecute, subsample, start_from_stage, len(self.stages))
        refuse_upstream(drawingFunction, parallel)
        if callable(dataset_) and not hasattr(dataset_, "__len__"):
            dataset_ = dataset_()
        with contextlib.ExitStack() as stack:
            if self.joined is not None:
                stack.enter_context(self.joined.telling())
                self._join(self.joined)
                if not self.joined.place.is_first:
                    self._follow(self.joined, dataset_, subsample, foldsToExecute, start_from_stage)
                    return None
            stack.enter_context(only_run(self.files.root, self.break_lock))
            stack.enter_context(self.within_lock())
            remove_leftovers(self.files)
            if dataset_ is None:
                self.get_dataset()
            finish(self.files)
            self.check(dataset_)
            self._check_folds(foldsToExecute)
            for member in self.seeds():
                stack.enter_context(only_run(member.files.root, self.break_lock))
                remove_leftovers(member.files)
                finish(member.files)
                member.check()
            self._make_room(foldsToExecute, start_from_stage)
            for member in self.members():
                member.kfold()
            if self.joined is not None:
                write_text(self.files.torchrun, self.joined.place.agent)
                self.joined.tell("prepared", "resume" if self.resume else "anew")
            self._train_folds(subsample, foldsToExecute, start_from_stage)
            self.generateReports(foldsToExecute or range(self._fold_count()), subsample)
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
        if joined.place.is_first and (restarted or (mark.exists() and read_text(mark) == joined.place.agent)):
            self.setAllowResume(True)

    def _follow(
        self, joined: Joined, dataset: Any, subsample: float, chosen: "Sequence[int] | None", start_from_stage: int
    ) -> None:
        """Train as a process that torchrun started beside the first, which prepares, writes and reports."""
        self.run = replace(self.run, resume=joined.hear("prepared") == "resume", is_part=True)
        if not self.files.folds_split.exists():
            raise ConfigError(
                f"this machine does not see {self.files.folds_split}, which the first process wrote: put the project "
                "on storage that all machines share."
            )
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
            if dataset is None:
                self.get_dataset()
            self.check(dataset)
            for member in self.seeds():
                member.check()
            self._train_folds(subsample, chosen, start_from_stage)
        joined.hear("reported", timedelta(days=1))

    def _train_folds(self, subsample: float, chosen: "Sequence[int] | None", start_from_stage: int) -> None:
        """Train folds, of each seed: one after the other, side by side, or on a cluster."""
        numbers = [number for number in range(len(self.kfold().folds)) if not chosen or number in chosen]
        jobs = [
            member.fold_job(FoldRequest(number, start_from_stage, subsample))
            for member in self.members()
            for number in numbers
        ]
        outcomes = self._scheduler(len(jobs)).run(jobs, self.run.deadline())
        raise_failures(outcomes)
        self.canceled_by_timer = any(not outcome.began or outcome.result for outcome in outcomes)

    def _scheduler(self, jobs: int) -> Scheduler:
        """Return what runs so many folds."""
        if self.joined is not None:
            return InTurn(self.joined)
        if self.cluster is not None:
            if not self.parts.datasets.is_declared:
                raise ConfigError(
                    f"{self.path}: on a cluster the nodes make the dataset: declare it with dataset in the YAML."
                )
            return RayCluster(self.cluster, Path(self.get_project_path()), self.gpus, self.cache)
        slots = [self.lease] if self.lease else leases(max(self.num_gpus, self.gpus), self.gpus, self.num_workers)
        if len(slots) > 1 and jobs > 1 and self.finished().oversample_threshold is not None:
            folds = self.kfold()  # labels are read here, once, and not by each process
            self.labels().of(folds.ds, range(len(folds.ds)))
        return scheduler_for(slots, jobs, once=True)

    def fold_job(self, request: FoldRequest) -> Job:
        """Return the job that trains a fold; its result is whether time ended it before its last epoch."""
        return Job(
            f"{self.files.label}fold {request.fold}",
            lambda executor, stop: self.train_fold(request, executor, stop),
            RemoteCall(train_fold, self.files.config, (request,)),
        )

    def train_fold(self, request: FoldRequest, executor: Executor, stop: Deadline) -> bool:
        """Train the stages of one fold, without a summary; return whether time ended it before its last epoch."""
        before = self.lease
        try:
            self._lend([] if self.joined is not None else executor.devices)
            self.canceled_by_timer, self.deadline = False, stop
            FoldWork(self, request.fold, request.first_stage, request.subsample, None, self.kfold())()
        finally:
            self._lend(before)
        return bool(self.canceled_by_timer)

    def _lend(self, devices: Sequence[str]) -> None:
        self.lease = list(devices)

    def generateReports(self, foldsToExecute: "Sequence[int] | None" = None, subsample: float = 1.0) -> None:
        """Compute the summary of the trained folds, then write it, whole."""
        if self.canceled_by_timer:
            return
        folds = list(foldsToExecute) if foldsToExecute else self._folds()
        with self.truths_kept():
            seeds = self.seeds()
            for member in seeds:
                member.generateReports(folds, subsample)
            self._write_summary(folds, subsample, seeds)

    def _write_summary(self, folds: list[int], subsample: float, seeds: list[Any]) -> None:
        if seeds:
            of_seeds = summary_of_seeds([read_yaml(member.files.summary) for member in seeds])
            metrics = {"seeds": [member.seed for member in seeds], **of_seeds}
        else:
            metrics = self.createSummary(folds, subsample)
        summary = {
            "completed": set(folds) >= set(range(self._fold_count())),
            "cfgName": self.files.config.name,
            "subsample": subsample,
            "folds": folds,
            **metrics,
        }
        write_reports(self, folds)
        write_yaml(self.files.summary, summary)

    def _make_room(self, chosen: "Sequence[int] | None", first_stage: int) -> None:
        """Put what an earlier run of these folds and stages trained aside, and claim the names of their files.

        Nothing is moved before it is known that the run can begin.
        """
        folds, count = list(chosen or ()) or None, self._fold_count()
        if self.resume or first_stage:
            for one in self.members():
                one.kfold()
        elif folds is not None:
            folds = self._with_one_split(folds)
        each = [(self, RunNames((), ()))] if self.seeds() else []
        each += [(one, one._names_of_run(folds or range(count))) for one in self.members()]
        for one, names in each:
            manifest = RunManifest(one.files)
            if not (self.resume and manifest.knows_a_run()):
                manifest.check(names.all())
            if not self.resume and names.folds:
                one._check_start(names.folds, first_stage)
        for one, names in each:
            for fold in names.folds if self.resume else ():
                make_whole(one, fold)
            archived = None if self.resume else archive(one.files, folds, first_stage)
            if archived is not None:
                print(f"  the weights of an earlier run are kept in {printable(archived)}")  # noqa: T201
            one.parts.folds.forget()
            RunManifest(one.files).claim(names.all())
        self.kfold()

    def _names_of_run(self, folds: Sequence[int]) -> RunNames:
        native = Path(str(self.finished().config.filename or "")).name
        return RunNames(list(folds), [stage.epochs for stage in self.stages], native)

    def _check_start(self, folds: Sequence[int], first_stage: int) -> None:
        """See to it that what the training starts from is there, and will be when an earlier run is put aside."""
        if first_stage:
            for fold in folds:
                weights_of(self.files, fold, first_stage - 1)
        start = self.initial_weights()[0]
        moved = {(self.files.root / name).resolve() for name in belonging(self.files, folds, first_stage)}
        if not first_stage and start is not None and start.resolve() in moved:
            raise ConfigError(
                f"{self.path}: weightsPath {self.weightsPath} was trained here, and would be put aside into "
                "previous/ by the run that starts from it: copy it to another place, and name that."
            )

    def _with_one_split(self, folds: list[int]) -> "list[int] | None":
        """Return the folds to put aside: all, where the split has changed and no other fold was trained on the old one.

        Raises:
            ConfigError: Other folds were trained on another split.
        """
        try:
            self.kfold()
        except ConfigError:
            trained = self.trained().begun()
            if trained - set(folds):
                raise ConfigError(
                    f"{self.files.folds_split} was made for another dataset, or other settings of the split, and fold "
                    f"{min(trained - set(folds))} was trained on it: train all folds anew, or put the config back."
                ) from None
            return None
        return folds

    def _fold_count(self) -> int:
        """Return how many folds there are, whatever split lies on disk."""
        return self.parts.folds.count(self.get_dataset())

    def _check_folds(self, wanted: "Sequence[int] | None") -> None:
        count = self._fold_count()
        for fold in wanted or ():
            if not 0 <= fold < count:
                raise ConfigError(f"fold {fold} was asked for, but there are folds 0 to {count - 1}.")
