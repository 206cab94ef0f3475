"""All checks of one experiment, in their order."""

import contextlib
import io
from dataclasses import dataclass

import cv2

from ..data.cross_validation import check_length
from ..data.item_reader import ItemReader
from ..errors import UserError
from ..experiment.pipeline_config import PipelineConfig
from ..models.detection_count import detection_limits
from ..training.detection_dataset import MusketDetectionDataset
from .box_checks import boxes
from .class_counts import class_counts
from .duplicates import duplicates
from .findings import Section
from .input_scale import InputScale
from .item_scan import ItemScan
from .object_counts import object_counts
from .parts import ScannedParts
from .rules import ExperimentRules
from .sizes import sizes
from .step_cost import StepProbe
from .unreadable import unreadable


@dataclass(frozen=True)
class Checked:
    """What was found of an experiment.

    Attributes:
        sections: What each check has to say.
        scan: Its items, ``None`` where there is no dataset.
        reader: How they are read.
        class_names: Names of the classes.
    """

    sections: list[Section]
    scan: "ItemScan | None" = None
    reader: "ItemReader | None" = None
    class_names: tuple[str, ...] = ()


def check_experiment(cfg: PipelineConfig, workers: int, *, with_step: bool = True) -> Checked:
    """Check an experiment; nothing is written, and no split is fixed.

    A step is trained by a forked process: let nothing compute with torch in this one before.

    The split is that of a run: the one that lies beside the experiment, or the one that a run would draw.

    Args:
        cfg: The experiment.
        workers: Processes that read items.
        with_step: Also train one step.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # processes are forked: threads would not come along
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # what is decided is told when it is trained
            return _checked(cfg, workers, with_step=with_step)
    finally:
        cv2.setNumThreads(threads)


def _checked(cfg: PipelineConfig, workers: int, *, with_step: bool) -> Checked:
    try:
        reader, scanned = _beginnings(cfg)
    except UserError as error:
        whole = Section("Experiment")
        whole.fault(str(error).rstrip("."))
        return Checked([whole])
    rules = ExperimentRules(cfg)
    rules.before_items()
    probe = StepProbe(cfg) if with_step and not rules.section.findings else None
    try:
        scan = ItemScan(scanned.sources, reader, workers, cfg.parts.settings.tiles.grid)
        val = rules.with_items(_usable(scan, scanned))
        sections = [rules.section, *_of_items(cfg, scan, scanned, reader, val)]
        if probe is not None and val is not None:
            sections.append(probe.measured())
            probe = None
        return Checked(sections, scan, reader, cfg.class_names())
    finally:
        if probe is not None:
            probe.close()


def _of_items(
    cfg: PipelineConfig,
    scan: ItemScan,
    scanned: ScannedParts,
    reader: ItemReader,
    val: "MusketDetectionDataset | None",
) -> list[Section]:
    """Return what checks of the items have to say; ``val`` are those that can be read, as the net sees them."""
    scale, limits = None, {}
    if val is not None:
        places = {position: place for place, position in enumerate(val.indices)}
        known = [None if position is None else places.get(position) for position in scanned.positions]
        scale = InputScale(val, known, scan.grid)
        limits = detection_limits(cfg.finished().config.model)
    return [
        unreadable(scan),
        boxes(scan, reader.bbox_order, reader.bbox_source),
        class_counts(scan, scanned, cfg.class_names()),
        sizes(scan, scale),
        object_counts(scan, limits),
        duplicates(scan, scanned),
    ]


def _usable(scan: ItemScan, scanned: ScannedParts) -> list[int]:
    """Return the positions in the dataset of the items that can be read; the first, where it is scanned changed."""
    positions = [scanned.positions[number] for number in scan.usable()]
    return [position for position in positions if position is not None] or ([0] if scan.usable() else [])


def _beginnings(cfg: PipelineConfig) -> tuple[ItemReader, ScannedParts]:
    """Return how items are read, and which there are.

    Raises:
        UserError: There is no dataset, or its classes are not known.
    """
    parts = cfg.parts
    dataset = parts.datasets.main()
    check_length(dataset)
    try:
        needs_masks = parts.model.prepared.needs_masks
    except UserError:
        needs_masks = False
    reader = parts.classes.reader(needs_masks)
    split = extra = None
    with contextlib.suppress(UserError):  # told by the rules
        split = parts.folds.expected(dataset)
        extra = parts.training.extra()
    return reader, ScannedParts.of(dataset, split, extra)
