"""``importlib`` whose ``import_module`` knows the stand-ins: musket_core imports ``keras.callbacks`` by name."""

import importlib as _real
from types import ModuleType
from typing import Any

from ..rewriting import standin_of


def import_module(name: str, package: "str | None" = None) -> ModuleType:
    root = name.partition(".")[0]
    if root == "keras":
        _real.import_module(standin_of(root))
    return _real.import_module(standin_of(name), package)


def __getattr__(name: str) -> Any:
    return getattr(_real, name)
