"""What the keys of the optimization say together; each alone is checked by the table of properties."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigError, nearest, shortened
from .values import INSIDE, Integer, Number, mapping


def check_clipping(clipnorm: "float | None", clipvalue: "float | None") -> None:
    """See to it that gradients are clipped in one way.

    Raises:
        ConfigError: Both are given.
    """
    if clipnorm is not None and clipvalue is not None:
        raise ConfigError(
            f"clipnorm is {clipnorm:g} and clipvalue {clipvalue:g}, but gradients are clipped by their norm or each by "
            "its value: remove one."
        )


def check_rates(lr: "float | None", optimizer: Any) -> None:
    """See to it that one learning rate is given.

    Raises:
        ConfigError: ``lr``, by which the optimizer goes, is another than that of ``optimizer``.
    """
    own = optimizer.get("lr") if isinstance(optimizer, Mapping) else None
    if lr is not None and own is not None and own != lr:
        raise ConfigError(
            f"lr is {lr:g}, and optimizer.lr, which does nothing beside it, {own:g}: remove one of the two."
        )


def images_per_gpu(images: "int | None", batch: "int | None", gpus: int) -> int:
    """Return how many images each of the devices that train one net is given at a time.

    Args:
        images: What ``imagesPerGpu`` says.
        batch: What ``batch`` says: images of all devices together.
        gpus: Devices that train one net.

    Raises:
        ConfigError: The two contradict each other, or the batch cannot be shared equally.
    """
    if batch is None:
        return images or 1
    if images is not None and images * gpus != batch:
        raise ConfigError(
            f"batch is {batch}, but imagesPerGpu {images} on {gpus} device{'s' * (gpus > 1)} for each net is a batch "
            f"of {images * gpus}: remove one of the two."
        )
    if batch % gpus:
        raise ConfigError(
            f"batch is {batch}, which {gpus} devices for each net cannot share equally: make it a multiple of {gpus}, "
            "or give imagesPerGpu."
        )
    return batch // gpus


def average(value: object) -> "bool | dict[str, float]":
    """Accept what ``ema`` may be: true, false, or what it is done with.

    Raises:
        ValueError: It is neither.
        ConfigError: It has a key or a value that there is not.
    """
    if isinstance(value, bool):
        return value
    asked = mapping(value)
    if not asked:
        raise ValueError
    for key, one in asked.items():
        if key not in AVERAGE_KEYS:
            raise ConfigError(f"ema.{shortened(key)} is no part of ema{nearest(key, list(AVERAGE_KEYS))}: correct it.")
        try:
            AVERAGE_KEYS[key](one)
        except (ValueError, TypeError, OverflowError):
            raise ConfigError(f"ema.{key} is {shortened(one)}, but it must be {AVERAGE_KEYS[key]}.") from None
    return {key: AVERAGE_KEYS[key](one) for key, one in asked.items()}


AVERAGE_KEYS: "dict[str, Integer | Number]" = {"momentum": INSIDE, "warmup": Integer(0, 1_000_000)}
AVERAGE = "true, false, or a mapping with momentum and warmup"


def check_freezing(stage: Mapping[str, Any], number: int) -> None:
    """See to it that a stage says one thing about its encoder.

    Raises:
        ConfigError: It has ``freeze_encoder`` and ``unfreeze_encoder``.
    """
    if stage["freeze_encoder"] is not None and stage["unfreeze_encoder"] is not None:
        raise ConfigError(f"stages[{number}] has freeze_encoder and its opposite, unfreeze_encoder: remove one.")


def check_starts(weights_path: "str | None", stages: Sequence[Mapping[str, Any]]) -> None:
    """See to it that one thing is said about what the first stage starts from.

    Raises:
        ConfigError: ``weightsPath`` would do nothing.
    """
    if weights_path is not None and stages[0]["initial_weights"] is not None:
        raise ConfigError(
            "weightsPath and stages[0].initial_weights both say what the first stage starts from: remove one."
        )


def frozen_encoders(first: bool, stages: Sequence[Any]) -> list[bool]:
    """Return whether each stage's encoder is frozen: as the stage says, else as in the stage before it.

    Args:
        first: ``freeze_encoder`` of the experiment.
        stages: Stages with ``freeze_encoder`` and ``unfreeze_encoder``.
    """
    frozen, now = [], first
    for stage in stages:
        if stage.freeze_encoder is not None:
            now = stage.freeze_encoder
        elif stage.unfreeze_encoder is not None:
            now = not stage.unfreeze_encoder
        frozen.append(now)
    return frozen
