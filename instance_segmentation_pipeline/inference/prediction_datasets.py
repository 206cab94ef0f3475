"""Musket datasets whose items carry predictions: in memory, one after the other, blended."""

from collections.abc import Iterator, Sequence
from typing import Any

from musket_core.datasets import CompositeDataSet, PredictionItem, WriteableDataSet

from ..data.dataset_roots import root_of
from ..data.protocols import Dataset
from ..detection.detections import Detections, from_musket_prediction, is_musket_prediction
from ..detection.fusion import fuse
from ..errors import DatasetError


class Predictions(WriteableDataSet):
    """A Musket dataset whose items carry ``prediction``, Musket's tuple; ``detections`` gives the same with RLE masks.

    Attributes:
        parent: The dataset that was predicted on.
        bbox_order: Coordinate order of the boxes in ``prediction``.
    """

    def __init__(self, parent: Dataset, bbox_order: str) -> None:
        super().__init__()
        self.parent = parent
        self.bbox_order = bbox_order
        self.name = f"{getattr(parent, 'name', '') or 'dataset'}_predictions"

    def detections(self, position: int) -> Detections:
        """Return what was found in an item."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.parent)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, slice):
            return [self[position] for position in range(*item.indices(len(self)))]
        position = range(len(self))[item]
        source = self.parent[position]
        return PredictionItem(source.id, source.x, source.y, self.detections(position).to_musket(self.bbox_order))

    def __iter__(self) -> Iterator[Any]:
        return (self[position] for position in range(len(self)))

    def root(self) -> Dataset:
        """Return the dataset at the root of the one that was predicted on."""
        return root_of(self.parent)

    def _inner_blend(self, ds: Dataset, w: float = 0.5) -> "Blend":
        return Blend([self, ds], [w, 1 - w])


class Answers(Predictions):
    """Predictions held in memory: ``found`` has those of each item of ``parent``, in order."""

    def __init__(self, parent: Dataset, found: Sequence[Detections], bbox_order: str = "yxyx") -> None:
        super().__init__(parent, bbox_order)
        self.found = found

    def detections(self, position: int) -> Detections:
        """Return what was found in an item."""
        return self.found[position]


class ConcatPredictions(Predictions):
    """Predictions on several datasets, one after the other, such as those of each fold on its validation part."""

    def __init__(self, members: Sequence[Predictions]) -> None:
        super().__init__(CompositeDataSet([member.parent for member in members]), members[0].bbox_order)
        self.members = list(members)

    def detections(self, position: int) -> Detections:
        """Return what was found in an item."""
        position = range(len(self))[position]
        for member in self.members:
            if position < len(member):
                return member.detections(position)
            position -= len(member)
        raise IndexError(position)


class Blend(Predictions):
    """Predictions of several members on the same items, fused when they are asked for.

    Args:
        members: Datasets of the same items whose ``prediction`` is Musket's tuple, such as stores and other blends.
        weights: Of the members; equal by default.
        method: See ``fusion.fuse``.
        iou_threshold: See ``fusion.fuse``.

    Raises:
        DatasetError: The members have different numbers of items.
    """

    def __init__(
        self,
        members: Sequence[Dataset],
        weights: "Sequence[float] | None" = None,
        method: str = "weighted",
        iou_threshold: float = 0.55,
    ) -> None:
        lengths = {len(member) for member in members}
        if len(lengths) != 1:
            raise DatasetError(f"a blend of datasets with {sorted(lengths)} items: expected the same items in each.")
        parent = getattr(members[0], "parent", None)
        super().__init__(members[0] if parent is None else parent, getattr(members[0], "bbox_order", "yxyx"))
        self.members = list(members)
        self.weights = weights
        self.method, self.iou_threshold = method, iou_threshold

    def detections(self, position: int) -> Detections:
        """Return what the members found in an item, fused."""
        found = [_detections(member, position, self.bbox_order) for member in self.members]
        return fuse(found, self.method, self.iou_threshold, self.weights)

    def _inner_blend(self, ds: Dataset, w: float = 0.5) -> "Blend":
        return Blend([self, ds], [w, 1 - w], self.method, self.iou_threshold)


def _detections(member: Any, position: int, bbox_order: str) -> Detections:
    if hasattr(member, "detections"):
        found: Detections = member.detections(position)
        return found
    item = member[position]
    if not is_musket_prediction(item.prediction):
        raise DatasetError(f"item {item.id!r} has no prediction (labels, probabilities, bboxes, masks) to blend.")
    height, width = item.x.shape[:2]
    return from_musket_prediction(item.prediction, height, width, bbox_order)
