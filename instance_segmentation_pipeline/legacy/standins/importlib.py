"""``importlib`` whose ``import_module`` knows the stand-ins: musket_core imports ``keras.callbacks`` by name."""

import functools
import importlib as _real
from types import ModuleType
from typing import Any

from ...deferred import is_binding
from ..rewriting import SERVED, standin_of


def import_module(name: str, package: "str | None" = None) -> ModuleType:
    root = name.partition(".")[0]
    if root == "keras":
        keras = _real.import_module(standin_of(root))
        if name not in SERVED and is_binding():
            return functools.reduce(getattr, name.split(".")[1:], keras)
    return _real.import_module(standin_of(name), package)


def __getattr__(name: str) -> Any:
    return getattr(_real, name)
