"""What can be known before training: whether items, split, weights and parts of the model are as they should be."""

from collections.abc import Callable, Sequence
from functools import partial

from ..data.augmentation.vanishing import notes_on_vanishing
from ..data.cells import Cells
from ..data.consistency import check_items, crowd_count, notes_on_counts, notes_on_sizes
from ..data.equal_files import notes_on_equal_files
from ..models.detection_count import detection_limits
from ..models.ignored_regions import note_on_crowds
from ..training.build_check import check_buildable
from ..training.callbacks.making import CallbackPlan
from ..training.detection_dataset import MusketDetectionDataset
from .assembly import ExperimentParts
from .stage_starts import StageStart, needed_starts
from .tracking import check_trackers


def check_parts(
    parts: ExperimentParts,
    callbacks: Sequence[CallbackPlan],
    announce: Callable[[Sequence[str]], None],
    *,
    whole: bool = True,
    folds: "Sequence[int] | None" = None,
) -> None:
    """Check an experiment without training or writing anything.

    Args:
        parts: The experiment's objects.
        callbacks: Those of each stage.
        announce: Told of what can be trained with and is probably not meant.
        whole: Also build all that training needs, which is the same for all seeds.
        folds: Those that are to be trained; by default all.

    Raises:
        UserError: What is wrong, in one sentence.
    """
    check_trackers(parts.settings.tracking.trackers)
    dataset = parts.datasets.main()
    parts.model.start  # noqa: B018 - what is wrong with the weights is told before items are read
    starts = needed_starts(parts, range(parts.folds.count(dataset)) if folds is None else folds)
    reader = parts.classes.reader(parts.model.prepared.needs_masks)
    sampled = check_items(dataset, reader, grid=parts.settings.tiles.grid)
    parts.folds.check(dataset)
    parts.training.check(reader)
    if whole:
        notes, val = check_built(parts, range(len(dataset)), starts, callbacks)
        notes = [*sampled.notes, *notes, *notes_on_sizes(val, sampled)]
        notes += notes_on_counts(
            sampled, detection_limits(parts.model.prepared.config.model), parts.settings.model.max_detections
        )
        crowds = crowd_count(dataset)
        notes += [note_on_crowds(parts.model.prepared.config.model, crowds)] if crowds else []
        notes += notes_on_vanishing(dataset, reader, sampled.positions, parts.augmentation.both())
        notes += notes_on_equal_files(dataset, parts.folds.expected(dataset))
        announce([f"note: {line}" for line in notes])


def check_built(
    parts: ExperimentParts,
    positions: Sequence[int],
    starts: Sequence[StageStart],
    callbacks: Sequence[CallbackPlan],
) -> tuple[list[str], MusketDetectionDataset]:
    """Prove that model, optimizer, schedules, hooks, loaders, pipelines and metric of every stage can be built.

    Args:
        parts: The experiment's objects.
        positions: Items that can be read; the first of them goes through both pipelines.
        starts: Weights that stages start from.
        callbacks: Those of each stage.

    Returns:
        A line on each thing that can be built and will hardly train, and these items as the net sees them in
        validation: where images are cut, the first cell of each.

    Raises:
        UserError: What cannot be built.
    """
    dataset, model, names = parts.datasets.main(), parts.model, parts.classes.class_names()
    prepared = model.prepared
    frozen = parts.settings.frozen_encoders
    plans = [
        model.scheduled(stage, len(dataset), frozen=one, callbacks=plan)
        for stage, one, plan in zip(parts.settings.stages, frozen, callbacks, strict=True)
    ]
    reader, augmenters = parts.classes.reader(prepared.needs_masks), parts.augmentation.both()
    augmenters.check_files()
    made = partial(MusketDetectionDataset, dataset, positions, reader, augmenters=augmenters)
    grid = parts.settings.tiles.grid
    seen, shown = (None if grid is None else Cells.first(grid, positions, training=one) for one in (True, False))
    train = made(prepared.train_pipeline, names, training=True, cells=seen)
    val = made(prepared.val_pipeline, names, training=False, cells=shown)
    begin = [(one.path, one.policy) for one in starts if one.path is not None]
    notes = check_buildable(plans, train, val, begin, [plan.hooks() for plan in callbacks])
    return notes, val
