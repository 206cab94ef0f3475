"""What ``mmcv._ext`` holds when it is ours: every name that MMCV asks for, with MMCV's own arguments."""

import functools
from collections.abc import Callable
from typing import Any

import torch

from ..errors import UserError
from . import (
    attention,
    carafe,
    deform_conv,
    deform_roi_pool,
    focal_loss,
    masked_conv,
    nms,
    roi_align,
    roi_pool,
    soft_nms,
)
from . import sync_bn as sync_batch_norm
from .names import NAMES

Operator = Callable[..., Any]

FAMILIES = (
    nms,
    soft_nms,
    roi_align,
    roi_pool,
    deform_roi_pool,
    deform_conv,
    attention,
    focal_loss,
    masked_conv,
    carafe,
    sync_batch_norm,
)


class MissingOperatorError(UserError, NotImplementedError):
    """An operator of MMCV that exists in compiled form only was called."""


def get_compiler_version() -> str:
    """Return what stands in MMCV's environment report as its compiler."""
    return "none (operators in PyTorch)"


def get_compiling_cuda_version() -> str:
    """Return what stands in MMCV's environment report as the CUDA version it was compiled with."""
    return "not available"


def operators() -> dict[str, Operator]:
    """Return a function for each of ``NAMES``; those that are not in PyTorch raise ``MissingOperatorError``."""
    table: dict[str, Operator] = {name: _missing(name) for name in NAMES}
    for family in FAMILIES:
        table |= {name: _as_kernel(getattr(family, name)) for name in family.__all__}
    for function in (get_compiler_version, get_compiling_cuda_version):
        table[function.__name__] = function
    return table


def _as_kernel(function: Operator) -> Operator:
    """Make it like an operator in C++: autograd does not look inside, and autocast has no say."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            if not (torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")):
                return function(*args, **kwargs)
            with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
                return function(*args, **kwargs)

    return call


def _missing(name: str) -> Operator:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise MissingOperatorError(
            f"MMCV's operator {name!r} is not among those in PyTorch: compile MMCV to use it "
            "(MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir onedl-mmcv), or choose a model "
            "that does without it."
        )

    call.__name__ = call.__qualname__ = name
    return call
