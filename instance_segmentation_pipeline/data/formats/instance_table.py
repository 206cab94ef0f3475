"""Instances as a table, one row an object, with masks as runs of pixels: what Musket's ``encode`` and ``dump`` give.

The columns are those of ``rle_csv``, and behind them ``X1, Y1, X2, Y2``, the box in pixels from the top left corner. An
image without objects has one row, in which the cells of an object are empty. The table is one that
``musket_core.image_datasets.InstanceSegmentationDataSet`` reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...detection.detections import Detections
from ...detection.mask_crops import MaskCrops
from .rle_csv import COLUMNS as RLE_COLUMNS
from .rle_csv import SCORE
from .run_length_text import text_of_mask

IMAGE, PIXELS, HEIGHT, WIDTH, CLASS = RLE_COLUMNS
SIZE = (HEIGHT, WIDTH)
BOX = ("X1", "Y1", "X2", "Y2")
COLUMNS = (*RLE_COLUMNS, SCORE, *BOX)

Row = dict[str, Any]


@dataclass(frozen=True)
class TableColumns:
    """How a dataset's own table calls its columns, and writes its masks.

    Attributes:
        image: Of ids.
        pixels: Of masks.
        name: Of classes.
        relative: Whether runs are told by their distance.
        drawn_on: Height and width that masks are brought to, ``None`` for the image's.
    """

    image: str = IMAGE
    pixels: str = PIXELS
    name: str = CLASS
    relative: bool = False
    drawn_on: "tuple[int, int] | None" = None

    def all(self) -> list[str]:
        """Return the names of all columns, in order."""
        return [self.image, self.pixels, *SIZE, self.name, SCORE, *BOX]


DEFAULT = TableColumns()


def rows_of(
    item_id: object, found: Detections, class_names: "Sequence[str] | None" = None, columns: TableColumns = DEFAULT
) -> list[Row]:
    """Return the rows of an image.

    Args:
        item_id: The item's id.
        found: Its objects.
        class_names: Names of the classes, in label order; without them numbers from 1.
        columns: Names of the columns.

    >>> import numpy as np
    >>> mask = {"size": [2, 4], "counts": [2, 4, 2]}
    >>> found = Detections(2, 4, np.array([0]), np.array([0.5]), np.array([[1, 0, 3, 2]], np.float32), [mask])
    >>> [(row["ImageId"], row["EncodedPixels"], row["ClassId"]) for row in rows_of("a", found, ["disc"])]
    [('a', '3 4', 'disc')]
    """
    first = {columns.image: item_id}
    size = dict(zip(SIZE, (found.height, found.width), strict=True))
    if not len(found):
        return [{**first, columns.pixels: "", **size, **dict.fromkeys((columns.name, SCORE, *BOX), "")}]
    masks = None if found.masks is None else MaskCrops.from_rles(found.masks, found.height, found.width)
    if masks is not None and columns.drawn_on is not None:
        masks = masks.resized(*columns.drawn_on)
    rows = []
    for number in range(len(found)):
        label = int(found.labels[number])
        text = "" if masks is None else text_of_mask(masks.run_lengths(number), relative=columns.relative)
        name = str(label + 1) if class_names is None else class_names[label]
        score = round(float(found.scores[number]), 6)
        box = dict(zip(BOX, (round(float(side), 2) for side in found.bboxes[number]), strict=True))
        rows.append({**first, columns.pixels: text, **size, columns.name: name, SCORE: score, **box})
    return rows
