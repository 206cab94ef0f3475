"""MMEngine hooks of one stage of one fold: losses watched, CSV, best and last weights, pictures, progress.

Each does one thing. ``TrainingLog`` runs first after an epoch's validation and hands its row to the others.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import (
    all_gather_object,
    all_reduce_dict,
    broadcast_object_list,
    get_rank,
    get_world_size,
    is_main_process,
    master_only,
)
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..detection.instances import Instances, from_middle_format
from ..detection.mask_crops import MaskCrops
from ..errors import TrainingError, one_line
from ..metrics.coco import to_prediction
from ..metrics.metric_name import MetricName
from ..storage.experiment_files import StageFiles, keep_beside, save_with
from ..storage.metrics_csv import Row, as_written, read_rows, write_rows
from . import rng_state as random_states


class LossWatch(Hook):
    """Stops the run when the loss is not finite, and keeps the mean of the losses of an epoch.

    On a CPU the loss is looked at before it is propagated, so that weights stay sound (and deformable convolutions,
    which crash on offsets that are not numbers, are not reached). On a CUDA device, where looking costs a
    synchronisation, losses stay there and are looked at every ``INTERVAL`` iterations, and before anything of the
    epoch is saved.
    """

    priority = "VERY_HIGH"
    INTERVAL = 20

    def __init__(self, label: str) -> None:
        self.label = label
        self.means: dict[str, float] = {}
        self._pending: list[tuple[int, dict[str, torch.Tensor]]] = []
        self._sums: dict[str, float] = {}
        self._count = 0

    def before_train(self, runner: Runner) -> None:
        """Look at each loss on its way to the optimizer, where that is cheap."""
        model = getattr(runner.model, "module", runner.model)
        original = model.parse_losses

        def looked_at(losses: dict) -> tuple:
            total, parts = original(losses)
            if model.training and total.device.type == "cpu":
                self._check(runner, runner.iter - runner.epoch * len(runner.train_dataloader), _numbers(parts))
            return total, parts

        model.parse_losses = looked_at

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin the epoch's means."""
        self._pending, self._sums, self._count = [], {}, 0

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Take the iteration's losses."""
        self._pending.append((batch_idx, {name: value.detach() for name, value in outputs.items()}))
        if len(self._pending) >= (1 if outputs["loss"].device.type == "cpu" else self.INTERVAL):
            self._look(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Finish the epoch's means."""
        self._look(runner)
        means = {name: torch.tensor(total / self._count) for name, total in self._sums.items()}
        all_reduce_dict(means, "mean")
        self.means = {name: float(value) for name, value in means.items()}

    def _look(self, runner: Runner) -> None:
        for iteration, outputs in self._pending:
            losses = _numbers(outputs)
            self._check(runner, iteration, losses)
            for name, value in losses.items():
                self._sums[name] = self._sums.get(name, 0.0) + value
            self._count += 1
        self._pending = []

    def _check(self, runner: Runner, iteration: int, losses: dict[str, float]) -> None:
        if not math.isfinite(losses["loss"]):
            parts = ", ".join(f"{name} {value:g}" for name, value in losses.items())
            raise TrainingError(
                f"{self.label}, epoch {runner.epoch}, iteration {iteration}: the loss is not finite ({parts}): "
                "lower lr, or look for extreme values in the data; weights of earlier epochs are kept."
            )


def _numbers(losses: dict) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in losses.items()}


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
    def after_val_epoch(self, runner: Runner, metrics: "dict | None" = None) -> None:
        """Add the epoch's row and write the file, whole."""
        row: Row = {"epoch": runner.epoch - 1, "lr": self._lr, **self.watch.means}
        row.update({f"val_{name}": value for name, value in (metrics or {}).items()})
        self.rows.append(row)
        write_rows(self.path, self.rows)


class WeightsKeeper(Hook):
    """Keeps the best checkpoint by the primary metric, and the last one for resuming; both appear whole.

    While no epoch has a value of the metric, the latest weights are kept as the best. Values are compared as the CSV
    has them, so that a resumed run chooses as an uninterrupted one does.
    """

    priority = "NORMAL"

    def __init__(self, files: StageFiles, log: TrainingLog, metric: MetricName) -> None:
        self.files = files
        self.log = log
        self.metric = metric
        self.improved = False

    def after_val_epoch(self, runner: Runner, metrics: "dict | None" = None) -> None:
        """Save what has to be saved after this epoch."""
        states: list = all_gather_object(random_states.take())
        if not is_main_process():
            return
        *earlier, now = [as_written(row.get(str(self.metric), math.nan)) for row in self.log.rows]
        self.improved = not math.isnan(now) and all(self.metric.better(now, score) for score in earlier)
        meta = {"epoch": runner.epoch, "iter": runner.iter}
        unmeasured = all(math.isnan(score) for score in (*earlier, now))
        if self.improved or unmeasured or not self.files.best_weights.exists():
            self._save(runner, self.files.best_weights, {**meta, str(self.metric): now}, complete=False)
        if self.files.last_weights.exists():
            keep_beside(self.files.last_weights, self.files.previous_weights)
        rows = [{name: _plain(value) for name, value in row.items()} for row in self.log.rows]
        self._save(runner, self.files.last_weights, {**meta, "random_states": states, "rows": rows}, complete=True)

    @staticmethod
    def _save(runner: Runner, path: Path, meta: dict, complete: bool) -> None:
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


class RandomStates(Hook):
    """Lets a resumed run draw the random numbers that an uninterrupted one would have drawn.

    Args:
        states: Those of each process, from the checkpoint; not used when there are more or fewer processes now.
    """

    priority = "VERY_LOW"

    def __init__(self, states: "list | None") -> None:
        self.states = states

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the generators, before the first epoch."""
        if self.states is not None and len(self.states) == get_world_size():
            random_states.put(self.states[get_rank()])
        self.states = None


class SamplePictures(Hook):
    """After each epoch, writes a picture of some validation items: ground truth beside prediction."""

    priority = "LOW"

    def __init__(self, files: StageFiles, dataset: Any, threshold: float, count: int = 4) -> None:
        self.files = files
        self.dataset = dataset
        self.threshold = threshold
        spread = np.linspace(0, max(len(dataset) - 1, 0), min(count, len(dataset)))
        world = get_world_size()  # this process sees every world-th item
        self.positions = {int(position) // world * world for position in spread.round()}
        self._found: dict[int, tuple] = {}

    def before_val_epoch(self, runner: Runner) -> None:
        """Forget the last epoch's samples."""
        self._found = {}

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keep the predictions of the chosen items."""
        for sample in outputs:
            position = sample.img_id
            if position in self.positions:
                prediction = to_prediction(sample.pred_instances, self.dataset.reader.needs_masks)
                self._found[position] = (sample.truth, prediction)

    @master_only
    def after_val_epoch(self, runner: Runner, metrics: "dict | None" = None) -> None:
        """Draw and write the picture."""
        from ..visualization.draw import comparison, write_jpeg

        rows = []
        for position, (truth, prediction) in sorted(self._found.items()):
            _, image, _ = self.dataset.reader.read(self.dataset.source, self.dataset.indices[position])
            shown, scores = confident(prediction, truth, self.threshold)
            rows.append((image, from_middle_format(truth), shown, scores))
        if rows:
            write_jpeg(self.files.example(runner.epoch - 1), comparison(rows, self.dataset.metainfo["classes"]))


def confident(prediction: dict, truth: dict, threshold: float) -> tuple[Instances, np.ndarray]:
    """Return the predicted instances with a score of ``threshold`` or more, and their scores ``(N,)``."""
    keep = prediction["scores"] >= threshold
    height, width = truth["height"], truth["width"]
    masks = None
    if "masks" in prediction:
        masks = MaskCrops.from_rles([prediction["masks"][row] for row in np.flatnonzero(keep)], height, width)
    instances = Instances(height, width, prediction["labels"][keep], prediction["bboxes"][keep], masks)
    return instances, prediction["scores"][keep]


class StopAfter(Hook):
    """Ends the training at the end of the epoch in which ``expired()`` becomes true; the run can be resumed."""

    def __init__(self, expired: Callable[[], bool]) -> None:
        self.expired = expired
        self.stopped = False

    def after_val_epoch(self, runner: Runner, metrics: "dict | None" = None) -> None:
        """Ask the loop to stop, when it is time and epochs are left."""
        decision = [self.expired()]
        broadcast_object_list(decision)  # clocks differ, and all processes stop or none
        if decision[0] and runner.epoch < runner.max_epochs:
            self.stopped = True
            runner.train_loop.stop_training = True
