"""What a resumed run finds missing of a stage: it is made again from what is left, or the stage is trained anew."""

import contextlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import TrainingError, WeightsError
from ..models.checkpoints import ENDED_KEY, last_checkpoint, read_meta, save_as_best
from ..models.trained_weights import check_classes
from ..storage.archive import set_aside
from ..storage.atomic import keep_beside, save_with
from ..storage.experiment_files import StageFiles
from ..storage.metrics_csv import Row, as_written, read_rows, write_rows
from ..storage.run_manifest import RunManifest, stage_of
from ..training.stage_settings import META_KEY
from .trainable import Trainable, TrainableExperiment


def make_whole(config: Trainable, fold: int) -> None:
    """See to it that every stage of a fold that was trained, or begun, has all that going on takes.

    The latest checkpoint holds what the CSV does; the best weights are made again where the latest epoch was the best.
    A stage of which more is missing is trained anew, and what is left of it is kept in ``previous/``.

    Raises:
        WeightsError: A stage's checkpoints are there, and all of them are damaged or of other classes.
    """
    stages = config.parts.settings.stages
    for number in range(len(stages)):  # nothing is set aside for classes that would then be refused
        last = last_checkpoint(config.files.stage(fold, number))
        if last is not None:
            check_classes({"meta": read_meta(last)}, last, config.parts.classes.class_names())
    for number, stage in enumerate(stages):
        files = config.files.stage(fold, number)
        missing = _missing(files, stage.epochs, config.primary())
        if missing:
            owned = [name for name in RunManifest(config.files).owned() if stage_of(name) == (fold, number)]
            kept = set_aside(config.files, owned)
            tqdm.write(f"  fold {fold} stage {number} is trained anew, {missing}; what is left of it is kept in {kept}")


def _missing(files: StageFiles, epochs: int, metric: Any) -> str:
    """Return what of a stage is missing and cannot be made again, as words; an empty string where nothing is."""
    if not files.last_weights.exists() and files.previous_weights.exists():
        keep_beside(files.previous_weights, files.last_weights)
    last, rows = last_checkpoint(files), _rows(files)
    if last is None:
        finished = files.best_weights.exists() and rows is not None and len(rows) >= epochs
        begun = files.best_weights.exists() or files.metrics.exists()
        return "its last checkpoint is missing" if begun and not finished else ""
    meta = read_meta(last)
    epoch, kept = int(meta.get("epoch", 0)), meta.get("rows")
    if rows is None or [row["epoch"] for row in rows[:epoch]] != list(range(epoch)) or not _agree(rows, kept or ()):
        if not kept:
            return f"{files.metrics.name} is missing or damaged"
        rows = [dict(row) for row in kept]
        write_rows(files.metrics, rows)
    if files.best_weights.exists() and _epoch_of(files.best_weights) >= epoch:
        return ""
    *earlier, now = [as_written(row.get(str(metric), math.nan)) for row in rows[:epoch]]
    measured = [score for score in earlier if not math.isnan(score)]
    if all(metric.better(now, score) for score in measured) and not (math.isnan(now) and measured):
        save_with(files.best_weights, lambda path: save_as_best(last, path, str(metric), now))
        return ""
    return "" if files.best_weights.exists() else "its best weights are missing"


def _epoch_of(weights: Path) -> float:
    """Return the epoch that weights are of; infinity where they cannot tell: then nothing is written over them."""
    with contextlib.suppress(WeightsError):
        return float(read_meta(weights).get("epoch", math.inf))
    return math.inf


def _rows(files: StageFiles) -> "list[Row] | None":
    try:
        return read_rows(files.metrics)
    except TrainingError:
        return None


def _agree(rows: list[Row], kept: Iterable[Row]) -> bool:
    """Say whether the CSV has the values that a checkpoint keeps; a cut may leave a shorter number."""
    pairs = (
        (row.get(name, math.nan), value) for row, one in zip(rows, kept, strict=False) for name, value in one.items()
    )
    return all(there == value or (math.isnan(there) and math.isnan(value)) for there, value in pairs)


def is_ended(experiment: TrainableExperiment, folds: Sequence[int]) -> bool:
    """Say whether folds were trained to the end of their last stage, in each seed, as far as checkpoints tell."""
    last = len(experiment.parts.settings.stages) - 1
    return all(_has_ended(one.files.stage(fold, last)) for one in experiment.members() for fold in folds)


def _has_ended(files: StageFiles) -> bool:
    last = None
    with contextlib.suppress(WeightsError):
        last = last_checkpoint(files)
    if last is None:
        return True  # what would tell it is gone
    meta = read_meta(last)
    settings = meta.get(META_KEY)
    epochs = settings.get("epochs") if isinstance(settings, dict) else None
    return ENDED_KEY in meta or not isinstance(epochs, int) or meta.get("epoch", 0) >= epochs
