"""What datasets and their predictions become as a table: Musket's ``encode`` and ``dump``.

A dataset with an ``encode`` of its own decides by itself. Of all others each object is a row of
``formats.instance_table``.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from musket_core.datasets import DataSet, PredictionItem

from ..detection.detections import Detections, from_musket_prediction, is_musket_prediction
from ..detection.instances import Instances, from_musket
from ..errors import ConfigError, DatasetError, UserError, one_line, shortened
from ..storage.atomic import not_writable, write_atomically
from .data_folder import FolderDataSet, inner_of
from .dataset_roots import roots_of
from .formats.instance_table import DEFAULT, Row, TableColumns, rows_of
from .item_cache import place_of

MOST_CLASSES = 1 << 31


class EncodesInstances:
    """For datasets of instances: ``encode`` and ``dump`` as musket_core's have them.

    ``encode`` of an item gives a list of rows, one an object, and of a dataset a ``pandas.DataFrame``.
    """

    def table_columns(self) -> TableColumns:
        """Return how the table is to call its columns."""
        return DEFAULT

    def table_classes(self) -> "Sequence[str] | None":
        """Return the names of the classes, in label order."""
        return None

    def recoded(self, rows: list[Row]) -> list[Row]:
        """Return rows as the dataset's own table has them."""
        return rows

    def encode(self, item: Any, encode_y: bool = False, treshold: float = 0.5) -> Any:
        """Return an item, or a dataset, as rows of a table.

        Args:
            item: A ``PredictionItem``, or a dataset.
            encode_y: Encode what is there in place of what was found.
            treshold: The lowest score that counts.

        Raises:
            DatasetError: An item has no prediction, or what it has is no such tuple.
        """
        limit = threshold_of(treshold)
        if not isinstance(item, PredictionItem):
            numbers = range(len(item))
            return self._create_dataframe([self.encode(item[number], encode_y, limit) for number in numbers])
        order = "xyxy" if getattr(self, "gives_xyxy", False) else "yxyx"
        found = objects_of(item, encode_y, order).above(limit)
        return self.rows(item.id, found)

    def rows(self, item_id: object, found: Detections) -> list[Row]:
        """Return the rows of an image and its objects."""
        return self.recoded(rows_of(item_id, found, self.table_classes(), self.table_columns()))

    def _create_dataframe(self, items: Iterable[list[Row]]) -> Any:
        return frame_of([row for rows in items for row in rows], self.table_columns())


def threshold_of(value: Any) -> float:
    """Return a score threshold.

    Raises:
        ConfigError: It is no number from 0 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise ConfigError(f"treshold is {shortened(value)}, expected a number from 0 to 1.")
    return float(value)


def objects_of(item: Any, encode_y: bool, bbox_order: str) -> Detections:
    """Return what is there in an item, with scores of 1, or what was found in it.

    Raises:
        DatasetError: The item has none, or what it has is no such tuple.
    """
    height, width = np.shape(item.x)[:2]
    if not encode_y:
        if not is_musket_prediction(item.prediction):
            raise DatasetError(
                f"item {shortened(item.id)} has no prediction (labels, probabilities, bboxes, masks): ask "
                "cfg.predictions, or give encode_y=True for what is there."
            )
        return from_musket_prediction(item.prediction, height, width, bbox_order)
    there: Instances = from_musket(
        item.y, height, width, classes=MOST_CLASSES, bbox_order=bbox_order, needs_masks=False, item_id=item.id
    )
    masks = None if there.masks is None else there.masks.to_rles()
    return Detections(height, width, there.labels, np.ones(len(there), np.float32), there.bboxes, masks)


def encoder_of(dataset: Any, position: int) -> Any:
    """Return the dataset that an item comes from, where it encodes items itself; ``None`` where it does not."""
    owner, _ = place_of(dataset, position)
    root = roots_of(owner)[0]
    inner: Any = inner_of(root)[0] if type(root) is FolderDataSet else root
    kind = type(inner)
    if isinstance(inner, EncodesInstances):
        return root
    own = getattr(kind, "encode", DataSet.encode) is not DataSet.encode
    return root if own or getattr(kind, "_encode_item", None) not in (None, DataSet._encode_item) else None  # noqa: SLF001


def whole_encoder(dataset: Any) -> Any:
    """Return the dataset that encodes all items in a way of its own; ``None`` where there is none, or not for all."""
    first = {id(place_of(dataset, position)[0]): position for position in range(len(dataset))}
    each = [encoder_of(dataset, position) for position in first.values()]
    alone = all(one is not None and _same(one, each[0]) for one in each)
    return each[0] if each and alone and not isinstance(each[0], EncodesInstances) else None


def _same(first: Any, second: Any) -> bool:
    """Say whether two datasets are one, whichever folder they are read in."""
    one, other = (inner_of(each)[0] if type(each) is FolderDataSet else each for each in (first, second))
    return one is other


def _own(encoder: Any, given: Any, encode_y: bool, threshold: float, where: str) -> Any:
    """Return what a dataset's ``encode`` makes of items or of one, whose name is ``where`` in messages."""
    try:
        return encoder.encode(given, encode_y=encode_y, treshold=threshold)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        what = f"encode of the dataset {type(encoder).__name__} fails{where}"
        raise DatasetError(f"{what}: {one_line(error)}.") from error


def own_table(encoder: Any, dataset: Any, encode_y: bool, threshold: float) -> Any:
    """Return the table that a dataset makes of items with predictions.

    Raises:
        DatasetError: It fails, or gives no table.
    """
    frame = _own(encoder, dataset, encode_y, threshold, "")
    if not hasattr(frame, "to_csv"):
        raise DatasetError(
            f"encode of the dataset {type(encoder).__name__} gave a {type(frame).__name__} for its items, expected a "
            "pandas.DataFrame."
        )
    return frame


def own_rows(encoder: Any, item: Any, encode_y: bool, threshold: float) -> list[Row]:
    """Return what a dataset makes of an item: one row, or several.

    Raises:
        DatasetError: It fails, or gives no rows.
    """
    given = _own(encoder, item, encode_y, threshold, f" on item {shortened(item.id)}")
    rows = [given] if isinstance(given, dict) else given
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, dict) for row in rows):
        raise DatasetError(
            f"encode of the dataset gave {shortened(given)} for item {shortened(item.id)}, expected a mapping of "
            "columns, or a list of such."
        )
    return list(rows)


def frame_of(rows: Sequence[Row], columns: TableColumns = DEFAULT) -> Any:
    """Return rows as a ``pandas.DataFrame``; without any, one with the columns alone."""
    import pandas

    return pandas.DataFrame(rows) if rows else pandas.DataFrame(columns=columns.all())


def write_frame(frame: Any, path: "str | Path") -> None:
    """Write a table as CSV, whole.

    Raises:
        ConfigError: The file cannot be written.
    """
    if not isinstance(path, (str, Path)) or not str(path):
        raise ConfigError(f"dump writes to a path, but was given {shortened(path)}.")
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(target) as temporary:
            frame.to_csv(temporary, index=False)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            raise ConfigError(not_writable(target.parent, error)) from error
        raise ConfigError(f"{shortened(str(path))} is no path to write to ({one_line(error)}).") from error
