"""``Tracking``: the trackers of a run are told after each epoch."""

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...storage.experiment_files import StageFiles
from ..trackers.base import TrackedRun, pictures_of
from .csv_logger import TrainingLog


class Tracking(Hook):
    """Tells trackers of each epoch when its checkpoint is saved: what they know is never trained again.

    Args:
        run: The run; its trackers are told by the first process alone.
        log: Has the rows.
        files: Has the pictures.
    """

    priority = "VERY_LOW"

    def __init__(self, run: TrackedRun, log: TrainingLog, files: StageFiles) -> None:
        self.run, self.log, self.files = run, log, files

    def before_train(self, runner: Runner) -> None:
        """Begin, or catch up with what was trained before."""
        if is_main_process():
            self._tell(runner.epoch)

    def after_val_epoch(self, runner: Runner, metrics: "dict[str, float] | None" = None) -> None:
        """Tell of the epoch."""
        if is_main_process():
            self._tell(runner.epoch)

    def after_train(self, runner: Runner) -> None:
        """Let go of the trackers."""
        if is_main_process():
            self.run.close(finished=runner.epoch >= runner.max_epochs)

    def _tell(self, epochs: int) -> None:
        self.run.tell(self.log.rows, pictures_of(self.files, epochs))
