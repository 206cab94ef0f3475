"""``TrainingLog``: the metrics CSV of a stage."""

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...storage.metrics_csv import Row, read_rows, write_rows
from .loss_check import LossWatch


class TrainingLog(Hook):
    """Writes the metrics CSV: one row an epoch, with epoch (from 0), lr, loss and parts, val_… metrics."""

    priority = "HIGH"

    def __init__(self, path: Path, watch: LossWatch) -> None:
        self.path = path
        self.watch = watch
        self.rows: list[Row] = []

    def before_train(self, runner: Runner) -> None:
        """Keep the rows of the epochs that a resumed run does not train again."""
        self.rows = [row for row in read_rows(self.path) if row["epoch"] < runner.epoch]

    def before_train_epoch(self, runner: Runner) -> None:
        """Note the learning rate that the epoch begins with."""
        self._lr = float(runner.optim_wrapper.get_lr()["lr"][0])

    @master_only
    def after_val_epoch(self, runner: Runner, metrics: "dict[str, float] | None" = None) -> None:
        """Add the epoch's row and write the file, whole."""
        row: Row = {"epoch": runner.epoch - 1, "lr": self._lr, **self.watch.means}
        row.update({f"val_{name}": value for name, value in (metrics or {}).items()})
        self.rows.append(row)
        write_rows(self.path, self.rows)
