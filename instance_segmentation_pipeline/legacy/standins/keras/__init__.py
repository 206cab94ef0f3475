"""Keras 3 on its torch backend, in the shape of Keras 2; the real ``keras`` stays as it is.

What musket_core adds to Keras (custom objects, two callbacks) is kept in these stand-ins. Importing them does not
import Keras: that takes 4 s of CPU, and an experiment of MMDetection uses nothing of it.
"""

from typing import Any

from ._loading import keras as _real
from ._loading import watch as _watch

_watch()

from . import backend as backend  # noqa: E402
from . import callbacks as callbacks  # noqa: E402
from . import metrics as metrics  # noqa: E402
from . import utils as utils  # noqa: E402


def __getattr__(name: str) -> Any:
    return getattr(_real, name)
