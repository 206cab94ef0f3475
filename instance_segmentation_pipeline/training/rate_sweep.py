"""``sweep_rates``: the loss of each iteration while the learning rate rises, without a Runner, a file or a trace.

The test of Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3, with rates that rise by a
factor as in fast.ai's and musket_core's: ``start * (end / start) ** (iteration / iterations)``.
"""

import contextlib
import copy
import logging
import math
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed

from ..errors import TrainingError
from ..models.checkpoints import reading_for
from ..models.mmdet_compat import MODELS
from ..models.optimization import accumulation_of
from ..models.training_model import ready_to_train
from . import rng_state
from .hooks.frozen_encoder import FrozenEncoder
from .hooks.item_seeds import ItemSeeds
from .hooks.start_weights import StartWeights
from .job import TrainingJob

DIVERGED = 4.0
"""A loss of more than so many times the lowest one ends the sweep."""

BATCHES = 3
"""The lowest loss is the lowest median of so many batches in a row: one without objects has next to none."""


@dataclass(frozen=True)
class RateRange:
    """The rates of a sweep, and over how many epochs they rise."""

    start: float
    end: float
    epochs: int


@dataclass
class Sweep:
    """What came of a sweep.

    Attributes:
        lrs: The learning rate of each iteration.
        losses: Its loss; the last one may be no number.
        factor: What a rate is of the one before it.
        diverged: Whether the loss ended it before its last iteration.
    """

    factor: float
    lrs: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    diverged: bool = False

    @property
    def lowest(self) -> float:
        """The lowest median of ``BATCHES`` losses in a row; infinity before the first."""
        rows = [self.losses[number : number + BATCHES] for number in range(max(1, len(self.losses) - BATCHES + 1))]
        return min((median(row) for row in rows if row and all(map(math.isfinite, row))), default=math.inf)


@dataclass
class _Bench:
    """What hooks of a training ask a Runner for."""

    model: torch.nn.Module
    train_dataloader: Any
    cfg: Config
    val_loop: None = None
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("musket.lr_find"))


def sweep_rates(job: TrainingJob, device: str, rates: RateRange) -> Sweep:
    """Train a copy of what a stage trains, from what it starts from, while the learning rate rises; keep nothing of it.

    Gradients are accumulated and clipped as in the stage; parts of the net that have rates of their own keep their
    share. The loss is that of single batches.

    Args:
        job: The stage.
        device: ``cpu`` or ``cuda:<n>``.
        rates: The rates.

    Raises:
        TrainingError: The memory ran out, or the first loss is no number.
    """
    config = copy.deepcopy(job.config)
    with _without_traces(), reading_for(config):
        init_default_scope(config.default_scope)
        set_random_seed(job.seed)
        config.train_dataloader.sampler.seed = job.seed
        loader = Runner.build_dataloader({**config.train_dataloader, "dataset": job.train_dataset}, seed=job.seed)
        model = _model(config).to(device)
        bench = _Bench(model, loader, config)
        ItemSeeds().before_train(bench)
        wrapper = build_optim_wrapper(model, config.optim_wrapper)
        network: Any = model
        network.init_weights()
        StartWeights(job).before_train(bench)
        try:
            return _swept(job, bench, wrapper, rates)
        except torch.OutOfMemoryError as error:
            raise TrainingError(f"{job.label}: the memory of {device} ran out: lower imagesPerGpu or shape.") from error


@contextlib.contextmanager
def _without_traces() -> Iterator[None]:
    """Leave the states of all random generators as they were."""
    states = rng_state.take()
    try:
        with warnings.catch_warnings():
            for known in ("torch.meshgrid", "Setting MKL_NUM_THREADS"):
                warnings.filterwarnings("ignore", message=known)  # of MMDetection's and MMEngine's own code
            yield
    finally:
        rng_state.put(states)


def _model(config: Config) -> torch.nn.Module:
    model: torch.nn.Module = MODELS.build(copy.deepcopy(config.model))
    return ready_to_train(model, config)


def _swept(job: TrainingJob, bench: _Bench, wrapper: OptimWrapper, rates: RateRange) -> Sweep:
    batches = len(bench.train_dataloader)
    sweep = Sweep((rates.end / rates.start) ** (1 / (rates.epochs * batches)))
    optimizer = wrapper.optimizer
    base = optimizer.defaults["lr"]
    shares = [group["lr"] / base for group in optimizer.param_groups]
    bar = job.terminal.bar(rates.epochs * batches, 0) if sys.stderr.isatty() else None
    frozen = FrozenEncoder()
    bench.model.train()
    try:
        for epoch in range(rates.epochs):
            if hasattr(bench.train_dataloader.sampler, "set_epoch"):
                bench.train_dataloader.sampler.set_epoch(epoch)
            if accumulation_of(bench.cfg) > 1:
                wrapper.initialize_count_status(bench.model, 0, batches)
            for batch in bench.train_dataloader:
                rate = rates.start * sweep.factor ** len(sweep.lrs)
                for group, share in zip(optimizer.param_groups, shares, strict=True):
                    group["lr"] = rate * share
                frozen.before_train_iter(bench, 0)
                if not _step(job, bench.model, wrapper, batch, sweep, rate):
                    return sweep
                if bar is not None:
                    bar.set_description(f"{job.label} lr {rate:.2g} loss {sweep.losses[-1]:.3f}", refresh=False)
                    bar.update(1)
        return sweep
    finally:
        if bar is not None:
            bar.close()


def _step(
    job: TrainingJob, model: torch.nn.Module, wrapper: OptimWrapper, batch: Any, sweep: Sweep, rate: float
) -> bool:
    """Take one batch; return whether the sweep goes on."""
    network: Any = model
    with wrapper.optim_context(model):
        data = network.data_preprocessor(batch, True)
        loss, _ = network.parse_losses(network(**data, mode="loss"))
    now, lowest = float(loss.detach()), sweep.lowest
    if not sweep.losses and not math.isfinite(now):
        raise TrainingError(
            f"{job.label}: the loss of the first batch is not finite ({now}): lower start_lr, or look for extreme "
            "values in the data."
        )
    sweep.lrs.append(rate)
    sweep.losses.append(now)
    if not math.isfinite(now) or now > DIVERGED * lowest:
        sweep.diverged = True
        return False
    wrapper.update_params(loss)
    return True
