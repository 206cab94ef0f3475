"""A schedule that fits one stage: the native config's, scaled to the stage's epochs; and the learning rate."""

import copy
import math
from dataclasses import dataclass

from mmengine.config import Config, ConfigDict

from ..errors import ConfigError
from .config_tree import Node, type_name
from .finished_config import FinishedConfig

WARM_UP_SHARE = 0.2
"""A warm-up given in iterations takes at most this share of a stage."""

WARM_UPS = ("LinearLR", "ConstantLR", "QuadraticWarmupLR", "LinearMomentum", "QuadraticWarmupMomentum")

SAMPLERS = ("DefaultSampler", "EpochSampler", "ClassAwareSampler")
"""Samplers that show each process its share of the items once an epoch."""


def iterations_of(config: Config, items: int, world_size: int) -> int:
    """Return how many steps an epoch has, as the finished training dataloader makes them.

    Args:
        config: The config after ``prepare``.
        items: Training items.
        world_size: Processes that train one net.

    Raises:
        ConfigError: An epoch has no step, or the sampler does not say how many.
    """
    loader = config.train_dataloader
    sampler = type_name(loader.sampler)
    if sampler not in SAMPLERS:
        raise ConfigError(
            f"configOptions: train_dataloader.sampler.type is {sampler!r}, whose epochs have no known length: use one "
            f"of {', '.join(SAMPLERS)}."
        )
    share = -(-items // world_size)
    batch, drops = loader.batch_size, loader.get("drop_last") or (loader.get("batch_sampler") or {}).get("drop_last")
    steps = share // batch if drops else -(-share // batch)
    if not steps:
        raise ConfigError(
            f"train_dataloader.drop_last leaves no batch: {share} training items a process are less than a batch of "
            f"{batch}: lower imagesPerGpu, or leave drop_last out."
        )
    return int(steps)


def schedule(
    finished: FinishedConfig, epochs: int, iterations: int, lr: "float | None" = None, rate_owner: "str | None" = None
) -> FinishedConfig:
    """Return a copy whose schedule fits one stage.

    Args:
        finished: What ``prepare`` returned.
        epochs: Epochs of the stage.
        iterations: Optimizer steps of one epoch.
        lr: The stage's learning rate; ``None`` keeps the prepared one.
        rate_owner: What sets the learning rate in place of the schedulers, as words with ``{lr}`` for ``lr``; ``None``
            leaves it to them.
    """
    result = FinishedConfig(
        copy.deepcopy(finished.config),
        finished.train_pipeline,
        finished.val_pipeline,
        finished.needs_masks,
        list(finished.decisions),
        finished.oversample_threshold,
    )
    config, total = result.config, epochs * iterations
    native = config.train_cfg
    native_epochs, native_iterations = native.get("max_epochs"), native.get("max_iters")
    set_lr(config, lr)
    share = _Share(native_epochs, native_iterations, total, config.optim_wrapper.get("accumulative_counts") or 1)
    scaled = [_scaled(scheduler, share) for scheduler in _schedulers(config)]
    # what is left of a short part of a long schedule may be no iteration at all
    config.param_scheduler = [entry for entry in scaled if entry.get("begin", 0) < entry.get("end", math.inf)]
    replaced = [] if rate_owner is None else [entry for entry in config.param_scheduler if _is_of_rate(entry)]
    config.param_scheduler = [entry for entry in config.param_scheduler if entry not in replaced]
    for hook in config.get("custom_hooks") or []:
        _scale_hook(hook, epochs, native_epochs)
    config.train_cfg = ConfigDict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=1)
    length = f"{native_epochs} epochs" if native_epochs else f"{native_iterations} iterations"
    names = _named(config.param_scheduler) or ("constant learning rate" if rate_owner is None else "")
    result.decisions.append(
        f"schedule: {epochs} epochs of {iterations} iterations in place of the config's {length}"
        + (f" ({names})" if names else "")
    )
    if share.accumulation > 1:
        result.decisions.append(f"accumulation: the gradients of {share.accumulation} batches make one step")
    rate = config.optim_wrapper.optimizer.lr
    if rate_owner is None:
        result.decisions.append(f"learning rate: {rate:g}")
    else:
        instead = f", in place of the config's {_named(replaced)}" if replaced else ""
        warm_up = ", its warm-up included" if any(entry["type"] in WARM_UPS for entry in replaced) else ""
        result.decisions.append(f"learning rate: set by {rate_owner.format(lr=rate)}{instead}{warm_up}")
    return result


def _named(schedulers: "list[ConfigDict]") -> str:
    return ", ".join(scheduler["type"] for scheduler in schedulers)


def _is_of_rate(scheduler: ConfigDict) -> bool:
    """Say whether a scheduler sets the learning rate, not the momentum or another number of the optimizer."""
    name = str(scheduler["type"])
    return not name.endswith(("Momentum", "ParamScheduler")) or scheduler.get("param_name") == "lr"


def set_lr(config: Config, lr: "float | None") -> None:
    """Set the learning rate and what hangs on it."""
    optimizer = config.optim_wrapper.optimizer
    if lr is None or not optimizer.get("lr"):
        if lr is not None:
            optimizer["lr"] = lr
        return
    factor = lr / optimizer["lr"]
    optimizer["lr"] = lr
    for scheduler in _schedulers(config):
        for key in ("eta_min", "eta_max"):
            if scheduler.get(key):
                scheduler[key] *= factor


def _schedulers(config: Config) -> list[Node]:
    """Return the config's schedulers; a config may name one alone."""
    schedulers = config.get("param_scheduler") or []
    return list(schedulers) if isinstance(schedulers, (list, tuple)) else [schedulers]


@dataclass(frozen=True)
class _Share:
    """Turns a point of the native schedule to an iteration of the stage."""

    native_epochs: "int | None"
    native_iterations: "int | None"
    total: int
    accumulation: int

    def at(self, value: float, by_epoch: bool) -> int:
        native = self.native_epochs if by_epoch else self.native_iterations
        if not native:
            return max(1, min(round(value), self.total)) if value else 0
        return round(min(value / native, 1.0) * self.total)


def _scaled(scheduler: Node, share: _Share) -> ConfigDict:
    """Return a scheduler that works in iterations of the stage; one driven by a metric stays as it is."""
    scheduler = ConfigDict(copy.deepcopy(dict(scheduler)))
    if scheduler["type"].startswith("ReduceOnPlateau"):
        return scheduler
    by_epoch = scheduler.get("by_epoch", True)
    scheduler.pop("convert_to_iter_based", None)
    scheduler["by_epoch"] = False
    if not by_epoch and scheduler["type"] in WARM_UPS and not scheduler.get("begin"):
        native = scheduler.get("end", math.inf)  # given in steps of the optimizer
        scheduler["end"] = max(1, min(native * share.accumulation, math.floor(share.total * WARM_UP_SHARE)))
        return scheduler
    for key in ("begin", "end", "T_max", "step_size", "total_steps", "total_iters"):
        if scheduler.get(key) is not None:
            low = 0 if key == "begin" else 1
            scheduler[key] = max(low, share.at(scheduler[key], by_epoch))
    if scheduler.get("milestones") is not None:
        scheduler["milestones"] = sorted({max(1, share.at(point, by_epoch)) for point in scheduler["milestones"]})
    if scheduler["type"].startswith("Exponential") and by_epoch and share.native_epochs:
        scheduler["gamma"] = scheduler["gamma"] ** (share.native_epochs / share.total)
    return scheduler


def _scale_hook(hook: Node, epochs: int, native_epochs: "int | None") -> None:
    if not native_epochs:
        return
    for key in ("switch_epoch", "num_last_epochs", "begin_epoch"):
        if isinstance(hook.get(key), int):
            hook[key] = round(hook[key] * epochs / native_epochs)
