"""Lets MMCV's functions call the operators in PyTorch, whatever the environment has."""

import contextlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace

from instance_segmentation_pipeline.operators.extension import operators


@contextlib.contextmanager
def operators_in_torch() -> Iterator[SimpleNamespace]:
    """Every module of ``mmcv.ops`` holds what it calls as ``ext_module``: ours stand there meanwhile."""
    import mmcv.ops  # noqa: F401

    ours = SimpleNamespace(**operators())
    users = [module for name, module in sys.modules.items() if name.startswith("mmcv.ops.")]
    before = [(module, module.ext_module) for module in users if hasattr(module, "ext_module")]
    for module, _ in before:
        module.ext_module = ours
    try:
        yield ours
    finally:
        for module, compiled in before:
            module.ext_module = compiled
