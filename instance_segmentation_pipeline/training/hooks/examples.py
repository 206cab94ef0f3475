"""``SamplePictures``: pictures of some validation items after each epoch."""

from typing import Any

import numpy as np
from mmengine.dist import get_world_size, master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...detection.arrays import Float32Array, FoundArrays, TruthRecord
from ...detection.instances import Instances
from ...detection.mask_crops import MaskCrops
from ...detection.records import from_middle_format
from ...models.outputs import to_prediction
from ...storage.experiment_files import StageFiles
from ..detection_dataset import MusketDetectionDataset


class SamplePictures(Hook):
    """After each epoch, writes a picture of some validation items: ground truth beside prediction."""

    priority = "LOW"

    def __init__(self, files: StageFiles, dataset: MusketDetectionDataset, threshold: float, count: int = 4) -> None:
        self.files = files
        self.dataset = dataset
        self.threshold = threshold
        spread = np.linspace(0, max(len(dataset) - 1, 0), min(count, len(dataset)))
        world = get_world_size()  # this process sees every world-th item
        self.positions = {int(position) // world * world for position in spread.round()}
        self._found: dict[int, tuple[TruthRecord, FoundArrays]] = {}

    def before_val_epoch(self, runner: Runner) -> None:
        """Forget the last epoch's samples."""
        self._found = {}

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keep the predictions of the chosen items."""
        for sample in outputs:
            position = sample.img_id
            if position in self.positions:
                prediction = to_prediction(sample.pred_instances, self.dataset.reader.needs_masks)
                self._found[position] = (sample.truth, prediction)

    @master_only
    def after_val_epoch(self, runner: Runner, metrics: "dict[str, float] | None" = None) -> None:
        """Draw and write the picture."""
        from ...visualization.draw import comparison, write_jpeg

        rows = []
        for position, (truth, prediction) in sorted(self._found.items()):
            image = self.dataset.read(position).image
            shown, scores = confident(prediction, truth, self.threshold)
            rows.append((image, from_middle_format(truth), shown, scores))
        if rows:
            write_jpeg(self.files.example(runner.epoch - 1), comparison(rows, self.dataset.metainfo["classes"]))


def confident(prediction: FoundArrays, truth: TruthRecord, threshold: float) -> tuple[Instances, Float32Array]:
    """Return the predicted instances with a score of ``threshold`` or more, and their scores ``(N,)``."""
    keep = prediction["scores"] >= threshold
    height, width = truth["height"], truth["width"]
    masks = None
    if "masks" in prediction:
        masks = MaskCrops.from_rles([prediction["masks"][row] for row in np.flatnonzero(keep)], height, width)
    instances = Instances(height, width, prediction["labels"][keep], prediction["bboxes"][keep], masks)
    return instances, prediction["scores"][keep]
