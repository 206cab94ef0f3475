"""``numpy`` with the names that NumPy 1.24 and 2.0 removed and that code of 2019 uses."""

import builtins
from typing import Any

import numpy as _real

globals().update({_name: _value for _name, _value in vars(_real).items() if not _name.startswith("_")})

bool = builtins.bool
int = builtins.int
float = builtins.float
complex = builtins.complex
object = builtins.object
str = builtins.str
float_ = _real.float64
sctypes = {
    "int": [_real.int8, _real.int16, _real.int32, _real.int64],
    "uint": [_real.uint8, _real.uint16, _real.uint32, _real.uint64],
    "float": [_real.float16, _real.float32, _real.float64],
    "complex": [_real.complex64, _real.complex128],
    "others": [bool, object, bytes, str, _real.void],
}


def __getattr__(name: str) -> Any:
    return getattr(_real, name)
