"""What this machine has to train with."""

import os
from dataclasses import dataclass

from ..launch.devices import gpu_count, gpu_memory


@dataclass(frozen=True)
class Machine:
    """What there is.

    Attributes:
        gpus: CUDA devices.
        gpu_gigabytes: Memory of the first one.
        cores: Cores that this process may use.
    """

    gpus: int
    gpu_gigabytes: float
    cores: int

    @classmethod
    def this(cls) -> "Machine":
        """Return what this machine has."""
        gpus = gpu_count()
        return cls(gpus, gpu_memory() / 2**30 if gpus else 0.0, len(os.sched_getaffinity(0)))

    def __str__(self) -> str:
        if self.gpus:
            return f"{self.gpus} GPU of {self.gpu_gigabytes:.0f} GB"
        return f"{self.cores} CPU core{'' if self.cores == 1 else 's'}, no GPU"
