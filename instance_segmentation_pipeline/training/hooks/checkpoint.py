"""``WeightsKeeper``: the best and the last weights of a stage."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...errors import TrainingError, one_line
from ...metrics.metric_name import MetricName
from ...models.checkpoints import ENDED_KEY
from ...storage.atomic import keep_beside, save_with
from ...storage.experiment_files import StageFiles
from ...storage.metrics_csv import as_written
from .. import rng_state
from .csv_logger import TrainingLog
from .stage_end import StageEnd


class WeightsKeeper(Hook):
    """Keeps the best checkpoint by the primary metric, and the last one for resuming; both appear whole.

    While no epoch has a value of the metric, the latest weights are kept as the best. Values are compared as the CSV
    has them, so that a resumed run chooses as an uninterrupted one does. ``further`` is kept in each ``meta``.
    A stage that ends before its last epoch, and not because its time is over (``expired``), was ended by a hook: its
    last checkpoint says so, and a resume leaves it alone. Where ``end`` was asked for it, the epoch's checkpoint says
    so from the first; a hook of MMEngine's that stops the loop by itself is noted when the loop has stopped.
    """

    priority = "NORMAL"

    def __init__(
        self,
        files: StageFiles,
        log: TrainingLog,
        metric: MetricName,
        further: "dict[str, Any] | None" = None,
        expired: Callable[[], bool] = lambda: False,
        end: "StageEnd | None" = None,
        states: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.end, self.states = end, states
        self.files = files
        self.expired = expired
        self._meta_of_last: dict[str, Any] | None = None
        self.further = further or {}
        self.log = log
        self.metric = metric
        self.improved = False

    def after_val_epoch(self, runner: Runner, metrics: "dict[str, float] | None" = None) -> None:
        """Save what has to be saved after this epoch."""
        states: list[rng_state.States] = all_gather_object(rng_state.take())
        if not is_main_process():
            return
        *earlier, now = [as_written(row.get(str(self.metric), math.nan)) for row in self.log.rows]
        self.improved = not math.isnan(now) and all(self.metric.better(now, score) for score in earlier)
        meta = {"epoch": runner.epoch, "iter": runner.iter, **self.further}
        unmeasured = all(math.isnan(score) for score in (*earlier, now))
        if self.files.last_weights.exists():
            keep_beside(self.files.last_weights, self.files.previous_weights)
        rows = [{name: _plain(value) for name, value in row.items()} for row in self.log.rows]
        self._meta_of_last = {**meta, "random_states": states, "rows": rows, **self.states()}
        if self.end is not None and self.end.reason is not None:
            self._meta_of_last[ENDED_KEY] = self.end.reason
        self._save(runner, self.files.last_weights, self._meta_of_last, complete=True)
        if self.improved or unmeasured or not self.files.best_weights.exists():
            # after the last: from that, a resume makes the best again, and not the other way round
            self._save(runner, self.files.best_weights, {**meta, str(self.metric): now}, complete=False)

    def after_train(self, runner: Runner) -> None:
        """Note in the last checkpoint that a hook ended the stage."""
        if self._meta_of_last is None or ENDED_KEY in self._meta_of_last:
            return
        if runner.epoch < runner.max_epochs and not self.expired():
            self._save(runner, self.files.last_weights, {**self._meta_of_last, ENDED_KEY: True}, complete=True)

    @staticmethod
    def _save(runner: Runner, path: Path, meta: dict[str, Any], complete: bool) -> None:
        def save(temporary: str) -> None:
            runner.save_checkpoint(
                str(Path(temporary).parent),
                Path(temporary).name,
                save_optimizer=complete,
                save_param_scheduler=complete,
                meta=dict(meta),
            )

        try:
            save_with(path, save)
        except (OSError, RuntimeError) as error:  # torch's writer raises the latter
            raise TrainingError(
                f"{path} cannot be written ({one_line(error)[:160]}): make room on the disk, or see to the rights of "
                "the folder, and go on with --allow_resume true; earlier checkpoints are kept."
            ) from error


def _plain(value: Any) -> Any:
    """Return a cell of the CSV as a resumed run reads it back."""
    return value if isinstance(value, int) else as_written(float(value))
