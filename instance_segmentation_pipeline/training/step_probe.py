"""One real step of a stage, measured: what an epoch takes, and whether its batch fits into the memory."""

import contextlib
import copy
import io
import logging
import resource
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ..models.checkpoints import reading_for
from ..models.finished_config import FinishedConfig
from ..models.memory_format import CHANNELS_LAST_KEY, lay_channels_last
from ..models.mmdet_compat import MODELS
from ..models.training_model import ready_to_train
from ..models.transfer import HeadPolicy, load_into
from .detection_dataset import MusketDetectionDataset
from .processor_queue import ProcessorQueue


@dataclass(frozen=True)
class Trial:
    """What a step is tried with.

    Attributes:
        config: The stage's finished config, with its schedule.
        train_dataset: What it trains on.
        val_dataset: What it validates on.
        start: Checkpoint to start from, ``None`` for the config's own initial weights.
        policy: How its heads are taken.
        items: How many items an epoch shows.
        seed: Seed of the order of items, and of weights.
    """

    config: FinishedConfig
    train_dataset: MusketDetectionDataset
    val_dataset: MusketDetectionDataset
    start: "Path | None"
    policy: "HeadPolicy | None"
    items: int
    seed: int


@dataclass(frozen=True)
class StepCost:
    """What one step took.

    Attributes:
        device: Where: ``cpu`` or ``cuda:<n>``.
        batch: Images of the step.
        iterations: Steps of an epoch.
        images: Images that are validated after it.
        load_seconds: Reading and preparing the images of the step, in one process.
        step_seconds: Forward, backward and optimizer.
        waiting: Share of the time of the step in which threads that could go on waited for a processor, 0..1.
        predict_seconds: Predicting one image of the validation part, reading included.
        memory: Bytes at most: of this process, or of the device.
        workers: Processes that load.
        loss: Of the first step.
    """

    device: str
    batch: int
    iterations: int
    images: int
    load_seconds: float
    step_seconds: float
    predict_seconds: float
    memory: int
    workers: int
    loss: float
    waiting: float = 0.0

    def epoch_seconds(self) -> float:
        """Return about how long an epoch takes, validation included and metrics left out."""
        if self.workers:
            each = max(self.step_seconds, self.load_seconds / self.workers)
        else:
            each = self.step_seconds + self.load_seconds
        return self.iterations * each + self.images * self.predict_seconds


def measure_step(trial: Trial, device: str) -> StepCost:
    """Train two steps, and predict one image; the second of each is measured, since the first one warms up.

    Args:
        trial: What to train.
        device: Where.

    Raises:
        UserError: An item cannot be read.
        Exception: Whatever the model raises.
    """
    config = trial.config.config
    with _silence(), reading_for(config):
        init_default_scope(config.default_scope)
        torch.manual_seed(trial.seed)
        model = ready_to_train(MODELS.build(copy.deepcopy(config.model)), config)
        model.init_weights()
        if trial.start is not None:
            load_into(model, trial.start, trial.policy)
        model.to(device)
        if config.get(CHANNELS_LAST_KEY):
            lay_channels_last(model)
        optimizer = build_optim_wrapper(model, copy.deepcopy(config.optim_wrapper))
        loader = _loader(config.train_dataloader, trial)
        model.train()
        batches = iter(loader)
        losses: list[float] = []
        for _ in range(min(2, len(loader))):
            queue, began = ProcessorQueue(), time.perf_counter()
            batch = next(batches)
            loaded = time.perf_counter()
            losses.append(float(model.train_step(batch, optimizer)["loss"]))
            _wait(device)
            stepped = time.perf_counter()
        return StepCost(
            device=device,
            batch=len(batch["inputs"]),
            iterations=len(loader),
            images=len(trial.val_dataset),
            load_seconds=loaded - began,
            step_seconds=stepped - loaded,
            predict_seconds=_prediction(model, trial.val_dataset, device),
            memory=_memory(device),
            workers=config.train_dataloader.num_workers,
            loss=losses[0],
            waiting=queue.share(),
        )


def _loader(dataloader: Any, trial: Trial) -> Any:
    own = {**copy.deepcopy(dataloader), "dataset": trial.train_dataset, "num_workers": 0, "persistent_workers": False}
    return Runner.build_dataloader(own, seed=trial.seed)


def _prediction(model: torch.nn.Module, dataset: MusketDetectionDataset, device: str) -> float:
    model.eval()
    took = 0.0
    for _ in range(2):
        began = time.perf_counter()
        sample = dataset[0]
        with torch.no_grad():
            model.val_step({key: [value] for key, value in sample.items()})  # type: ignore[operator]
        _wait(device)
        took = time.perf_counter() - began
    return took


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def _memory(device: str) -> int:
    if device != "cpu":
        return int(torch.cuda.max_memory_reserved(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextlib.contextmanager
def _silence() -> Any:
    logging.disable(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
