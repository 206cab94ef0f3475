"""The YAML's properties as frozen, typed settings, in groups by who goes by them; made from the schema's table.

A field has the name of its property in snake case: ``images_per_gpu`` is ``imagesPerGpu``. Settings are values: two are
equal where nothing was changed, and what is made from them can be kept as long as they are.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from ..detection.tiles import Grid
from .callbacks import StageDeclarations, callbacks_of_stage
from .optimization import frozen_encoders
from .schema import PROPERTIES
from .tiles import grid_of


def field_of(name: str) -> str:
    """Return the field that holds a property: its name in snake case."""
    return re.sub(r"(?<=[a-z])([A-Z]+)", lambda match: f"_{match[1].lower()}", name)


KEYS = {field_of(entry.name): entry.name for entry in PROPERTIES}
"""Property of each field."""


G = TypeVar("G", bound="Group")


class Group:
    """Settings that are read from a mapping of properties."""

    @classmethod
    def of(cls: type[G], values: Mapping[str, Any], **further: Any) -> G:
        """Return the group's share of some properties.

        Args:
            values: Value of each property, as ``schema.check_properties`` returns them.
            further: Fields that are no properties.
        """
        names = [field.name for field in fields(cls) if field.name not in further]  # type: ignore[arg-type]
        return cls(**{name: copy.deepcopy(values[KEYS[name]]) for name in names}, **further)


@dataclass(frozen=True)
class StageSettings:
    """One stage: how many epochs, at what learning rate (``None``: the experiment's), on which items, what learns."""

    epochs: int
    lr: "float | None" = None
    negatives: "str | float | None" = None
    validation_negatives: "str | float | None" = None
    loss: "dict[str, float] | None" = None
    initial_weights: "str | None" = None
    freeze_encoder: "bool | None" = None
    unfreeze_encoder: "bool | None" = None
    callbacks: Any = None
    extra_callbacks: Any = None
    log_all: "bool | None" = None


@dataclass(frozen=True)
class ModelSettings(Group):
    """What a native config is prepared by, and where its weights come from."""

    config_path: str
    shape: Any
    multiscale_mode: "str | None"
    manual_resize: bool
    weights_path: "str | None"
    reset_heads: bool
    trust_weights: bool
    pretrained: bool
    native_pipeline: bool
    config_options: dict[str, Any]
    images_per_gpu: "int | None"
    batch: "int | None"
    workers_per_gpu: "int | None"
    inference_batch: "int | None"
    amp: "bool | str"
    channels_last: "bool | None"
    ema: "bool | dict[str, float] | None"
    lr: "float | None"
    optimizer: "str | dict[str, Any] | None"
    loss: "dict[str, float] | None"
    max_detections: "int | None"
    freeze_encoder: bool
    clipnorm: "float | None"
    clipvalue: "float | None"
    accumulation: "int | None"


@dataclass(frozen=True)
class DataSettings(Group):
    """What datasets are made by, and how their items are read."""

    dataset: Any
    datasets: dict[str, Any]
    preprocessing: Any
    declarations: dict[str, Any]
    datasets_path: "str | None"
    imports: list[str]
    classes: "int | None"
    bbox_order: "str | None"
    bbox_source: "str | None"


@dataclass(frozen=True)
class AugmentationSettings(Group):
    """What images go through before the native pipeline: imgaug's augmenters, as the YAML declares them."""

    augmentation: Any
    transforms: Any


@dataclass(frozen=True)
class SplitSettings(Group):
    """What decides holdout and folds; ``holdout`` are indices that were set, as they were given."""

    folds_count: int
    validation_split: float
    test_split: float
    test_split_seed: int
    random_state: int
    stratified: bool
    group_func: Any
    pretrain_transform: Any
    holdout: Any = None


@dataclass(frozen=True)
class ItemSettings(Group):
    """Which items there are to train on beside the split's, and which of them an epoch shows."""

    extra_train_data: Any
    dataset_augmenter: "dict[str, Any] | None"
    max_epoch_size: "int | None"
    steps_per_epoch: "int | None"
    show_data_examples: bool


@dataclass(frozen=True)
class CallbackSettings(Group):
    """What is done and decided while a stage trains, where the stage has none of its own."""

    callbacks: Any


@dataclass(frozen=True)
class TileSettings(Group):
    """How large images are cut into cells, to train and to predict on."""

    crops: "int | None"
    tiles: "dict[str, Any] | None"

    @property
    def grid(self) -> "Grid | None":
        """Return how images are cut, ``None`` where they are not."""
        return grid_of(self.crops, self.tiles)

    def given(self) -> dict[str, Any]:
        """Return what is given, by the names of the properties."""
        return {name: str(value) for name, value in (("crops", self.crops), ("tiles", self.tiles)) if value is not None}


@dataclass(frozen=True)
class SeedSettings(Group):
    """Which trainings there are."""

    num_seeds: "int | None"
    seed: int
    random_state: int


@dataclass(frozen=True)
class MetricSettings(Group):
    """What is measured, and what decides."""

    primary_metric: "str | None"
    primary_metric_mode: str
    metrics: list[str]
    final_metrics: "list[str | dict[str, Any]] | None"
    experiment_result: "str | None"


@dataclass(frozen=True)
class TrackingSettings(Group):
    """Who is told of a training, and how the experiment is called there."""

    trackers: "list[dict[str, dict[str, Any]]]"
    description: "str | None"
    tags: "list[str] | dict[str, str]"


@dataclass(frozen=True)
class ShowingSettings(Group):
    """What is shown and kept of a training's course."""

    verbose: int
    log_all: bool
    dump_predictions_to_csv: bool


@dataclass(frozen=True)
class InferenceSettings(Group):
    """How trained weights are asked."""

    threshold: float
    storage_threshold: float
    fusion: str
    fusion_iou: float
    test_time_augmentation: Any
    inference_batch: "int | None"


@dataclass(frozen=True)
class ExperimentSettings:
    """All that the YAML says, and what was set on the config since it was read."""

    stages: tuple[StageSettings, ...]
    model: ModelSettings
    data: DataSettings
    augmentation: AugmentationSettings
    split: SplitSettings
    items: ItemSettings
    callbacks: CallbackSettings
    tiles: TileSettings
    seeds: SeedSettings
    metrics: MetricSettings
    inference: InferenceSettings
    showing: ShowingSettings
    tracking: TrackingSettings

    @property
    def frozen_encoders(self) -> list[bool]:
        """Whether each stage's encoder is frozen."""
        return frozen_encoders(self.model.freeze_encoder, self.stages)

    def callbacks_of(self, number: int) -> StageDeclarations:
        """Return the callbacks of a stage."""
        stage = self.stages[number]
        found = callbacks_of_stage(self.callbacks.callbacks, stage.callbacks, stage.extra_callbacks, number)
        return StageDeclarations(found)

    def logs_batches(self, stage: int) -> bool:
        """Say whether a CSV has the batches of a stage: as the stage says, else as the experiment does."""
        said = self.stages[stage].log_all
        return self.showing.log_all if said is None else said

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], holdout: Any = None) -> "ExperimentSettings":
        """Return settings from checked properties.

        Args:
            values: Value of each property, as ``schema.check_properties`` returns them.
            holdout: Indices of the items that ``setHoldout`` was given.
        """
        return cls(
            stages=tuple(
                StageSettings(**{field_of(name): value for name, value in stage.items()}) for stage in values["stages"]
            ),
            model=ModelSettings.of(values),
            data=DataSettings.of(values),
            augmentation=AugmentationSettings.of(values),
            split=SplitSettings.of(values, holdout=holdout),
            items=ItemSettings.of(values),
            callbacks=CallbackSettings.of(values),
            tiles=TileSettings.of(values),
            seeds=SeedSettings.of(values),
            metrics=MetricSettings.of(values),
            inference=InferenceSettings.of(values),
            showing=ShowingSettings.of(values),
            tracking=TrackingSettings.of(values),
        )
