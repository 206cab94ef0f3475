"""``RunOptions``: what a run is asked for beside the YAML, such as devices, cluster and time."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from types import NoneType
from typing import Any

from ..errors import ConfigError, shortened
from ..launch.deadline import Deadline
from ..launch.devices import devices_for, gpu_count, leases
from ..launch.executors import Executor, executor_for
from ..launch.torchrun import TorchrunExecutor


@dataclass(frozen=True)
class RunOptions:
    """What a run works with; a value, so that whoever holds it holds what was asked when it began.

    Attributes:
        gpus_per_net: Devices that train one net together.
        num_gpus: Devices of this machine to use at all.
        num_workers: Nets to work with at the same time.
        lease: Names of the devices that this process was given, in place of any of the machine's.
        joined: The executor among the processes that torchrun started, ``None`` where it started none.
        cluster: Ray cluster that the folds train on.
        cache: Folder for downloads.
        resume: Go on where an earlier run stopped.
        replace_finished: Train a finished experiment anew; what it trained is put aside.
        break_lock: Take the lock of a machine that is gone.
        is_part: Take part in a run that another process began: what that one wrote is read, and not made here.
        expires: Time of ``time.monotonic`` at which training ends.
        reporter: Musket's, whose ``isCanceled`` ends training too.
        within_lock: Entered while the run holds its lock.
    """

    gpus_per_net: int = 1
    num_gpus: int = 1
    num_workers: int = 1
    lease: tuple[str, ...] = ()
    joined: "TorchrunExecutor | None" = None
    cluster: "str | None" = None
    cache: "Path | None" = None
    resume: bool = False
    replace_finished: bool = False
    break_lock: bool = False
    is_part: bool = False
    expires: "float | None" = None
    reporter: Any = None
    within_lock: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext

    def __post_init__(self) -> None:
        for name in ("gpus_per_net", "num_gpus", "num_workers"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise ConfigError(f"{name} is {shortened(value)}, expected a whole number from 1 on.")
        for name, kinds, expected in (
            ("cluster", (str, NoneType), "auto, an address or None"),
            ("cache", (str, PurePath, NoneType), "a folder or None"),
            ("expires", (int, float, NoneType), "a time of time.monotonic() or None"),
        ):
            if not isinstance(getattr(self, name), kinds):
                raise ConfigError(f"{name} is {shortened(getattr(self, name))}, expected {expected}.")
        object.__setattr__(self, "lease", tuple(self.lease))
        object.__setattr__(self, "cache", None if self.cache is None else Path(self.cache))

    def devices(self) -> list[str]:
        """Return the devices that train one net: those of the lease, else the first ``gpus_per_net`` of the machine.

        Raises:
            ConfigError: There are not so many.
        """
        if self.joined is not None:
            return [self.joined.device]
        return list(self.lease) or devices_for(self.gpus_per_net)

    def answering_devices(self) -> list[str]:
        """Return the devices that predict, each with a net of its own: all that the run may use.

        ``num_workers`` of more than 1 says how many nets there are at the same time.

        Raises:
            ConfigError: There are not so many.
        """
        if self.joined is not None:
            return [self.joined.device]
        if self.lease:
            return list(self.lease)
        count = max(self.num_gpus, self.gpus_per_net)
        slots = leases(count, 1, count if self.num_workers == 1 else self.num_workers)
        return [device for slot in slots for device in slot]

    def executor(self) -> Executor:
        """Return what runs jobs on these devices."""
        if self.joined is not None:
            return self.joined
        return executor_for(self.devices())

    def deadline(self) -> Deadline:
        """Return when the run is to end: at its time, or when somebody has cancelled it."""
        return Deadline(self.expires, self._is_cancelled)

    def hardware(self) -> tuple[Any, ...]:
        """Return what a native config is prepared for: kinds and number of devices, and the folder for downloads."""
        kinds = {device.partition(":")[0] for device in self.lease} or {"cuda" if gpu_count() else "cpu"}
        return kinds, self.gpus_per_net, self.joined, self.cache

    def _is_cancelled(self) -> bool:
        return self.reporter is not None and bool(self.reporter.isCanceled())


class RunAttribute:
    """An attribute of a config that asks for something of a run: it is a field of the config's ``RunOptions``.

    Args:
        field: Name of the field.
    """

    def __init__(self, field: str) -> None:
        self.field = field

    def __get__(self, config: Any, owner: "type | None" = None) -> Any:
        """Return what is asked for."""
        return self if config is None else getattr(config.run, self.field)

    def __set__(self, config: Any, value: Any) -> None:
        """Ask for something else."""
        config.run = replace(config.run, **{self.field: value})
