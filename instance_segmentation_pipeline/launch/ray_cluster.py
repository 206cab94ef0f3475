"""Folds on a Ray cluster: each trains on a gang of devices of one node, and goes on elsewhere when that node is lost.

Ray schedules; a fold that is started again finds its last complete checkpoint: the project lies on storage that all
nodes share, or it is copied to each node, and what is trained there comes back after each epoch.
"""

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, TrainingError, UserError, one_line
from ..storage.run_lock import NAME as LOCK
from ..text import printable
from .project_sync import Courier, carried

RETRIES = 3
"""How often a fold is started again after its node or its process was lost."""


def train_on_cluster(
    address: str,
    project: Path,
    config: Path,
    folds: Sequence[int],
    devices: int,
    cache: "Path | None",
    train_fold: Callable[..., int],
) -> None:
    """Train folds of an experiment on a Ray cluster, as many at a time as it has room for.

    Args:
        address: ``auto`` for the cluster that this machine is part of, or ``host:port``.
        project: The folder that is copied to nodes which do not see it.
        config: The experiment's YAML, below it.
        folds: The folds to train.
        devices: Devices for each: GPUs where the cluster has any, else CPUs.
        cache: Folder for downloads.
        train_fold: What a node runs: ``experiment.remote_fold.train_fold``, or what takes and returns the same.

    Raises:
        ConfigError: Ray is not installed, there is no cluster, or it has no node with so many devices.
        TrainingError: Folds failed; the others were trained.
    """
    ray = _connected(address)
    kind = "GPU" if ray.cluster_resources().get("GPU") else "CPU"
    largest = max((node["Resources"].get(kind, 0) for node in ray.nodes() if node["Alive"]), default=0)
    if largest < devices:
        raise ConfigError(
            f"--cluster {address}: its largest node has {largest:g} {kind}s, but gpus_per_net is {devices}: lower it."
        )
    train = ray.remote(num_cpus=0, max_retries=RETRIES)(_train_fold)
    gangs = {fold: ray.util.placement_group([{kind: devices}], strategy="STRICT_PACK") for fold in folds}
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    courier = ray.remote(num_cpus=0)(Courier).options(scheduling_strategy=here).remote(str(project), str(config))
    lock = _lock_of(config)
    running = {}
    for fold, gang in gangs.items():
        resources = {"num_gpus": devices} if kind == "GPU" else {"num_cpus": devices}
        place = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(gang)
        rest = (fold, devices, kind == "GPU", None if cache is None else str(cache))
        arguments = (train_fold, str(config), lock, courier, rest)
        running[train.options(scheduling_strategy=place, **resources).remote(*arguments)] = fold
    failures = []
    while running:
        (finished,), _ = ray.wait(list(running), num_returns=1)
        fold = running.pop(finished)
        try:
            print(printable(f"  fold {fold}: {ray.get(finished)}"))  # noqa: T201
        except ray.exceptions.RayError as error:
            failures.append(f"fold {fold}: {_words(error)}")
        ray.util.remove_placement_group(gangs[fold])
    ray.kill(courier)
    if failures:
        raise TrainingError("; ".join(failures))


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


def _train_fold(train_fold: Callable[..., int], config: str, lock: str, courier: Any, arguments: tuple) -> str:
    """Train a fold on the node that this runs on; return a sentence about it."""
    began = time.monotonic()
    if lock and _lock_of(Path(config)) == lock:
        before, how = train_fold(Path(config), *arguments), ""
    else:
        before, how = _train_copy(train_fold, courier, arguments), ", on a copy of the project"
    start = f", from epoch {before}" if before else ""
    return f"trained on {socket.gethostname()} in {time.monotonic() - began:.0f} s{how}{start}"


def _train_copy(train_fold: Callable[..., int], courier: Any, arguments: tuple) -> int:
    import ray

    try:
        pack, where = ray.get([courier.pack.remote(), courier.where.remote()])
    except ray.exceptions.RayTaskError as error:
        raise ConfigError(_words(error)) from None
    with carried(pack, where, lambda name, content: ray.get(courier.take.remote(name, content))) as path:
        return train_fold(path, *arguments)


def _words(error: Any) -> str:
    """Return what a task says of its failure: our own sentence, or the last line of what Ray says."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, UserError):
        return str(cause)
    return one_line(cause or error)[:300]
