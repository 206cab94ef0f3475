"""Keras 3 on its torch backend, in the shape of Keras 2; the real ``keras`` stays as it is.

What musket_core adds to Keras (custom objects, two callbacks) is kept in these stand-ins.
"""

import os as _os
from importlib.util import find_spec as _find_spec
from typing import Any


def _import_keras() -> Any:
    """Import the real Keras; where TensorFlow is absent and no backend was chosen, on torch."""
    if "KERAS_BACKEND" in _os.environ or _find_spec("tensorflow") is not None:
        import keras

        return keras
    _os.environ["KERAS_BACKEND"] = "torch"
    try:
        import keras
    finally:
        del _os.environ["KERAS_BACKEND"]
    return keras


_real = _import_keras()

from . import backend as backend  # noqa: E402
from . import callbacks as callbacks  # noqa: E402
from . import metrics as metrics  # noqa: E402
from . import utils as utils  # noqa: E402


def __getattr__(name: str) -> Any:
    return getattr(_real, name)
