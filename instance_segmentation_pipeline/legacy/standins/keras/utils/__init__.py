"""``keras.utils`` with Keras 2's names, and a register of custom objects that is musket_core's own."""

from typing import Any

from .._loading import keras as _keras
from . import data_utils as data_utils

_custom_objects: dict = {}


def get_custom_objects() -> dict:
    return _custom_objects


def multi_gpu_model(model: Any, gpus: Any = None, *args: Any, **options: Any) -> Any:
    raise NotImplementedError("multi_gpu_model left Keras in 2.4; MMDetection experiments use --gpus_per_net")


def __getattr__(name: str) -> Any:
    return getattr(_keras.utils, name)
