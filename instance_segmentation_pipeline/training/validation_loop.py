"""``ValidationLoop``: a validation loop that knows the loss.

Registered with MMEngine, so that a finished config names it like any other part.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.dist import all_reduce_dict
from mmengine.registry import LOOPS
from mmengine.runner import ValLoop
from torch.nn.modules.batchnorm import _BatchNorm

from ..models.later_masks import masks_later
from .kept_features import KeepsFeatures


@LOOPS.register_module()
class ValidationLoop(ValLoop):
    """A validation loop whose metrics hold ``val_loss`` and its parts, from one pass over the data.

    Backbone and neck run once a batch: their features serve prediction and loss. Randomness of the loss (samplers
    of two-stage models) does not touch the training's random state.
    """

    def run(self) -> dict[str, float]:
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
            with masks_later():
                outputs = model(**data, mode="predict")
        self._add(model.parse_losses(losses)[1])
        self._count(data_batch["data_samples"])
        self.evaluator.process(data_samples=[sample.to_dict() for sample in outputs], data_batch=data_batch)
        self.runner.call_hook("after_val_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)

    def _add(self, losses: dict[str, torch.Tensor]) -> None:
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

    def _mean_losses(self) -> dict[str, float]:
        counts = {"objects": torch.tensor(float(self.objects)), "vanished": torch.tensor(float(self.vanished))}
        all_reduce_dict(counts, "sum")
        self.objects, self.vanished = int(counts["objects"]), int(counts["vanished"])
        if not self._batches:
            return {}
        means = {name: total / self._batches for name, total in self._sums.items()}
        all_reduce_dict(means, "mean")
        nothing_left = self.objects and self.vanished == self.objects
        return {name: math.nan if nothing_left else float(value) for name, value in means.items()}


def _features_once(model: Any) -> contextlib.AbstractContextManager[None]:
    """Let backbone and neck run once, where the model can."""
    return model.features_kept() if isinstance(model, KeepsFeatures) else contextlib.nullcontext()


@contextlib.contextmanager
def _as_in_training(model: torch.nn.Module) -> Iterator[None]:
    """Let heads compute what only training needs, while normalisation and dropout stay as in evaluation."""
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm) or "Drop" in type(module).__name__:
            module.eval()
    try:
        yield
    finally:
        model.eval()


def _device_type(model: torch.nn.Module) -> str:
    return next(model.parameters()).device.type


def _cuda_devices(model: torch.nn.Module) -> list[torch.device]:
    device = next(model.parameters()).device
    return [device] if device.type == "cuda" else []
