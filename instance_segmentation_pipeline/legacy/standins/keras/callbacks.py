"""``keras.callbacks`` as a namespace of its own, so that musket_core may add CyclicLR and LRVariator to it."""

from typing import Any as _Any

from ._loading import keras as _keras

__all__ = [  # noqa: F822 - __getattr__ has them
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "TensorBoard",
    "TerminateOnNaN",
]


def __getattr__(name: str) -> _Any:
    return getattr(_keras.callbacks, name)


def __dir__() -> list:
    own = [name for name in globals() if not name.startswith("_")]
    return sorted({*own, *(name for name in dir(_keras.callbacks) if not name.startswith("_"))})
