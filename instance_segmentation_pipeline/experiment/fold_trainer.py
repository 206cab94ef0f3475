"""``FoldTrainer``: the stages of one fold, trained one after the other, in this process or as a job of any other."""

from collections.abc import Sequence

from musket_core.generic_config import ExecutionConfig

from ..launch.deadline import Deadline
from ..launch.executors import Executor
from ..launch.scheduler import Job, RemoteCall
from .remote_fold import train_fold
from .run_arguments import FoldRequest
from .trainable import Trainable


class FoldTrainer:
    """Trains folds of a config.

    Args:
        config: The experiment's, or that of one of its seeds.
    """

    def __init__(self, config: Trainable) -> None:
        self.config = config

    def job(self, request: FoldRequest) -> Job:
        """Return the job that trains a fold; its result is whether time ended it before its last epoch."""
        files = self.config.files
        return Job(
            f"{files.label}fold {request.fold}",
            lambda executor, stop: self.train(request, executor, stop),
            RemoteCall(train_fold, files.config, (request,)),
        )

    def train(self, request: FoldRequest, executor: Executor, stop: Deadline) -> bool:
        """Train the stages of one fold; return whether time ended it before its last epoch.

        Args:
            request: The fold.
            executor: What has the devices of its net.
            stop: When the run ends.
        """
        config, lease = self.config, self.config.run.lease
        try:
            self._lend([] if config.run.joined is not None else executor.devices)
            config.canceled_by_timer, config.deadline = False, stop
            prepared, folds = config.createNet(), config.kfold()
            for number, stage in enumerate(config.stages):
                if number >= request.first_stage:
                    place = ExecutionConfig(request.fold, number, request.subsample, str(config.files.root))
                    stage.execute(folds, prepared, place)
        finally:
            self._lend(lease)
        return bool(config.canceled_by_timer)

    def _lend(self, devices: Sequence[str]) -> None:
        self.config.run = self.config.run.on(devices)
