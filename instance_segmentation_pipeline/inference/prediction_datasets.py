"""Musket datasets whose items carry predictions: in memory, one after the other, blended."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from musket_core.datasets import CompositeDataSet, PredictionItem, WriteableDataSet

from ..data.class_names import known_class_names
from ..data.dataset_roots import root_of
from ..data.encoding import (
    EncodesInstances,
    encoder_of,
    frame_of,
    objects_of,
    own_rows,
    own_table,
    threshold_of,
    whole_encoder,
    write_frame,
)
from ..data.formats.instance_table import Row, rows_of
from ..data.protocols import Dataset
from ..detection.detections import Detections, from_musket_prediction, is_musket_prediction
from ..detection.fusion import fuse
from ..errors import ConfigError, DatasetError, shortened


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

    def encode(self, item: Any, encode_y: bool = False, treshold: float = 0.5) -> Any:
        """Return an item as rows of a table, a row an object, or a dataset as a ``pandas.DataFrame``.

        The dataset that an item comes from decides what the rows are, where it has an ``encode`` of its own.

        Args:
            item: An item of these predictions, or a dataset whose items carry predictions.
            encode_y: Encode what is there in place of what was found.
            treshold: The lowest score that counts.

        Raises:
            UserError: An item has no prediction, the dataset's own ``encode`` fails, or an argument is none.
        """
        limit = threshold_of(treshold)
        if not isinstance(encode_y, bool):
            raise ConfigError(f"encode_y is {shortened(encode_y)}, expected True or False.")
        if isinstance(item, PredictionItem):
            encoder = encoder_of(self.parent, 0) if len(self.parent) else None
            if encoder is not None:
                return own_rows(encoder, item, encode_y, limit)
            objects = objects_of(item, encode_y, self.bbox_order).above(limit)
            return rows_of(item.id, objects, known_class_names(self.parent))
        found = item if isinstance(item, Predictions) else self._answers_of(item, encode_y)
        alone = whole_encoder(found.parent)
        if alone is not None:
            return own_table(alone, item if encode_y else found, encode_y, limit)
        names = known_class_names(found.parent)
        return frame_of([row for number in range(len(found)) for row in found.rows(number, encode_y, limit, names)])

    def _answers_of(self, dataset: Any, encode_y: bool) -> "Answers":
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise ConfigError(f"encode was given {shortened(dataset)}, expected an item or a dataset.")
        return Answers(dataset, [] if encode_y else _found_in(dataset, self.bbox_order), self.bbox_order)

    def rows(self, position: int, encode_y: bool, threshold: float, class_names: "Sequence[str] | None") -> list[Row]:
        """Return the rows of an item for ``encode``; masks stay run lengths where the dataset has no way of its own."""
        encoder = encoder_of(self.parent, position)
        if encoder is not None and not isinstance(encoder, EncodesInstances):
            return own_rows(encoder, self[position], encode_y, threshold)
        item = self.parent[position]
        found = (objects_of(item, True, self.bbox_order) if encode_y else self.detections(position)).above(threshold)
        return rows_of(item.id, found, class_names) if encoder is None else encoder.rows(item.id, found)

    def dump(self, path: "str | Path", treshold: float = 0.5, encode_y: bool = False) -> None:
        """Write a CSV with a row an object; see ``encode``.

        Raises:
            ConfigError: The file cannot be written.
        """
        write_frame(self.encode(self, encode_y, treshold), path)


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


def _found_in(dataset: Any, bbox_order: str) -> list[Detections]:
    return [_detections(dataset, number, bbox_order) for number in range(len(dataset))]


def _detections(member: Any, position: int, bbox_order: str) -> Detections:
    if hasattr(member, "detections"):
        found: Detections = member.detections(position)
        return found
    item = member[position]
    if not is_musket_prediction(item.prediction):
        raise DatasetError(f"item {item.id!r} has no prediction (labels, probabilities, bboxes, masks) to blend.")
    height, width = item.x.shape[:2]
    return from_musket_prediction(item.prediction, height, width, bbox_order)
