"""How the real Keras is loaded, whoever imports it first: on torch, and then our placeholders get their bases."""

import importlib
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from ....deferred import Deferred, settle

keras = Deferred("keras", lambda: importlib.import_module("keras"))
"""The real package, imported when it is used."""


class _KerasFinder:
    """Finds the real ``keras`` once, for musket_core or a user's own module, and leaves ``sys.meta_path`` again."""

    @staticmethod
    def find_spec(fullname: str, path: Any = None, target: Any = None) -> "ModuleSpec | None":
        if fullname != "keras":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            loader.exec_module = lambda module: _execute(loader, module)
        return spec


def _execute(loader: Any, module: ModuleType) -> None:
    del loader.exec_module
    chosen = "KERAS_BACKEND" in os.environ or find_spec("tensorflow") is not None
    if not chosen:
        os.environ["KERAS_BACKEND"] = "torch"
    try:
        loader.exec_module(module)
    finally:
        if not chosen:
            del os.environ["KERAS_BACKEND"]
    vars(keras)["_real"] = module
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _KerasFinder)]
    settle()


def watch() -> None:
    """See to it that the first ``import keras`` of anybody goes through ``_execute``."""
    if "keras" in sys.modules:
        vars(keras)["_real"] = sys.modules["keras"]
    else:
        sys.meta_path.insert(0, _KerasFinder())  # type: ignore[arg-type]
