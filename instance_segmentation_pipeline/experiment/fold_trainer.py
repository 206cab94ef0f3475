"""``FoldTrainer``: the stages of one fold, trained one after the other, in this process or as a job of any other."""

from dataclasses import dataclass

from ..data.cross_validation import DetectionFolds
from ..launch.deadline import Deadline
from ..launch.executors import Executor
from ..launch.job_environment import leads
from ..launch.scheduler import Job, RemoteCall
from ..training.train_detector import train_detector
from ..visualization.plots import draw_learning_curves
from .remote_fold import train_fold
from .run_arguments import FoldRequest
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

        Raises:
            WeightsError: A stage was trained with other settings or for other classes, or cannot be read.
        """
        folds = self.config.kfold()
        for number in self._stages(request):
            StageWork(self.config, folds, request, number).check()

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
