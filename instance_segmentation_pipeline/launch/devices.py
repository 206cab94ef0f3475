"""The devices of this machine that can train."""

import os

import torch

from ..errors import ConfigError


def gpu_count() -> int:
    """Return how many CUDA devices this process can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def choose_device(gpus_per_net: int = 1) -> str:
    """Return the device for a net: the first CUDA device where there is one, else ``cpu``.

    Raises:
        ConfigError: No device, or more than one, was asked for.
    """
    if gpus_per_net < 1:
        raise ConfigError(f"gpus_per_net is {gpus_per_net}, expected 1 or more: without a GPU, 1 stands for the CPU.")
    if gpus_per_net > 1:
        raise ConfigError(
            f"gpus_per_net is {gpus_per_net}, but this version trains a net on one device: use gpus_per_net 1."
        )
    return "cuda:0" if gpu_count() else "cpu"


def cpu_count() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
