"""The functions of Keras 2's ``keras.backend`` that musket_core calls, on top of ``keras.ops``."""

import sys as _sys
from typing import Any

from ....deferred import binding as _binding
from ._loading import keras as _keras

with _binding():
    _ops = _keras.ops
    abs = _ops.abs
    argmax = _ops.argmax
    cast = _ops.cast
    clip = _ops.clip
    dot = _ops.dot
    equal = _ops.equal
    exp = _ops.exp
    expand_dims = _ops.expand_dims
    greater = _ops.greater
    log = _ops.log
    maximum = _ops.maximum
    mean = _ops.mean
    minimum = _ops.minimum
    pow = _ops.power
    reshape = _ops.reshape
    round = _ops.round
    shape = _ops.shape
    sqrt = _ops.sqrt
    square = _ops.square
    squeeze = _ops.squeeze
    sum = _ops.sum
    tanh = _ops.tanh


def constant(value: Any, dtype: "str | None" = None, shape: Any = None, name: "str | None" = None) -> Any:
    tensor = _ops.convert_to_tensor(value, dtype=dtype)
    return tensor if shape is None else _ops.broadcast_to(tensor, shape)


def eval(tensor: Any) -> Any:
    return _ops.convert_to_numpy(tensor)


def get_value(variable: Any) -> Any:
    return _ops.convert_to_numpy(variable)


def set_value(variable: Any, value: Any) -> None:
    variable.assign(value)


def int_shape(tensor: Any) -> tuple:
    return tuple(tensor.shape)


def relu(tensor: Any, alpha: float = 0.0, max_value: "float | None" = None) -> Any:
    result = _ops.leaky_relu(tensor, negative_slope=alpha) if alpha else _ops.relu(tensor)
    return result if max_value is None else _ops.minimum(result, max_value)


def clear_session() -> None:
    if "keras" in _sys.modules:  # else there is none
        _keras.utils.clear_session()


def set_session(session: Any) -> None:
    """Keras 3 has no sessions."""


def __getattr__(name: str) -> Any:
    return getattr(_keras.backend, name)
