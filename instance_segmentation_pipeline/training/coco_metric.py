"""``InstanceMetric``: COCO metrics in MMEngine's evaluation loop."""

from collections.abc import Callable, Sequence
from typing import Any

from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric

from ..detection.arrays import FoundArrays, TruthRecord
from ..detection.detections import Detections, from_arrays
from ..detection.seams import join
from ..detection.tiles import Cell
from ..metrics.coco import coco_metrics
from ..models.outputs import to_prediction

Further = Callable[[list[TruthRecord], list[FoundArrays]], dict[str, float]]
"""Computes metrics from the truths and the predictions of all validation items."""


@METRICS.register_module()
class InstanceMetric(BaseMetric):
    """MMEngine metric that evaluates with ``coco_metrics`` on the truth that each sample carries.

    Samples that are cells are joined to their images first.

    ``further`` is asked, with the same truths and predictions, for metrics beyond those; ``most`` is COCO's maxDets.
    """

    default_prefix = None

    def __init__(
        self, with_masks: bool = True, further: "Further | None" = None, most: "int | None" = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.with_masks = with_masks
        self.further = further
        self.most = most

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep truth and prediction of each sample, masks as RLE."""
        for sample in data_samples:
            self.results.append((sample["truth"], to_prediction(sample["pred_instances"], self.with_masks)))

    def compute_metrics(self, results: list[tuple[TruthRecord, FoundArrays]]) -> dict[str, float]:
        """Return ``coco_metrics`` of all that was collected."""
        truths, predictions = whole_images(results)
        metrics = coco_metrics(truths, predictions, len(self.dataset_meta["classes"]), self.with_masks, self.most)
        if self.further is not None:
            metrics.update(self.further(truths, predictions))
        return metrics


def whole_images(
    results: Sequence[tuple[TruthRecord, FoundArrays]],
) -> tuple[list[TruthRecord], list[FoundArrays]]:
    """Return truths and predictions of images, of whose cells ``results`` has those, image by image."""
    truths, predictions = list[TruthRecord](), list[FoundArrays]()
    cells, found, whole = list[Cell](), list[Detections](), None
    for number, (truth, prediction) in enumerate(results):
        place = truth.get("place")
        if place is None:
            truths.append(truth)
            predictions.append(prediction)
            continue
        whole = place["whole"] or whole
        cells.append(Cell(*place["cell"]))
        found.append(from_arrays(prediction, truth["height"], truth["width"]))
        following = results[number + 1][0].get("place") if number + 1 < len(results) else None
        if following is None or following["whole"] is not None:  # the first cell of an image has its truth
            assert whole is not None
            truths.append(whole)
            predictions.append(join(found, cells, place["height"], place["width"]).arrays())
            cells, found, whole = [], [], None
    return truths, predictions
