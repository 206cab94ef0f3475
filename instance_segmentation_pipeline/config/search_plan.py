"""``SearchPlan``: what an experiment with ``hyperparameters`` declares, checked with the ends of all of them."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, shortened
from .pruning import Pruning, pruning_of
from .schema import check_properties
from .search_space import Space, space_of
from .search_templates import parameters_used, with_parameters, without_search

DEFAULT_EVALS = 200
"""musket_core's."""

OF_THE_SPLIT = (
    "folds_count",
    "validationSplit",
    "testSplit",
    "testSplitSeed",
    "random_state",
    "stratified",
    "groupFunc",
    "pretrain_transform",
    "holdout",
)
OF_THE_GOAL = ("primary_metric", "primary_metric_mode", "experiment_result")


def is_search(properties: Mapping[str, Any]) -> bool:
    """Say whether an experiment's properties declare a search."""
    return properties.get("hyperparameters") is not None


@dataclass(frozen=True)
class SearchPlan:
    """What a search is made of.

    Attributes:
        space: The parameters.
        templates: The properties of a trial, with texts that refer to parameters.
        max_evals: How many trials there are.
        pruning: When a trial ends early, ``None`` for never.
    """

    space: Space
    templates: dict[str, Any]
    max_evals: int
    pruning: "Pruning | None"

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> "SearchPlan":
        """Return the plan of an experiment's properties; each is checked with each end of each parameter.

        Raises:
            ConfigError: A parameter is declared wrongly, used by nothing or where all trials are alike, or
                has values that what it is used for cannot have.
        """
        space, templates = space_of(properties["hyperparameters"]), without_search(properties)
        _check_use(space, templates)
        first = {name: one.first() for name, one in space.items()}
        try:
            asked = check_properties(properties)
        except ConfigError as error:
            values = ", ".join(f"{name} {shortened(value, 30)}" for name, value in first.items())
            raise ConfigError(f"{str(error).removesuffix('.')} (hyperparameters at {values[:150]}).") from None
        plan = cls(space, templates, asked["max_evals"] or DEFAULT_EVALS, pruning_of(asked["pruning"]))
        for name, one in space.items():
            for value in one.ends():
                try:
                    check_properties(plan.properties({**first, name: value}))
                except ConfigError as error:
                    raise ConfigError(f"hyperparameters.{name}: with {shortened(value)}, {error}") from None
        return plan

    def properties(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the properties of a trial.

        Raises:
            ConfigError: An expression has no value.
        """
        filled: dict[str, Any] = with_parameters(copy.deepcopy(self.templates), copy.deepcopy(dict(parameters)))
        return filled


def _check_use(space: Space, templates: Mapping[str, Any]) -> None:
    for keys, why in (
        (OF_THE_SPLIT, "decides the split, which is one for all trials"),
        (OF_THE_GOAL, "decides what trials are compared by"),
    ):
        for key in keys:
            used = sorted(parameters_used(templates.get(key), space))
            if used:
                raise ConfigError(
                    f"{key} refers to the hyperparameter {used[0]}, but it {why}: give it a value, or "
                    "rename the parameter."
                )
    for name, declared in (templates.get("declarations") or {}).items():
        own = declared.get("parameters") if isinstance(declared, dict) else None
        clash = [one for one in own if one in space] if isinstance(own, (list, dict)) else []
        if clash:
            raise ConfigError(
                f"declarations.{name} has a parameter {clash[0]!r}, which is a hyperparameter too: rename one."
            )
    unused = [name for name in space if name not in parameters_used(dict(templates), space)]
    if unused:
        raise ConfigError(
            f"hyperparameters.{unused[0]} is used by nothing: write {unused[0]} as the value of a key, as lr: "
            f"{unused[0]}, or remove it."
        )
