"""What is trained: one stage of one fold; and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..metrics.metric_name import MetricName
from ..models.transfer import HeadPolicy
from ..storage.experiment_files import StageFiles
from ..storage.metrics_csv import Row
from ..visualization.terminal import Terminal
from .callbacks.making import CallbackPlan
from .coco_metric import Further
from .detection_dataset import MusketDetectionDataset
from .trackers.base import TrackedRun


@dataclass(frozen=True)
class TrainingJob:
    """One stage of one fold.

    Attributes:
        config: The finished MMDetection config, with the stage's schedule.
        train_dataset: ``MusketDetectionDataset`` to train on.
        val_dataset: ``MusketDetectionDataset`` to validate on.
        files: Where weights, metrics and pictures go.
        label: What messages and the progress line call it, such as ``fold 0 stage 1``.
        primary_metric: Column of the CSV that chooses the best weights, such as ``val_coco_segm_mAP``.
        with_masks: Whether masks are evaluated.
        threshold: Lowest score that sample pictures show.
        seed: Seed of weights, order and augmentation.
        start: Checkpoint to start from, ``None`` for the config's own initial weights.
        policy: What happens to tensors of ``start`` that depend on the number of classes; ``None`` where the
            experiment trained it itself, so that it is taken whole.
        resume: Go on from ``files.last_weights``.
        longer: The resumed stage was begun with fewer epochs: its schedule is built for all of them.
        settings: What decides how the stage learns (``stage_settings``), kept in its checkpoints.
        expired: Asked after each epoch; true ends the training there, to be resumed later.
        max_detections: Detections of a class in an image that the metrics count; ``None`` as ``metrics.coco.counted``.
        further: Computes metrics beyond ``metrics.coco_metrics`` from each epoch's truths and predictions.
        callbacks: What is done and decided while it trains.
        verbose: What ``terminal`` shows of the course: 0 nothing, 1 a bar and each epoch's line, 2 the lines.
        logs_batches: A CSV has a row for each batch.
        tracked: Who is told of the stage.
        shows_data: A picture of what the net is shown is written in the first epoch.
        terminal: Where the training shows how far it is.
    """

    config: Config
    train_dataset: MusketDetectionDataset
    val_dataset: MusketDetectionDataset
    files: StageFiles
    label: str
    primary_metric: MetricName
    with_masks: bool = True
    threshold: float = 0.5
    seed: int = 33
    start: "Path | None" = None
    policy: "HeadPolicy | None" = None
    resume: bool = False
    longer: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    expired: "Callable[[], bool] | None" = None
    further: "Further | None" = None
    max_detections: "int | None" = None
    callbacks: CallbackPlan = field(default_factory=CallbackPlan)
    shows_data: bool = False
    verbose: int = 1
    logs_batches: bool = False
    tracked: "TrackedRun | None" = None
    terminal: Terminal = field(default_factory=Terminal)


@dataclass(frozen=True)
class TrainingResult:
    """What came of a job: its CSV's rows, and whether time ended it before its last epoch."""

    rows: list[Row]
    stopped: bool
