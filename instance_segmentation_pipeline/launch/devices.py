"""The devices of this machine, and which of them a net gets."""

import os

import torch

from ..errors import ConfigError

MOST_ON_CPU = max(64, 4 * (os.cpu_count() or 1))
"""Processes that train at the same time without a GPU, at most."""


def gpu_count() -> int:
    """Return how many CUDA devices this process can use."""
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # counting must not begin to use CUDA: groups fork
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def gpu_memory() -> int:
    """Return the bytes of memory of the first CUDA device; it begins to use CUDA, and must not fork afterwards."""
    return int(torch.cuda.get_device_properties(0).total_memory)


def devices_for(gpus_per_net: int, first: int = 0) -> list[str]:
    """Return the devices of a net: ``cuda:<n>`` from number ``first`` on, or ``cpu`` as often as there is no GPU.

    Raises:
        ConfigError: None, or more than there are, were asked for.
    """
    if gpus_per_net < 1:
        raise ConfigError(f"gpus_per_net is {gpus_per_net}, expected 1 or more: without a GPU, 1 stands for the CPU.")
    count = gpu_count()
    if not count and gpus_per_net > MOST_ON_CPU:
        raise ConfigError(f"gpus_per_net is {gpus_per_net}, expected {MOST_ON_CPU} at most on a CPU: lower it.")
    if not count:
        return ["cpu"] * gpus_per_net
    if first + gpus_per_net > count:
        raise ConfigError(
            f"gpus_per_net is {gpus_per_net}, but this machine has {count} CUDA devices: ask for {count} at most."
        )
    return [f"cuda:{number}" for number in range(first, first + gpus_per_net)]


def leases(num_gpus: int, gpus_per_net: int, num_workers: int) -> list[list[str]]:
    """Return the lists of devices of the nets that train at the same time: ``num_workers`` of them at most.

    Raises:
        ConfigError: ``num_gpus`` is less than ``gpus_per_net``, or more than there are.
    """
    if num_gpus < gpus_per_net:
        raise ConfigError(f"num_gpus is {num_gpus}, less than gpus_per_net {gpus_per_net}: raise it.")
    count = max(1, min(num_workers, num_gpus // gpus_per_net))
    if count * gpus_per_net > MOST_ON_CPU and not gpu_count():
        raise ConfigError(f"num_gpus is {num_gpus}, expected {MOST_ON_CPU} at most on a CPU: lower it.")
    return [devices_for(gpus_per_net, slot * gpus_per_net) for slot in range(count)]
