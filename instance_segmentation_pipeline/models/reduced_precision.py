"""bfloat16 in a model's networks, and in nothing else: what learns, assigns, samples and suppresses sees float32.

Autocast is on inside backbone, neck, heads, encoders and decoders while a training iteration computes its losses. What
they answer is float32 again, so that losses, targets, assigners, samplers and non-maximum suppression compute as in
single precision, and MMCV's operators inside them, of which several know no bfloat16, do so too. Validation and
prediction are in single precision always.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from mmdet.models.detectors.base import BaseDetector
from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from .operator_inputs import REDUCING, derived, guard_operators, in_single

WRAPPER = "ReducedPrecisionWrapper"
_KEPT = ("backbone", "neck")
"""Parts whose answers are read by other parts alone, in models without RoI heads."""


@OPTIM_WRAPPERS.register_module()
class ReducedPrecisionWrapper(OptimWrapper):
    """MMEngine's wrapper of an optimizer with bfloat16 in the networks; its range needs no scaling of the loss."""

    @contextlib.contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        """Let the networks of a model that ``let_reduce`` prepared compute in bfloat16."""
        token = REDUCING.set(next(model.parameters()).device.type)
        try:
            with super().optim_context(model):
                yield
        finally:
            REDUCING.reset(token)


class ReducedPart:
    """What the class of a part becomes a subclass of: its ``forward`` computes in bfloat16 where a training asks."""

    def forward(self, *arguments: Any, **options: Any) -> Any:
        """Compute as the part does; what it answers is float32."""
        answer = self._reduced(*arguments, **options)
        return answer if REDUCING.get() is None else in_single(answer)

    def _reduced(self, *arguments: Any, **options: Any) -> Any:
        device = REDUCING.get()
        if device is None:
            return super().forward(*arguments, **options)  # type: ignore[misc]
        with torch.autocast(device, torch.bfloat16):
            return super().forward(*arguments, **options)  # type: ignore[misc]


class ReducedFeatures(ReducedPart):
    """The same for a part that another part reads: its answer stays as it is."""

    def forward(self, *arguments: Any, **options: Any) -> Any:
        """Compute as the part does."""
        return self._reduced(*arguments, **options)


def let_reduce(model: torch.nn.Module) -> None:
    """Prepare a built detector for ``ReducedPrecisionWrapper``: classes of its modules become subclasses, in place."""
    guard_operators(model)
    has_rois = any(isinstance(module, BaseRoIHead) for module in model.modules())
    for name, part in _parts(model):
        keeps = name == "backbone" or (name in _KEPT and not has_rois)
        part.__class__ = derived(ReducedFeatures if keeps and hasattr(model, "neck") else ReducedPart, type(part))


def _parts(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield the networks that a detector's own code calls, with their names: what has weights, below containers."""
    for name, child in module.named_children():
        if isinstance(child, (BaseDetector, BaseRoIHead, torch.nn.ModuleList, torch.nn.ModuleDict)):
            yield from _parts(child)
        elif next(child.parameters(), None) is not None:
            yield name, child
