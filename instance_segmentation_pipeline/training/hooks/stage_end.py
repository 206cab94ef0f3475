"""``StageEnd``: the one place where it is asked that a stage ends for good before its last epoch."""

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner


class StageEnd(Hook):
    """Ends a stage after the epoch in which a hook, in any process of the net, asks for it.

    All processes end after the same epoch, whose checkpoint says that the stage is finished: a resume leaves it alone,
    and the next stage and the summary follow. A hook asks by ``ask``, at the latest in ``after_val_epoch`` with a
    priority below 45 (``HIGH`` or ``ABOVE_NORMAL``); what is asked later takes effect an epoch later.

    Attributes:
        reason: Why it ends, as words; ``None`` while it goes on. The same in all processes after an epoch.
    """

    priority = 45  # behind those that decide, before WeightsKeeper (50) writes the checkpoint

    def __init__(self) -> None:
        self.reason: str | None = None

    def ask(self, reason: str) -> None:
        """Ask that the stage ends after this epoch; the first reason counts."""
        self.reason = self.reason or reason

    def after_val_epoch(self, runner: Runner, metrics: "dict[str, float] | None" = None) -> None:
        """Agree on whether it ends."""
        reasons: list[str | None] = all_gather_object(self.reason)
        self.reason = next((reason for reason in reasons if reason), None)
        if self.reason is not None:
            runner.train_loop.stop_training = True


class EndTogether(Hook):
    """Ends the stage in all processes of the net where a hook of any of them stopped its loop by itself.

    It runs behind all others: a process that leaves the loop alone would be waited for by the rest without end.
    """

    priority = "LOWEST"

    def after_val_epoch(self, runner: Runner, metrics: "dict[str, float] | None" = None) -> None:
        """Agree on it."""
        stopped: list[bool] = all_gather_object(bool(runner.train_loop.stop_training))
        runner.train_loop.stop_training = any(stopped)
