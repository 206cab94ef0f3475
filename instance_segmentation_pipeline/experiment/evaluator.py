"""``Evaluator``: the metrics of predictions. ``GroundTruths``: what is there, read once for a whole summary."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..data.dataset_marks import DatasetMarks
from ..data.item_cache import ItemCache
from ..data.item_reader import ItemReader
from ..data.protocols import Dataset
from ..detection.arrays import FoundArrays, TruthRecord
from ..detection.detections import Detections, from_arrays
from ..detection.records import to_middle_format
from ..inference.prediction_datasets import Answers, Predictions
from ..metrics.coco import metric_names
from ..metrics.instance_metrics import final_metrics
from .metric_selection import MetricSelection
from .user_metrics import user_metric, user_values

Model = Callable[[], Any]
"""Makes the ``FoldsAndStages`` that a metric of the user's is given."""


class GroundTruths:
    """The ground truth of datasets, and what tells them apart: kept as long as somebody says that nothing changes.

    Args:
        reader: Returns how items are read.
    """

    def __init__(self, reader: Callable[[], ItemReader]) -> None:
        self._reader = reader
        self._kept: ItemCache[TruthRecord] | None = None
        self.marks = DatasetMarks()

    def of(self, dataset: Dataset) -> list[TruthRecord]:
        """Return the ground truth of a dataset, or of the one that was predicted on, masks as RLE.

        Inside ``kept`` each item is read once, and its record must not be changed.
        """
        while isinstance(dataset, Predictions):
            dataset = dataset.parent
        with self.kept():
            assert self._kept is not None
            return self._kept.of(dataset, range(len(dataset)))

    @contextlib.contextmanager
    def kept(self) -> "Iterator[GroundTruths]":
        """Keep what is read in this context: a summary asks for it many times."""
        if self._kept is not None:
            yield self
            return
        readers: list[ItemReader] = []

        def read(dataset: Dataset, number: int) -> TruthRecord:
            if not readers:  # it is not asked for before an item is
                readers.append(self._reader())
            item_id, _, instances = readers[0].read(dataset, number)
            return to_middle_format(instances, item_id)

        self._kept = ItemCache(read)
        try:
            with self.marks.kept():
                yield self
        finally:
            self._kept = None

    @property
    def are_kept(self) -> bool:
        """Whether what is read is kept now."""
        return self._kept is not None


class Evaluator:
    """Measures predictions.

    Args:
        truths: The ground truth.
        metrics: What is measured.
        class_names: Names of the classes, in label order.
        with_masks: Whether masks are predicted.
        most: Detections of a class in an image that COCO's numbers count; ``None`` as ``metrics.coco.counted``.
    """

    def __init__(
        self,
        truths: GroundTruths,
        metrics: MetricSelection,
        class_names: Sequence[str],
        with_masks: bool,
        most: "int | None" = None,
    ) -> None:
        self.truths, self.metrics = truths, metrics
        self.class_names, self.with_masks, self.most = class_names, with_masks, most

    def evaluate(self, predictions: Predictions, model: Model) -> dict[str, float]:
        """Return the final metrics of predictions."""
        found = [predictions.detections(number) for number in range(len(predictions))]
        values = final_metrics(self.truths.of(predictions), found, self.class_names, self.with_masks, self.most)
        if not self.metrics.every:
            values = {name: value for name, value in values.items() if name in self.metrics.wanted}
        for name in self.metrics.wanted:
            function = user_metric(name)
            if function is not None:
                values.update(user_values(name, function, model(), predictions))
        return values

    def each_epoch(
        self, source: Dataset, model: Model, bbox_order: str
    ) -> "Callable[[list[TruthRecord], list[FoundArrays]], dict[str, float]] | None":
        """Return what computes metrics after each epoch that are not among those of every epoch; ``None``: no such.

        Args:
            source: The items that are validated, in the order in which they come.
            model: The fold and stage that are trained.
            bbox_order: Coordinate order of the boxes of ``source``.
        """
        of_all = metric_names(self.with_masks)
        further = [name for name in self.metrics.each_epoch if name not in of_all]
        functions = {name: function for name in further if (function := user_metric(name)) is not None}
        built_in = [name for name in further if name not in functions]
        if not further:
            return None

        def measure(truths: list[TruthRecord], arrays: list[FoundArrays]) -> dict[str, float]:
            pairs = zip(truths, arrays, strict=True)
            found: list[Detections] = [from_arrays(one, truth["height"], truth["width"]) for truth, one in pairs]
            values = {}
            if built_in:
                values = final_metrics(truths, found, self.class_names, self.with_masks, self.most)
            values = {name: values[name] for name in built_in}
            for name, function in functions.items():
                values.update(user_values(name, function, model(), Answers(source, found, bbox_order)))
            return values

        return measure
