"""MMCV's operators inside a model are given what they can read: contiguous tensors, in float32.

Their kernels go through memory as it lies, without a look at strides, and several know no bfloat16.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import torch

REDUCING: ContextVar["str | None"] = ContextVar("reduced_precision", default=None)
"""The kind of device, such as ``cpu``, on which a training iteration computes in bfloat16."""


class GuardedOperator:
    """What the class of an operator's module becomes a subclass of."""

    def forward(self, *arguments: Any, **options: Any) -> Any:
        """Compute as the operator does, of contiguous tensors, in single precision where a part computes in half."""
        arguments, options = contiguous(arguments), contiguous(options)
        device = REDUCING.get()
        if device is None:
            return super().forward(*arguments, **options)  # type: ignore[misc]
        with torch.autocast(device, enabled=False):
            return super().forward(*in_single(arguments), **in_single(options))  # type: ignore[misc]


def guard_operators(model: torch.nn.Module) -> None:
    """Guard what a model's operators are given: their classes become subclasses, in place."""
    for module in model.modules():
        if is_operator(module) and not isinstance(module, GuardedOperator):
            module.__class__ = derived(GuardedOperator, type(module))


def is_operator(module: torch.nn.Module) -> bool:
    """Say whether a module is one of MMCV's operators."""
    return type(module).__module__.startswith("mmcv.ops")


def contiguous(value: Any) -> Any:
    """Return a value with its tensors contiguous; lists, tuples and mappings are looked into."""
    return _with(value, torch.Tensor.contiguous)


def in_single(value: Any) -> Any:
    """Return a value with its bfloat16 tensors as float32; lists, tuples and mappings are looked into."""
    return _with(value, lambda tensor: tensor.float() if tensor.dtype == torch.bfloat16 else tensor)


def _with(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_with(one, change) for one in value))
    if type(value) in (list, tuple):
        return type(value)(_with(one, change) for one in value)
    if type(value) is dict:
        return {key: _with(one, change) for key, one in value.items()}
    return value


def derived(kind: type, of: type) -> type:
    """Return a class of two bases, the first's methods before the second's, that has the name of the second."""
    if (kind, of) not in _DERIVED:
        names = {"__module__": of.__module__, "__qualname__": of.__qualname__, "__doc__": of.__doc__}
        _DERIVED[kind, of] = type(of.__name__, (kind, of), names)
    return _DERIVED[kind, of]


_DERIVED: dict[tuple[type, type], type] = {}
