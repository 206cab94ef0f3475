"""The few names of TensorFlow 1 that musket_core touches, without TensorFlow.

Sessions and devices were TensorFlow's way to pick a GPU; MMDetection models run on torch, so here they only
keep their shape.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any


class GPUOptions:
    def __init__(self, **options: Any) -> None:
        self.__dict__.update(options)


class ConfigProto:
    def __init__(self, gpu_options: "GPUOptions | None" = None, **options: Any) -> None:
        self.gpu_options = gpu_options or GPUOptions()
        self.__dict__.update(options)


class Session:
    def __init__(self, config: "ConfigProto | None" = None, **options: Any) -> None:
        self.config = config

    @contextmanager
    def as_default(self) -> Iterator["Session"]:
        yield self

    def close(self) -> None:
        pass


def device(name: str) -> Any:
    return nullcontext(name)


def _gpu_device_name() -> str:
    import torch

    return "/device:GPU:0" if torch.cuda.is_available() else ""


test = SimpleNamespace(gpu_device_name=_gpu_device_name)
