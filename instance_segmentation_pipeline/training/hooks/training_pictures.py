"""``TrainingPictures``: what the net is shown in the first epoch of a stage, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from ...detection.arrays import UInt8Array
from ...detection.instances import Instances
from ...models.compact_masks import CompactMasks

COLUMNS = 4


class TrainingPictures(Hook):
    """In a stage's first epoch, writes a picture of the first images that the net is given, with their objects.

    They are taken behind the model's data preprocessor, after augmentation, the native pipeline, padding and what is
    done to whole batches; its normalisation is undone.

    Args:
        file: Where the picture goes.
        class_names: Names by label.
        count: How many images there are at most.
    """

    priority = "LOW"

    def __init__(self, file: Path, class_names: Sequence[str], count: int = 16) -> None:
        self.file, self.class_names, self.count = file, class_names, count
        self._shown: list[tuple[UInt8Array, Instances]] = []
        self._watch: Any = None

    def before_train_epoch(self, runner: Runner) -> None:
        """Look at what comes out of the data preprocessor."""
        if runner.epoch == 0 and is_main_process():
            model = getattr(runner.model, "module", runner.model)
            self._watch = model.data_preprocessor.register_forward_hook(self._take)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: "dict[str, Any] | None" = None
    ) -> None:
        """Write the picture once there are enough images."""
        if self._watch is not None and len(self._shown) >= self.count:
            self._write()

    def after_train_epoch(self, runner: Runner) -> None:
        """Write the picture of an epoch with fewer images."""
        if self._watch is not None:
            self._write()

    def _take(self, preprocessor: torch.nn.Module, given: object, batch: Any) -> None:
        for image, sample in zip(batch["inputs"], batch["data_samples"], strict=True):
            if len(self._shown) < self.count:
                shown = unnormalised(image.detach(), preprocessor)
                self._shown.append((shown, objects_of(sample.gt_instances, *shown.shape[:2])))

    def _write(self) -> None:
        from ...visualization.draw import draw_instances, grid, write_jpeg

        self._watch.remove()
        self._watch = None
        if self._shown:
            drawn = [draw_instances(image, objects, self.class_names) for image, objects in self._shown]
            write_jpeg(self.file, grid(drawn, COLUMNS))
        self._shown = []


def unnormalised(image: torch.Tensor, preprocessor: Any) -> UInt8Array:
    """Return an image ``(3, height, width)`` of a data preprocessor as ``(height, width, 3)`` uint8 RGB.

    Its mean and deviation are those of ``mmdet.models.DetDataPreprocessor``, whose channels are RGB where it converts.
    """
    values = image.float()
    if getattr(preprocessor, "_enable_normalize", False):
        values = values * preprocessor.std + preprocessor.mean
    pixels = values.round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(pixels if getattr(preprocessor, "_channel_conversion", False) else pixels[..., ::-1])


def objects_of(found: InstanceData, height: int, width: int) -> Instances:
    """Return the objects that an image is trained with, on an image that was padded to a size."""
    boxes = getattr(found.bboxes, "tensor", found.bboxes).detach().cpu().numpy().astype(np.float32).reshape(-1, 4)
    masks = None
    if "masks" in found:
        masks = CompactMasks.of(found.masks).crops.placed(height, width)
    return Instances(height, width, found.labels.cpu().numpy().astype(np.int64), boxes, masks)
