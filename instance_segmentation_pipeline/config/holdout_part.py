"""``holdout``: the part of the dataset that is held out, written beside ``dataset`` instead of within it."""

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, shortened

HOLDOUT = "holdout"
PARTS = ("train", "validation", HOLDOUT)


def with_holdout(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties with ``holdout`` as a part of ``dataset``, which is where it goes.

    Raises:
        ConfigError: It declares no dataset, there is none that it is beside, or there is another holdout.
    """
    properties = {key: value for key, value in raw.items() if key != HOLDOUT}
    holdout, dataset = raw.get(HOLDOUT), raw.get("dataset")
    if holdout is None:
        return properties
    others = raw.get("datasets") if isinstance(raw.get("datasets"), dict) else {}
    held = part_of(holdout, others or {})
    if not isinstance(dataset, (str, dict, list)) or not dataset:
        raise ConfigError(
            "holdout declares what is held out beside dataset, which is missing: give it, or name the items that are "
            "held out by cfg.setHoldout(indices)."
        )
    if isinstance(dataset, dict) and HOLDOUT in dataset:
        raise ConfigError("holdout is given twice, alone and in dataset: remove one.")
    if raw.get("testSplit"):
        raise ConfigError("testSplit draws what is held out, and holdout declares it: remove one.")
    is_parted = isinstance(dataset, dict) and set(dataset) <= set(PARTS)
    parts = dataset if is_parted and isinstance(dataset, dict) else {"train": part_of(dataset, others or {})}
    return {**properties, "dataset": {**parts, HOLDOUT: held}}


def part_of(declaration: Any, datasets: Mapping[str, Any]) -> Any:
    """Return a dataset's declaration as a part of ``dataset`` has it: a mapping or a list.

    Args:
        declaration: A provider's name, an entry of ``datasets``, or what such an entry is.
        datasets: The entries.

    Raises:
        ConfigError: It is none of these.
    """
    if isinstance(declaration, str) and declaration.strip():
        return part_of(datasets[declaration], {}) if declaration in datasets else {declaration: None}
    if not isinstance(declaration, (dict, list)) or not declaration:
        raise ConfigError(
            f"holdout is {shortened(declaration)}, but it must be a provider's name, or a mapping of it to its "
            "arguments."
        )
    return declaration
