"""Parts of MMEngine's Runner that are ours: a quiet Runner, and a validation loop that knows the loss.

Registered with MMEngine, so that a finished config names them like any other part.
"""

import contextlib
import logging
import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.dist import all_reduce_dict
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import LOOPS
from mmengine.runner import Runner, ValLoop
from mmengine.runner.checkpoint import load_state_dict
from mmengine.visualization import Visualizer
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import WeightsError
from ..models.checkpoints import read_checkpoint
from ..models.mmdet_compat import complete


class StageRunner(Runner):
    """MMEngine's Runner with its log in the file only; the console belongs to our progress line."""

    def build_model(self, model: Any) -> torch.nn.Module:
        """Return the built model, completed."""
        return complete(super().build_model(model))

    def wrap_model(self, model_wrapper_cfg: Any, model: torch.nn.Module) -> torch.nn.Module:
        """Return the model ready to train; what synchronises normalisation between devices does so on GPUs only."""
        if not torch.cuda.is_available():
            model = revert_sync_batchnorm(model)
        return super().wrap_model(model_wrapper_cfg, model)

    def load_checkpoint(self, filename: str, *_: Any, **__: Any) -> dict:
        """Load the checkpoint that a run is resumed from; what it holds is data, and ``meta.config`` is not run.

        Raises:
            WeightsError: It cannot be read, or lacks what is gone on from.
        """
        checkpoint = read_checkpoint(Path(filename))
        meta = checkpoint.get("meta")
        missing = [name for name in ("state_dict", "optimizer", "message_hub") if name not in checkpoint]
        if not isinstance(meta, dict) or not all(type(meta.get(name)) is int for name in ("epoch", "iter")) or missing:
            raise WeightsError(
                f"{filename} cannot be gone on from: it lacks {', '.join(missing) or 'the epoch and iteration'}: "
                "delete it to train that stage anew."
            )
        meta.pop("config", None)  # Runner.resume would execute it, to compare the number of GPUs
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        load_state_dict(getattr(self.model, "module", self.model), checkpoint["state_dict"], strict=False)
        self._has_loaded = True
        return checkpoint

    def build_logger(self, log_level: Any = "INFO", log_file: "str | None" = None, **options: Any) -> MMLogger:
        """Return MMEngine's logger with its console handler silenced below errors."""
        logger = super().build_logger(log_level, log_file, **options)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setLevel(logging.ERROR)
        return logger


def experiment_name() -> str:
    """Return a name that no other Runner of this process has: MMEngine's own has the second of the day only."""
    return f"musket-{uuid.uuid4().hex}"


@contextlib.contextmanager
def forget_afterwards(name: str) -> Iterator[None]:
    """Close and forget the logger, message hub and visualizer that MMEngine keeps for ever under ``name``."""
    try:
        yield
    finally:
        for owner in (MMLogger, MessageHub, Visualizer):
            for key in [key for key in owner._instance_dict if key.startswith(name)]:
                instance = owner._instance_dict.pop(key)
                if isinstance(instance, MMLogger):
                    for handler in list(instance.handlers):
                        handler.close()
                        instance.removeHandler(handler)


@LOOPS.register_module()
class ValidationLoop(ValLoop):
    """A validation loop whose metrics hold ``val_loss`` and its parts, from one pass over the data.

    Backbone and neck run once a batch: their features serve prediction and loss. Randomness of the loss (samplers
    of two-stage models) does not touch the training's random state.
    """

    def run(self) -> dict:
        """Validate; return the metrics, with the mean loss and its parts under ``loss…``.

        Losses are NaN where the images have objects and none of them is left in the net's input, a pixel wide and high;
        ``objects`` and ``vanished`` count them.
        """
        runner = self.runner
        self._sums: dict[str, torch.Tensor] = {}
        self._batches = 0
        self.objects = self.vanished = 0
        runner.call_hook("before_val")
        runner.call_hook("before_val_epoch")
        runner.model.eval()
        for number, batch in enumerate(self.dataloader):
            self.run_iter(number, batch)
        metrics = {**self.evaluator.evaluate(len(self.dataloader.dataset)), **self._mean_losses()}
        runner.call_hook("after_val_epoch", metrics=metrics)
        runner.call_hook("after_val")
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Predict one batch, and compute its loss."""
        self.runner.call_hook("before_val_iter", batch_idx=idx, data_batch=data_batch)
        model = self.runner.model
        model = getattr(model, "module", model)
        with torch.amp.autocast(_device_type(model), enabled=self.fp16), _features_once(model):
            with torch.random.fork_rng(devices=_cuda_devices(model)), _as_in_training(model):
                data = model.data_preprocessor(data_batch, True)  # some models make their targets only then
                losses = model(**data, mode="loss")
            if model.data_preprocessor.batch_augments:
                data = model.data_preprocessor(data_batch, False)
            outputs = model(**data, mode="predict")
        self._add(model.parse_losses(losses)[1])
        self._count(data_batch["data_samples"])
        self.evaluator.process(data_samples=[sample.to_dict() for sample in outputs], data_batch=data_batch)
        self.runner.call_hook("after_val_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)

    def _add(self, losses: dict) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
        self._batches += 1

    def _count(self, samples: Any) -> None:
        for sample in samples:
            bboxes = get_box_tensor(sample.gt_instances.bboxes)
            left = int(((bboxes[:, 2:] - bboxes[:, :2]) >= 1).all(dim=1).sum())
            there = len(sample.truth["ann"]["labels"])
            self.objects += there
            self.vanished += max(there - left, 0)

    def _mean_losses(self) -> dict:
        counts = {"objects": torch.tensor(float(self.objects)), "vanished": torch.tensor(float(self.vanished))}
        all_reduce_dict(counts, "sum")
        self.objects, self.vanished = int(counts["objects"]), int(counts["vanished"])
        if not self._batches:
            return {}
        means = {name: total / self._batches for name, total in self._sums.items()}
        all_reduce_dict(means, "mean")
        nothing_left = self.objects and self.vanished == self.objects
        return {name: math.nan if nothing_left else float(value) for name, value in means.items()}


@contextlib.contextmanager
def _features_once(model: Any) -> Iterator[None]:
    """Let ``extract_feat`` answer the second call with the same tensor from memory."""
    original = model.extract_feat
    memory: dict = {}

    def remembered(inputs: Any, *arguments: Any, **options: Any) -> Any:
        key = id(inputs)
        if key not in memory:
            memory[key] = original(inputs, *arguments, **options)
        return memory[key]

    model.extract_feat = remembered
    try:
        yield
    finally:
        del model.extract_feat


@contextlib.contextmanager
def _as_in_training(model: torch.nn.Module) -> Iterator[None]:
    """Let heads compute what only training needs, while normalisation and dropout stay as in evaluation."""
    modes = {module: module.training for module in model.modules()}
    try:
        for module in modes:
            module.training = not (isinstance(module, _BatchNorm) or "Drop" in type(module).__name__)
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _device_type(model: torch.nn.Module) -> str:
    return next(model.parameters()).device.type


def _cuda_devices(model: torch.nn.Module) -> list:
    device = next(model.parameters()).device
    return [device] if device.type == "cuda" else []
