"""What forked processes need: a parent that can be forked, and an end when it ends."""

import contextlib
import ctypes
import os
import signal
from collections.abc import Sequence

import torch

from ..errors import ConfigError


def check_forkable(devices: Sequence[str]) -> None:
    """Refuse to fork processes for CUDA devices from one that uses CUDA already.

    Raises:
        ConfigError: It does.
    """
    if any(device != "cpu" for device in devices) and torch.cuda.is_initialized():
        raise ConfigError(
            "CUDA is in use in this process already, so that it cannot be forked to work on several devices: start "
            "before anything else uses CUDA, or use the command musket."
        )


def die_with_parent(parent: "int | None" = None) -> None:
    """Let this process end when its parent does, however that happens (Linux).

    Args:
        parent: The parent's process id, where it may have ended already.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if parent is not None and os.getppid() != parent:
        os._exit(1)
