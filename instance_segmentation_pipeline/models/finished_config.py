"""``FinishedConfig``: what preparing a native config gives."""

from dataclasses import dataclass

from mmengine.config import Config

from .config_tree import Pipeline


@dataclass
class FinishedConfig:
    """A config that the Runner can train, the pipelines of its two datasets, and what was decided.

    ``oversample_threshold`` is that of the native config's ``ClassBalancedDataset``, where it has one.
    """

    config: Config
    train_pipeline: Pipeline
    val_pipeline: Pipeline
    needs_masks: bool
    decisions: list[str]
    oversample_threshold: "float | None" = None
