"""Musket ML experiments that train MMDetection models.

Importing this package is cheap on purpose: it is imported at every interpreter start (by the ``.pth``
bootstrap) and by ``musket --help``. The public names below load their modules on first use. From the import on,
MMCV finds its operators in ``operators`` where it has no compiled ones.
"""

from . import mixed_environments as _mixed_environments

TYPE_CHECKING = False
if TYPE_CHECKING:  # not at an interpreter's start: a stranger's module typing may lie on PYTHONPATH
    from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "PipelineConfig": "experiment.pipeline_config",
    "train_detector": "training.train_detector",
    "UserError": "errors",
}
__all__ = [*sorted(_PUBLIC), "__version__"]


def __getattr__(name: str) -> "Any":
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


if not _mixed_environments.refuse():
    from .operators import install as _serve_operators

    _serve_operators()
