"""The one place where the parts of an experiment are made of its settings and joined."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..config.schema import PROPERTIES, check_properties
from ..config.settings import DataSettings, ExperimentSettings
from ..data.catalog import DatasetCatalog, ProjectPaths
from ..data.cells import CellCatalog
from ..data.cross_validation import CrossValidation
from ..data.split_functions import SplitFunctions
from ..data.training_folds import TrainingFolds
from ..inference.trained_folds import TrainedFolds
from ..storage.experiment_files import ExperimentFiles
from .announcer import Announcer
from .augmentation_plan import AugmentationPlan
from .class_source import ClassSource
from .evaluator import GroundTruths
from .model_plan import ModelPlan
from .run_options import RunOptions


@dataclass
class Shared:
    """What an experiment and its seeds have in common."""

    run: RunOptions
    announcer: Announcer
    truths: GroundTruths
    datasets: "DatasetCatalog | None" = None


@dataclass(frozen=True)
class ExperimentParts:
    """The objects that do an experiment's work, made of one state of its settings.

    Attributes:
        settings: The YAML's properties, and what was set since.
        files: Names of the files.
        run: What the run is asked for.
        datasets: The datasets.
        classes: Names of the classes, and how items are read.
        model: The native config, prepared, and where its weights start.
        augmentation: What images go through before the native pipeline.
        folds: Holdout and folds.
        training: What the training parts of folds have beside.
        trained: What is trained, seeds included.
        cells: Tells the cells of images; ``None`` where images are not cut.
    """

    settings: ExperimentSettings
    files: ExperimentFiles
    run: RunOptions
    datasets: DatasetCatalog
    classes: ClassSource
    model: ModelPlan
    augmentation: AugmentationPlan
    folds: CrossValidation
    training: TrainingFolds
    trained: TrainedFolds
    cells: "CellCatalog | None"


def assemble(
    settings: ExperimentSettings,
    files: ExperimentFiles,
    run: RunOptions,
    datasets: DatasetCatalog,
    announcer: Announcer,
    before: "ExperimentParts | None" = None,
) -> ExperimentParts:
    """Return the parts of an experiment.

    Args:
        settings: What the YAML says.
        files: Names of the files.
        run: What the run is asked for.
        datasets: The datasets.
        announcer: Prints what is decided.
        before: The parts of an earlier state; those that nothing has changed for are kept.
    """
    if before is not None and (before.files != files or before.datasets is not datasets):
        before = None
    if before is not None and (before.settings.split, before.run.is_part) == (settings.split, run.is_part):
        folds = before.folds
    else:
        announce = partial(announcer.announce, 0)
        functions = SplitFunctions(settings.split, datasets)
        folds = CrossValidation(
            settings.split, files, datasets.labels, announce, writes=not run.is_part, functions=functions
        )
    seeds = settings.seeds.num_seeds
    all_files = [files] if seeds is None else [files.of_seed(number) for number in range(seeds)]
    trained = TrainedFolds(all_files, len(settings.stages), lambda: folds.count(datasets.known), str(files.config))
    same = before is not None and (before.settings.seeds, before.settings.stages) == (settings.seeds, settings.stages)
    classes = before.classes if before is not None and same else ClassSource(datasets, lambda: trained)
    if (
        before is not None
        and same
        and before.settings.model == settings.model
        and before.run.hardware() == run.hardware()
    ):
        model = before.model
    else:
        elsewhere = settings.stages[0].initial_weights is not None
        model = ModelPlan(settings.model, files.base, classes, run, elsewhere)
    if before is not None and before.settings.augmentation == settings.augmentation:
        augmentation = before.augmentation
    else:
        augmentation = AugmentationPlan(settings.augmentation, files.base, datasets)
    if before is not None and (before.settings.items, before.settings.split) == (settings.items, settings.split):
        training = before.training
    else:
        training = TrainingFolds(settings.items, settings.split.random_state, datasets)
    if (
        before is not None
        and same
        and before.settings.tiles == settings.tiles
        and before.settings.model == settings.model
    ):
        cells = before.cells
    else:
        grid = settings.tiles.grid
        cells = None if grid is None else CellCatalog(grid, lambda: classes.reader(model.prepared.needs_masks))
    return ExperimentParts(
        settings, files, run, datasets, classes, model, augmentation, folds, training, trained, cells
    )


class Assembly:
    """The parts of an experiment whose properties may be set at any time: they are those of what is set now.

    What is asked for is compared with what the parts were made of each time, so that a change inside a list or a
    mapping counts as well as an attribute that was set.
    """

    def __init__(self) -> None:
        self._made_of: Any = None
        self._parts: ExperimentParts | None = None

    def parts(self, values: Mapping[str, Any], holdout: Any, files: ExperimentFiles, shared: Shared) -> ExperimentParts:
        """Return the parts.

        Args:
            values: Value of each property of the schema.
            holdout: Indices of the items that are held out, as they were set.
            files: Names of the files.
            shared: What the seeds have in common; its datasets are made anew where their settings have changed.
        """
        asked = (dict(values), plain(holdout), files, shared.run)
        if self._parts is None or asked != self._made_of or self._parts.datasets is not shared.datasets:
            settings = ExperimentSettings.from_mapping(check_properties(_given(values)), asked[1])
            datasets = self._datasets(settings.data, files, shared)
            self._parts = assemble(settings, files, shared.run, datasets, shared.announcer, self._parts)
            self._made_of = copy.deepcopy(asked[:2]) + asked[2:]
        return self._parts

    def _datasets(self, settings: DataSettings, files: ExperimentFiles, shared: Shared) -> DatasetCatalog:
        """Return the datasets of these settings; one that was given stays until another one is declared."""
        known, own = shared.datasets, None if self._parts is None else self._parts.datasets
        if known is not None and known.settings == settings:
            return known
        if own is not None and own.settings == settings:
            return own
        paths = ProjectPaths.of(files.config, files.base, settings.datasets_path)
        stays = known is not None and known.settings.dataset == settings.dataset
        made = DatasetCatalog(settings, paths, known.given if known is not None and stays else None)
        if known is None or known.paths.config == files.config:  # a seed whose settings differ has its own
            shared.datasets = made
        return made


def plain(indices: Any) -> Any:
    """Return indices that can be compared: an array, a range or a tuple as a list."""
    if hasattr(indices, "tolist"):
        return indices.tolist()
    return list(indices) if isinstance(indices, Sequence) and not isinstance(indices, (str, bytes)) else indices


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties that are not what they are where nothing is said of them."""
    return {entry.name: values[entry.name] for entry in PROPERTIES if values[entry.name] != entry.default}
