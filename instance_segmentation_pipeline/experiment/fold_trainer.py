"""``FoldTrainer``: the stages of one fold, one after the other, in this process, as a job of another, or on a node."""

import socket
import time
from dataclasses import dataclass
from pathlib import Path

from ..data.cross_validation import DetectionFolds
from ..launch.deadline import Deadline
from ..launch.executors import Executor
from ..launch.job_environment import leads
from ..launch.jobs import Job, RemoteCall
from ..storage.metrics_csv import read_rows
from ..training.stage_settings import ITEMS
from ..training.train_detector import train_detector
from ..visualization.plots import draw_learning_curves
from .run_arguments import FoldRequest
from .run_options import RunOptions
from .stage_work import StageWork
from .trainable import Trainable


@dataclass(frozen=True)
class FoldOutcome:
    """What came of a fold.

    Attributes:
        request: What was asked of it.
        stopped: Whether time ended it before its last epoch.
    """

    request: FoldRequest
    stopped: bool


class FoldTrainer:
    """Trains folds of a config.

    Args:
        config: The experiment's, or that of one of its seeds.
    """

    def __init__(self, config: Trainable) -> None:
        self.config = config

    def job(self, request: FoldRequest) -> Job:
        """Return the job that trains a fold; its result is a ``FoldOutcome``."""
        files = self.config.files
        return Job(
            f"{files.label}fold {request.fold}",
            lambda executor, stop: self.train(request, executor, stop),
            RemoteCall(train_fold, files.config, (request,)),
        )

    def train(self, request: FoldRequest, executor: Executor, stop: Deadline) -> FoldOutcome:
        """Train the stages of one fold.

        Args:
            request: The fold, and from which stage on.
            executor: What has the devices of its net.
            stop: When the run ends.
        """
        folds = self.config.kfold()
        stopped = any(self.train_stage(number, request, folds, executor, stop) for number in self._stages(request))
        return FoldOutcome(request, stopped)

    def check(self, request: FoldRequest) -> None:
        """See to it that what is trained of a fold can be gone on with; nothing is written or printed.

        Of a run that starts at a later stage, the stages before it are compared, too.

        Raises:
            WeightsError: A stage was trained with other settings or for other classes, or cannot be read.
        """
        self.check_earlier(request)
        folds = self.config.kfold()
        for number in self._stages(request):
            StageWork(self.config, folds, request, number).check()

    def check_earlier(self, request: FoldRequest) -> None:
        """See to it that the stages before the first to train are trained as the config says; nothing is written.

        They may have had a share of the items (``subsample``).

        Raises:
            WeightsError: One was trained with other settings or for other classes, or cannot be read.
        """
        if not request.first_stage:
            return
        folds = self.config.kfold()
        for number in range(request.first_stage):
            StageWork(self.config, folds, request, number).check(
                "put config and dataset back, or leave start_from_stage out, which trains all stages",
                besides=(ITEMS,),
            )

    def is_finished(self, request: FoldRequest) -> bool:
        """Say whether all stages of a fold are trained to their end, with the settings that are asked for."""
        folds = self.config.kfold()
        return all(StageWork(self.config, folds, request, number).is_finished() for number in self._stages(request))

    def train_stage(
        self, number: int, request: FoldRequest, folds: DetectionFolds, executor: Executor, stop: Deadline
    ) -> bool:
        """Train one stage of a fold, if it is not finished; return whether time ended it before its last epoch."""
        work = StageWork(self.config, folds, request, number)
        resumed = work.resumption() if self.config.run.resume else None
        if resumed is not None and resumed.finished:
            return False
        if executor.agree(stop):
            return True
        job = work.job(resumed, stop)
        stop.begin()
        result = executor.train(lambda device: train_detector(job, device), stop)
        if leads():
            draw_learning_curves(work.files, job.label)
        return bool(result.stopped)

    def _stages(self, request: FoldRequest) -> range:
        return range(request.first_stage, len(self.config.parts.settings.stages))


def train_fold(
    config: Path, executor: Executor, cache: "Path | None", stop: Deadline, request: FoldRequest
) -> tuple[FoldOutcome, str]:
    """Train a fold of a project in this place, resuming what is there, on the split that the run has made.

    Args:
        config: The experiment's YAML.
        executor: What has the devices of the net.
        cache: Folder for downloads.
        stop: When the run ends.
        request: The fold, its first stage, and how many of its items.

    Returns:
        What came of it, and a sentence about it.
    """
    from musket_core import generic

    began = time.monotonic()
    cfg = generic.parse(str(config))
    cfg.run = RunOptions(
        gpus_per_net=len(executor.devices), lease=tuple(executor.devices), cache=cache, resume=True, is_part=True
    )
    stages = [cfg.files.stage(request.fold, stage) for stage in range(request.first_stage, len(cfg.stages))]
    before = sum(len(read_rows(stage.metrics)) for stage in stages)
    cfg.check(folds=[request.fold])
    outcome = FoldTrainer(cfg).train(request, executor, stop)
    start = f", from epoch {before}" if before else ""
    return outcome, f"trained on {socket.gethostname()} in {time.monotonic() - began:.0f} s{start}"
