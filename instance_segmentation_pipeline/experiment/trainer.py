"""``ExperimentTrainer``: a run, from taking the lock to the summary."""

import contextlib
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from ..errors import ConfigError
from ..launch.devices import gpu_count, leases
from ..launch.jobs import raise_failures
from ..launch.ray_cluster import RayCluster
from ..launch.scheduler import InTurn, Scheduler, scheduler_for
from ..launch.torchrun import TorchrunExecutor
from ..storage.archive import finish
from ..storage.atomic import write_text
from ..storage.leftovers import remove_leftovers
from ..storage.regular_file import read_text
from ..storage.run_lock import only_run
from .fold_trainer import FoldTrainer
from .run_arguments import TrainRequest
from .run_preparation import check_folds, fold_count, make_room
from .trainable import Trainable, TrainableExperiment


class ExperimentTrainer:
    """Trains every fold, stage and seed of an experiment: in turn or side by side, here or elsewhere.

    It owns the run: the lock, what is put aside before, and what torchrun's processes tell each other.

    Args:
        experiment: The experiment's config.
    """

    def __init__(self, experiment: TrainableExperiment) -> None:
        self.experiment = experiment

    def train(self, request: TrainRequest) -> None:
        """Train, and write the summary, unless time ended the training.

        Raises:
            UserError: What is wrong, in one sentence; nothing trained before is touched by it.
        """
        experiment, files, joined = self.experiment, self.experiment.files, self.experiment.run.joined
        run = experiment.run
        if files.summary.exists() and not (run.replace_finished or run.resume or request.first_stage):
            raise ConfigError(
                f"{files.root} is finished, it has a summary.yaml: fit it again with the command musket fit, "
                "which keeps the old run, or delete that file."
            )
        with contextlib.ExitStack() as stack:
            if joined is not None:
                stack.enter_context(joined.telling())
                self.join(joined)
                if not joined.place.is_first:
                    self._follow(joined, request)
                    return
            self._prepare(request, stack)
            if joined is not None:
                write_text(files.torchrun, joined.place.agent)
                joined.tell("prepared", "resume" if experiment.run.resume else "anew")
            self.train_folds(request)
            experiment.generateReports(self._trained(request), request.subsample)
            if joined is not None:
                files.torchrun.unlink(missing_ok=True)
                joined.tell("reported")

    def train_folds(self, request: TrainRequest) -> None:
        """Train folds, of each seed: one after the other, side by side, or on a cluster."""
        experiment, count = self.experiment, fold_count(self.experiment)
        jobs = [
            FoldTrainer(one).job(asked) for one in experiment.members() for asked in request.fold_requests(range(count))
        ]
        outcomes = self._scheduler(len(jobs)).run(jobs, experiment.run.deadline())
        raise_failures(outcomes)
        experiment.canceled_by_timer = any(not outcome.began or outcome.result.stopped for outcome in outcomes)

    def _trained(self, request: TrainRequest) -> list[int]:
        """Return the folds that the summary is of: those of this run, and those that earlier runs trained like them."""
        count = range(fold_count(self.experiment))
        others = TrainRequest(subsample=request.subsample).fold_requests(count)
        return [
            one.fold
            for one in others
            if request.folds is None
            or one.fold in request.folds
            or all(FoldTrainer(member).is_finished(one) for member in self.experiment.members())
        ]

    def _prepare(self, request: TrainRequest, stack: contextlib.ExitStack) -> None:
        """Take the lock, until the stack is closed; check everything, then put an earlier run aside."""
        experiment = self.experiment
        self._take(experiment, stack)
        stack.enter_context(experiment.run.within_lock())
        remove_leftovers(experiment.files)
        experiment.parts.datasets.main()
        finish(experiment.files)
        check_folds(experiment, request.folds)
        experiment.check(folds=request.folds)
        for one in experiment.seeds():
            self._take(one, stack)
            remove_leftovers(one.files)
            finish(one.files)
            one.check(folds=request.folds)
        make_room(experiment, request)

    def _take(self, one: Trainable, stack: contextlib.ExitStack) -> None:
        stack.enter_context(only_run(one.files.root, self.experiment.run.break_lock))

    def join(self, joined: TorchrunExecutor) -> None:
        """Begin a run of the processes that torchrun started; one that it has started again goes on.

        Raises:
            ConfigError: The run asks for devices of its own, or for a cluster.
        """
        run, size = self.experiment.run, joined.place.size
        if run.gpus_per_net != size or run.num_gpus > size or run.cluster is not None:
            raise ConfigError(
                f"torchrun started {size} processes, which train one net together: leave gpus_per_net, num_gpus and "
                "cluster out."
            )
        restarted = joined.begin()
        mark = self.experiment.files.torchrun
        if joined.place.is_first and (restarted or (mark.exists() and read_text(mark) == joined.place.agent)):
            self.experiment.run = replace(run, resume=True)

    def _follow(self, joined: TorchrunExecutor, request: TrainRequest) -> None:
        """Train as a process that torchrun started beside the first, which prepares, writes and reports."""
        experiment = self.experiment
        resume = joined.hear("prepared") == "resume"
        experiment.run = replace(experiment.run, resume=resume, is_part=True)
        if not experiment.files.folds_split.exists():
            raise ConfigError(
                f"this machine does not see {experiment.files.folds_split}, which the first process wrote: put the "
                "project on storage that all machines share."
            )
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
            experiment.check(folds=request.folds)
            for one in experiment.seeds():
                one.check(folds=request.folds)
            self.train_folds(request)
        joined.hear("reported", timedelta(days=1))

    def _scheduler(self, jobs: int) -> Scheduler:
        """Return what runs so many folds."""
        experiment, run, parts = self.experiment, self.experiment.run, self.experiment.parts
        if run.joined is not None:
            return InTurn(run.joined)
        if run.cluster is not None:
            if not parts.datasets.is_declared:
                raise ConfigError(
                    f"{experiment.files.config}: on a cluster the nodes make the dataset: declare it with dataset in "
                    "the YAML."
                )
            return RayCluster(run.cluster, parts.datasets.paths.project, run.gpus_per_net, run.cache)
        count = max(run.num_gpus, run.gpus_per_net)
        slots = [list(run.lease)] if run.lease else leases(count, run.gpus_per_net, run.num_workers)
        if len(slots) > 1 and jobs > 1 and parts.model.prepared.oversample_threshold is not None:
            whole = experiment.kfold().ds  # labels are read here, once, and not by each process
            parts.datasets.labels.of(whole, range(len(whole)))
        # a process that has used CUDA could not fork those that predict on the other GPUs afterwards
        apart = gpu_count() > 0 and len(run.answering_devices()) > 1
        return scheduler_for(slots, jobs, apart=apart, once=True)
