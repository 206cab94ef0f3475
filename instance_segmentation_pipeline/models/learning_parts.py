"""Which parts of a model learn, and what from: a frozen encoder, and the weights of the parts of the loss."""

from collections.abc import Iterator, Mapping

import torch
from mmengine.config import Config

from ..errors import ConfigError, nearest
from .config_tree import Node, walk

FROZEN_KEY = "freezes_encoder"
"""Where a stage's config says that its encoder is frozen."""

ENCODER = "backbone"


def set_loss_weights(model: Node, weights: Mapping[str, float], where: str) -> "str | None":
    """Set ``loss_weight`` of parts of the loss, in place.

    Args:
        model: The model's config.
        weights: Weight of each part: its name, for all parts of that name, or its dotted path or the end of one.
        where: What messages call the mapping, such as ``loss`` or ``stages``.

    Returns:
        A line on what was set, ``None`` where nothing was.

    Raises:
        ConfigError: The model has no such part.
    """
    parts = {path: node for path, node in walk(model) if path.rpartition(".")[2].startswith("loss") and "type" in node}
    for name, weight in weights.items():
        chosen = [path for path in parts if f".{_unnumbered(path)}".endswith(f".{name}") or path == name]
        if not chosen:
            known = list(dict.fromkeys(path if "." in name else path.rpartition(".")[2] for path in parts))
            raise ConfigError(
                f"{where}: the model has no part {name!r} of its loss{nearest(name, known)}: it has {', '.join(known)}."
            )
        for path in chosen:
            parts[path]["loss_weight"] = weight
    return "loss weights: " + ", ".join(f"{name} {weight:g}" for name, weight in weights.items()) if weights else None


def _unnumbered(path: str) -> str:
    return ".".join(part for part in path.split(".") if not part.isdecimal())


def set_frozen_encoder(config: Config) -> str:
    """Say in a stage's config that its encoder is frozen; return a line on it.

    Raises:
        ConfigError: The model has no encoder.
    """
    if not any(path.rpartition(".")[2] == ENCODER for path, _ in walk(config.model)):
        raise ConfigError(
            f"freeze_encoder: the model {config.model.get('type')} of configPath has no {ENCODER} to freeze: remove it."
        )
    config[FROZEN_KEY] = True
    return "encoder: frozen, with its normalisation"


def encoders(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """Yield the encoders of a model."""
    for name, module in model.named_modules():
        if name.rpartition(".")[2] == ENCODER:
            yield module


def freeze(model: torch.nn.Module) -> None:
    """Let the weights of a model's encoder get no gradients."""
    for encoder in encoders(model):
        encoder.requires_grad_(False)
