"""Weights in channels-last memory, and the state of optimizers beside them."""

import torch

from .operator_inputs import guard_operators, is_operator

CHANNELS_LAST_KEY = "channels_last"
"""Where a stage's config says that its model lies in channels-last memory."""


def lay_channels_last(model: torch.nn.Module) -> None:
    """Lay a model's convolutions out as ``(N, H, W, C)`` in memory; what they compute follows, in the same shapes.

    MMCV's operators, which read memory as it lies, stay as they are, and are given contiguous tensors.
    """
    guard_operators(model)
    _lay(model)


PLAIN = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
_FORWARDS = [kind.forward for kind in PLAIN]
"""Convolutions with a way of their own, such as those that standardise their weights, may take them apart by views."""


def _lay(module: torch.nn.Module) -> None:
    if is_operator(module):
        return
    for parameter in module.parameters(recurse=False):
        if parameter.dim() == 4 and isinstance(module, PLAIN) and type(module).forward in _FORWARDS:
            parameter.data = _channels_last(parameter.data)
    for child in module.children():
        _lay(child)


def _channels_last(weights: torch.Tensor) -> torch.Tensor:
    """Return weights in channels-last memory, with the strides that their gradients get.

    ``contiguous`` leaves strides of dimensions of size 1 as they are; torch then warns where several
    processes train one net.
    """
    return torch.empty_like(weights, memory_format=torch.channels_last).copy_(weights)


def settle_state(optimizer: torch.optim.Optimizer) -> None:
    """Make the state that an optimizer was given from a checkpoint fit its weights and the way it was made to step.

    Fused kernels go through weights, gradients and state as they lie in memory: a state of another layout would be
    taken for what it is not.
    """
    for group in optimizer.param_groups:
        for key in ("fused", "foreach"):
            if key in optimizer.defaults:
                group[key] = optimizer.defaults[key]
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for name, value in state.items():
                if not isinstance(value, torch.Tensor):
                    continue
                if name == "step" and value.dim() == 0:
                    state[name] = value.to(parameter.device if group.get("fused") else "cpu")
                elif value.shape == parameter.shape and value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
