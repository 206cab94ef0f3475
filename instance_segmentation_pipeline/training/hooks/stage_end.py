"""``StageEnd``: the one place where it is asked that a stage ends for good before its last epoch."""

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner


class StageEnd(Hook):
    """Ends a stage after the epoch in which a hook, in any process of the net, asks for it.

    All processes end after the same epoch, whose checkpoint says that the stage is finished: a resume leaves it alone,
    and the next stage and the summary follow. A hook asks by ``ask``, at the latest in ``after_val_epoch`` with a
    priority below 45 (``HIGH`` or ``ABOVE_NORMAL``); what is asked later takes effect an epoch later.

    A request can be withdrawn until then, as by Keras's ``model.stop_training = False``.

    Attributes:
        reason: Why it ends, as words; ``None`` while it goes on. The same in all processes after an epoch.
    """

    priority = 45  # behind those that decide, before WeightsKeeper (50) writes the checkpoint

    def __init__(self) -> None:
        self.reason: str | None = None
        self._withdrawn = False

    def ask(self, reason: str) -> None:
        """Ask that the stage ends after this epoch; the first reason counts."""
        self.reason = self.reason or reason

    def withdraw(self) -> None:
        """Take back what was asked in this epoch, in whichever process; what is asked from now on counts."""
        self.reason, self._withdrawn = None, True

    def after_val_epoch(self, runner: Runner, metrics: "dict[str, float] | None" = None) -> None:
        """Agree on whether it ends."""
        asked: list[tuple[str | None, bool]] = all_gather_object((self.reason, self._withdrawn))
        deciding = [one for one in asked if one[1]] or asked  # callbacks that all processes call may ask before it
        self.reason, self._withdrawn = next((reason for reason, _ in deciding if reason), None), False
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
