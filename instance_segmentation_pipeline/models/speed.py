"""What makes a step faster and changes its result by rounding alone: channels-last memory, fused optimizers."""

from functools import cache

import torch
from mmengine.config import Config

from ..errors import ConfigError
from .config_tree import Node
from .memory_format import CHANNELS_LAST_KEY

FUSED = ("SGD", "Adam", "AdamW")
"""Optimizers of torch with a fused kernel for CPUs and CUDA devices."""


MEASURED = {
    "detector": (
        "CascadeRCNN",
        "CondInst",
        "DeformableDETR",
        "DINO",
        "FasterRCNN",
        "HybridTaskCascade",
        "Mask2Former",
        "MaskRCNN",
        "MaskScoringRCNN",
        "PointRend",
        "RTMDet",
        "SCNet",
        "SOLO",
        "SOLOv2",
        "YOLACT",
    ),
    "backbone": ("CSPNeXt", "ResNet", "ResNeXt", "SwinTransformer"),
}
"""Detectors and backbones that were seen to compute the same in channels-last memory, up to rounding."""


def is_measured(model: Node) -> bool:
    """Say whether channels-last memory is known to change nothing but rounding in a model, by its config."""
    backbone = model.get("backbone") or {}
    return _name(model) in MEASURED["detector"] and _name(backbone) in MEASURED["backbone"]


def _name(node: Node) -> str:
    return str(getattr(node.get("type"), "__name__", node.get("type"))).removesuffix("OnCpu")


def set_speed(config: Config, channels_last: "bool | None", decisions: list[str]) -> None:
    """Say in a stage's config how its memory lies and how its optimizer steps.

    Args:
        config: The config.
        channels_last: The property; ``None`` where nothing is said.
        decisions: Lines on what was decided are put here.

    Raises:
        ConfigError: An optimizer is asked to be fused that has no such kernel.
    """
    laid = is_measured(config.model) if channels_last is None else channels_last
    config[CHANNELS_LAST_KEY] = laid
    unknown = "" if laid or channels_last is not None else ", since no channels-last training of such a model was seen"
    decisions.append(f"memory: {'channels last' if laid else f'as it is{unknown}'}")
    optimizer = config.optim_wrapper.get("optimizer")
    if not isinstance(optimizer, dict):
        return
    kind = _name(optimizer)
    if optimizer.get("fused") and not can_fuse(kind):
        raise ConfigError(
            f"optimizer: {kind} has no fused kernel, {', '.join(FUSED)} have: leave fused out, or give one of them."
        )
    if can_fuse(kind) and not any(optimizer.get(key) is not None for key in ("fused", "foreach", "differentiable")):
        optimizer["fused"] = True
    if optimizer.get("fused"):
        decisions.append(f"optimizer steps: {kind} in one fused kernel")


@cache
def can_fuse(kind: str) -> bool:
    """Say whether this torch has a fused kernel for an optimizer."""
    if kind not in FUSED:
        return False
    try:
        getattr(torch.optim, kind)([torch.zeros(1)], lr=0.1, fused=True)
    except (RuntimeError, TypeError, ValueError):
        return False
    return True
