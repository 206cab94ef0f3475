"""Several trainings of one experiment that differ by their seed alone: ``num_seeds``.

Each lies in a folder of its own below the experiment's, ``0``, ``1``, …, and is an experiment with a YAML of its own,
``config_concrete.yaml``, as musket_core lays them out. Folds and holdout are the same for all: what one has trained on,
another is not measured on, so that they can be blended.
"""

import math
from collections.abc import Sequence
from typing import Any

from ..config.loader import HEADER, common_of, read_config
from ..metrics.fold_statistics import over_folds
from ..storage.atomic import write_yaml

HANDED_DOWN = (
    "cache",
    "cluster",
    "deadline",
    "expires",
    "gpus",
    "lease",
    "num_gpus",
    "num_workers",
    "refit",
    "resume",
    "_announced",
    "_dataset",
    "_given",
    "_labels",
    "_reporter",
    "writes_split",
)
"""Attributes that the trainings take from the experiment: devices, times, the dataset, and what was read of it."""


class Seeding:
    """The part of ``PipelineConfig`` that knows of several seeds."""

    files: Any
    num_seeds: "int | None"
    _seeds: "list[Any] | None" = None

    def members(self) -> list[Any]:
        """Return the configs that are trained: one for each seed, or just this one."""
        return self.seeds() or [self]

    def seeds(self) -> list[Any]:
        """Return the configs of the single seeds; none without ``num_seeds``."""
        if self.num_seeds is None:
            return []
        if self._seeds is None:
            self._seeds = [self._of_seed(number) for number in range(self.num_seeds)]
        for member in self._seeds:
            for name in HANDED_DOWN:
                setattr(member, name, getattr(self, name))
        return self._seeds

    def _of_seed(self, number: int) -> Any:
        from musket_core import generic

        files = self.files.of_seed(number)
        properties = read_config(self.files.config, common_of(self.files.config))
        properties.pop("num_seeds")
        properties["seed"] = number
        if not files.config.exists() or read_config(files.config) != properties:
            write_yaml(files.config, properties, f"{HEADER}\n")
        return generic.parse(str(files.config))


def summary_of_seeds(summaries: Sequence[dict]) -> dict:
    """Return ``stages`` and ``allStages`` over the summaries of all seeds.

    Each metric has mean, max, min and std over the seeds; of one that a summary has over folds, its mean counts.
    """
    stages = [_over_seeds(values) for values in zip(*(summary["stages"] for summary in summaries), strict=True)]
    return {"stages": stages, "allStages": _over_seeds([summary["allStages"] for summary in summaries])}


def _over_seeds(values: Sequence[dict]) -> dict:
    names = dict.fromkeys(name for value in values for name in value)
    return {name: over_folds([_number(value.get(name, math.nan)) for value in values]) for name in names}


def _number(value: Any) -> float:
    return float(value["mean"] if isinstance(value, dict) else value)
