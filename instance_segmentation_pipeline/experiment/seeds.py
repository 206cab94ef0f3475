"""Several trainings of one experiment that differ by their seed alone: ``num_seeds``.

Each lies in a folder of its own below the experiment's, ``0``, ``1``, …, and is an experiment with a YAML of its own,
``config_concrete.yaml``, as musket_core lays them out. Folds and holdout are the same for all: what one has trained on,
another is not measured on, so that they can be blended.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import yaml

from ..config.loader import HEADER, common_of, read_config
from ..errors import ConfigError, one_line
from ..launch.job_environment import leads
from ..metrics.fold_statistics import over_folds
from ..storage.atomic import write_text
from ..storage.experiment_files import ExperimentFiles
from ..storage.regular_file import read_text
from ..storage.yaml_files import yaml_text

Config = TypeVar("Config")


class SeedRuns(Generic[Config]):
    """The configs of the single trainings; they are made of the experiment's settings as these are now.

    Args:
        make: Makes the config of one training of its properties, whose YAML is already written.
    """

    def __init__(self, make: Callable[[dict[str, Any], ExperimentFiles], Config]) -> None:
        self._make = make
        self._made_of: dict[str, Any] = {}
        self._configs: list[Config] = []

    def configs(
        self, values: Mapping[str, Any], written: Mapping[str, Any], files: ExperimentFiles, holdout: Any
    ) -> list[Config]:
        """Return a config for each seed; none without ``num_seeds``.

        Args:
            values: Value of each property of the schema, as it is now.
            written: The same as they were read from the YAML.
            files: Names of the experiment's files.
            holdout: Indices that are held out, as they were set.
        """
        if values["num_seeds"] is None:
            return []
        asked = {**values, "": holdout}
        if not self._configs or asked != self._made_of:
            self._configs = [self._one(number, values, written, files) for number in range(values["num_seeds"])]
            self._made_of = copy.deepcopy(asked)
        return self._configs

    def _one(self, number: int, values: Mapping[str, Any], written: Mapping[str, Any], lead: ExperimentFiles) -> Config:
        files = lead.of_seed(number)
        own = {"num_seeds": None, "seed": number}
        changed = {name: value for name, value in values.items() if value != written[name]}
        properties = {**read_config(lead.config, common_of(lead.config)), **changed, **own}
        properties = {name: value for name, value in properties.items() if value is not None}
        text = f"{HEADER}\n{_yaml_of(properties)}"
        if leads() and not (files.config.exists() and read_text(files.config) == text):
            write_text(files.config, text)
        return self._make({**copy.deepcopy(dict(values)), **own}, files)


def _yaml_of(properties: Mapping[str, Any]) -> str:
    for name, value in properties.items():
        try:
            yaml_text({name: value})
        except yaml.YAMLError as error:
            raise ConfigError(
                f"num_seeds: each seed has a YAML of its own, which cannot hold {name} ({one_line(error)[:200]}): give "
                "numbers, texts, lists and mappings."
            ) from error
    return yaml_text(dict(properties))


Summary = dict[str, Any]
"""What ``summary.yaml`` holds."""


def summary_of_seeds(summaries: Sequence[Summary]) -> Summary:
    """Return ``stages`` and ``allStages`` over the summaries of all seeds.

    Each metric has mean, max, min and std over the seeds; of one that a summary has over folds, its mean counts.
    """
    stages = [_over_seeds(values) for values in zip(*(summary["stages"] for summary in summaries), strict=True)]
    return {"stages": stages, "allStages": _over_seeds([summary["allStages"] for summary in summaries])}


def _over_seeds(values: Sequence[Summary]) -> Summary:
    names = dict.fromkeys(name for value in values for name in value)
    return {name: over_folds([_number(value.get(name, math.nan)) for value in values]) for name in names}


def _number(value: Any) -> float:
    return float(value["mean"] if isinstance(value, dict) else value)
