"""Folds on a Ray cluster: each trains on a gang of devices of one node, and goes on elsewhere when that node is lost.

Ray schedules; a fold that is started again finds its last complete checkpoint: the project lies on storage that all
nodes share, or it is copied to each node, and what is trained there comes back after each epoch.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, UserError, one_line
from ..storage.run_lock import NAME as LOCK
from ..text import printable
from .deadline import Deadline
from .executors import executor_for
from .jobs import Job, Outcome, RemoteCall
from .project_sync import ProjectServer, synced_copy

RETRIES = 3
"""How often a fold is started again after its node or its process was lost."""

INTERVAL = 1.0
"""Seconds between looks at whether the run is to end."""


class RayCluster:
    """Runs jobs on a Ray cluster, as many at a time as it has room for.

    Args:
        address: ``auto`` for the cluster that this machine is part of, or ``host:port``.
        project: The folder that is copied to nodes which do not see it.
        devices: Devices for each job: GPUs where the cluster has any, else CPUs.
        cache: Folder for downloads.
    """

    def __init__(self, address: str, project: Path, devices: int, cache: "Path | None") -> None:
        self.address, self.project, self.devices, self.cache = address, project, devices, cache

    def run(self, jobs: Sequence[Job], stop: "Deadline | None" = None) -> list[Outcome]:
        """Run jobs; of each, ``remote`` returns its result and a sentence, which is shown.

        Raises:
            ConfigError: Ray is not installed, there is no cluster, it has no node with so many devices, or a job
                cannot be run on another machine.
        """
        local = next((job for job in jobs if job.remote is None), None)
        if local is not None:
            raise ConfigError(f"--cluster {self.address}: {local.label} runs on this machine only: leave it out.")
        ray, stop = _connected(self.address), stop or Deadline()
        kind = self._kind(ray)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        clock = ray.remote(num_cpus=0)(RunClock).options(scheduling_strategy=here).remote(stop.expires)
        couriers: dict[Path, Any] = {}
        running, gangs = {}, []
        for number, call in enumerate([job.remote for job in jobs if job.remote is not None]):
            if call.config not in couriers:
                made = ray.remote(num_cpus=0)(ProjectServer).options(scheduling_strategy=here)
                couriers[call.config] = made.remote(str(self.project), str(call.config))
            gangs.append(ray.util.placement_group([{kind: self.devices}], strategy="STRICT_PACK"))
            origin = _Origin(str(Path.cwd()), str(self.project), _lock_of(call.config), couriers[call.config], clock)
            running[self._start(ray, kind, gangs[-1], origin, call)] = number
        try:
            return self._outcomes(ray, jobs, running, gangs, clock, stop)
        finally:
            for actor in (clock, *couriers.values()):
                ray.kill(actor)

    def _kind(self, ray: Any) -> str:
        """Return the kind of the devices, of which one node has enough."""
        kind = "GPU" if ray.cluster_resources().get("GPU") else "CPU"
        largest = max((node["Resources"].get(kind, 0) for node in ray.nodes() if node["Alive"]), default=0)
        if largest < self.devices:
            raise ConfigError(
                f"--cluster {self.address}: its largest node has {largest:g} {kind}s, but gpus_per_net is "
                f"{self.devices}: lower it."
            )
        return kind

    def _start(self, ray: Any, kind: str, gang: Any, origin: "_Origin", call: RemoteCall) -> Any:
        """Start a job; return what stands for its result."""
        resources = {"num_gpus": self.devices} if kind == "GPU" else {"num_cpus": self.devices}
        strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(gang)
        task = ray.remote(num_cpus=0, max_retries=RETRIES)(_run_on_node)
        names = [f"cuda:{number}" for number in range(self.devices)] if kind == "GPU" else ["cpu"] * self.devices
        cache = None if self.cache is None else str(self.cache)
        return task.options(scheduling_strategy=strategy, **resources).remote(
            origin, str(call.config), names, cache, call.function, call.arguments
        )

    def _outcomes(
        self, ray: Any, jobs: Sequence[Job], running: dict[Any, int], gangs: list[Any], clock: Any, stop: Deadline
    ) -> list[Outcome]:
        """Wait for all jobs; tell the nodes when the run is to end."""
        outcomes: dict[int, Outcome] = {}
        while running:
            done, _ = ray.wait(list(running), num_returns=1, timeout=INTERVAL)
            if ray.get(clock.is_over.remote(stop())):
                stop.begin()
            for finished in done:
                number = running.pop(finished)
                label = jobs[number].label
                try:
                    result = ray.get(finished)
                except ray.exceptions.RayError as error:
                    outcomes[number] = Outcome(label, error=_words(error), trace=str(error))
                else:
                    outcomes[number] = Outcome(label, began=False) if result is None else Outcome(label, result[0])
                    if result is not None:
                        print(printable(f"  {label}: {result[1]}"))  # noqa: T201
                ray.util.remove_placement_group(gangs[number])
        return [outcomes[number] for number in range(len(jobs))]


class RunClock:
    """Stands where the run was started, and knows whether it has begun, and is to end.

    Args:
        expires: When, in seconds of this machine's ``time.monotonic``.
    """

    def __init__(self, expires: "float | None") -> None:
        self.deadline = Deadline(expires)

    def is_over(self, ended: bool) -> bool:
        """Hear from the run whether it is to end; return whether any node has begun to train."""
        if ended:
            self.deadline.end()
        return self.deadline.has_begun

    def look(self, has_begun: bool) -> tuple[bool, bool, "float | None"]:
        """Hear from a node whether it has begun; return whether any has, whether to end, and the seconds left."""
        if has_begun:
            self.deadline.begin()
        return self.deadline.has_begun, self.deadline(), self.deadline.left()


@dataclass(frozen=True)
class _Origin:
    """Where a run was started, as a node is told.

    Attributes:
        folder: The current folder there.
        project: The project's folder there.
        lock: What tells the experiment's folder from any other of the same name; empty where no run holds it.
        courier: The actor that hands out the project, and takes in files.
        clock: The actor that knows whether the run is to end.
    """

    folder: str
    project: str
    lock: str
    courier: Any
    clock: Any


def _connected(address: str) -> Any:
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise ConfigError("--cluster needs Ray: install it with pip install 'ray>=2.40'.") from None
    if not ray.is_initialized():
        try:
            _knock(address)
            ray.init(address=address, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"--cluster {address}: no Ray cluster answers ({one_line(error)[:160]}): "
                "start one with ray start --head."
            ) from error
    return ray


def _knock(address: str) -> None:
    """Raise an ``OSError`` where nothing listens: Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "://" not in address:
        socket.create_connection((host, int(port)), timeout=10).close()


def _lock_of(config: Path) -> str:
    """Return what tells this run's folder from any other of the same name; empty where no run holds it."""
    try:
        return (config.parent / LOCK).read_text(encoding="utf-8")
    except OSError:
        return ""


def _run_on_node(
    origin: _Origin,
    config: str,
    devices: list[str],
    cache: "str | None",
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> "tuple[Any, str] | None":
    """Run a job on this node; ``None`` where the run ended before."""
    with _following(origin.clock) as stop:
        if stop():
            return None
        rest = (executor_for(devices), None if cache is None else Path(cache), stop, *arguments)
        if origin.lock and _lock_of(Path(config)) == origin.lock:
            with _in_folder(Path(origin.folder)):
                result: tuple[Any, str] = function(Path(config), *rest)
            return result
        return _run_copy(origin, function, rest)


def _run_copy(origin: _Origin, function: Callable[..., Any], rest: tuple[Any, ...]) -> tuple[Any, str]:
    import ray

    courier = origin.courier
    try:
        pack, where = ray.get([courier.pack.remote(), courier.where.remote()])
    except ray.exceptions.RayTaskError as error:
        raise ConfigError(_words(error)) from None
    with synced_copy(pack, where, lambda name, content: ray.get(courier.take.remote(name, content))) as path:
        root = path.parents[len(Path(where).parts) - 1]
        folder, project = Path(origin.folder), Path(origin.project)
        with _in_folder(root / folder.relative_to(project) if project in (folder, *folder.parents) else root):
            result, words = function(path, *rest)
        return result, f"{words}, on a copy of the project"


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """Enter a folder: what datasets open by relative names lies where it lay for the process that began the run."""
    before = Path.cwd()
    if folder.is_dir():
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _following(clock: Any) -> Iterator[Deadline]:
    """Yield a deadline that follows the run's while the block runs: processes forked in it cannot ask Ray."""
    import ray

    begun, over, left = ray.get(clock.look.remote(False))
    stop, ended = Deadline(None if left is None else time.monotonic() + left), threading.Event()

    def follow(begun: bool, over: bool) -> None:
        if begun:
            stop.begin()
        if over:
            stop.end()

    def look() -> None:
        while not ended.wait(INTERVAL):
            with contextlib.suppress(ray.exceptions.RayError):
                follow(*ray.get(clock.look.remote(stop.has_begun))[:2])

    follow(begun, over)
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(clock.look.remote(stop.has_begun))


def _words(error: Any) -> str:
    """Return what a task says of its failure: our own sentence, or the last line of what Ray says."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, UserError):
        return str(cause)
    return one_line(cause or error)[:300]
