"""Lets MMCV's functions call other operators than those it found at its import."""

import contextlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from instance_segmentation_pipeline.operators.extension import operators


@contextlib.contextmanager
def mmcv_with(extension: Any) -> Iterator[Any]:
    """Every module of ``mmcv.ops`` holds what it calls as ``ext_module``: ``extension`` stands there meanwhile."""
    import mmcv.ops  # noqa: F401

    users = [module for name, module in sys.modules.items() if name.startswith("mmcv.ops.")]
    before = [(module, module.ext_module) for module in users if hasattr(module, "ext_module")]
    for module, _ in before:
        module.ext_module = extension
    try:
        yield extension
    finally:
        for module, found in before:
            module.ext_module = found


def operators_in_torch() -> contextlib.AbstractContextManager:
    """MMCV with the operators in PyTorch, whatever the environment has."""
    return mmcv_with(SimpleNamespace(**operators()))
