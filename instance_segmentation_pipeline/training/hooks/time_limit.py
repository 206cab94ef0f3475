"""``StopAfter``: the end of a training that is not its last epoch."""

from collections.abc import Callable

from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.runner import Runner


class StopAfter(Hook):
    """Ends the training at the end of the epoch in which ``expired()`` becomes true; the run can be resumed."""

    def __init__(self, expired: Callable[[], bool]) -> None:
        self.expired = expired
        self.stopped = False

    def after_val_epoch(self, runner: Runner, metrics: "dict[str, float] | None" = None) -> None:
        """Ask the loop to stop, when it is time and epochs are left."""
        decision = [self.expired()]
        broadcast_object_list(decision)  # clocks differ, and all processes stop or none
        if decision[0] and runner.epoch < runner.max_epochs:
            self.stopped = True
            runner.train_loop.stop_training = True
