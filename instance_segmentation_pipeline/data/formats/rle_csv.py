"""Tables with a row an object, its mask as text of run lengths, as Kaggle and musket_core's datasets have them.

Source of the format: the data pages of kaggle.com, such as that of ``imaterialist-fashion-2019-FGVC6``.
"""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from ...detection.detections import Detections
from ...detection.mask_crops import MaskCrops
from ...errors import ConfigError
from ...storage.atomic import not_writable, temporary_beside
from .run_length_text import text_of_mask
from .writing import check_masks

COLUMNS = ("ImageId", "EncodedPixels", "Height", "Width", "ClassId")
SCORE = "Score"


class CsvWriter:
    """A table with a row an object: ``ImageId``, ``EncodedPixels``, ``Height``, ``Width``, ``ClassId``, ``Score``.

    An image without objects has one row, with nothing in ``EncodedPixels`` and ``ClassId``. The rows are written as
    they come, into a temporary file that takes its place when the context is left; also after an error, unless nothing
    was written. Names stand as they are, also where a spreadsheet takes them for formulas.

    Args:
        path: The file to write.
        class_names: Names of the classes, in label order.
        scored: Have the column ``Score``.

    Attributes:
        remarks: What the format could not hold.
    """

    def __init__(self, path: Path, class_names: Sequence[str], scored: bool = False) -> None:
        self.path = path
        self.remarks: list[str] = []
        self._class_names, self._scored = class_names, scored
        self._temporary = path
        self._file: TextIO | None = None
        self._images = 0

    def __enter__(self) -> "CsvWriter":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary = temporary_beside(self.path)
            self._file = self._temporary.open("x", encoding="utf-8", newline="", errors="surrogateescape")
        except OSError as error:
            raise ConfigError(not_writable(self.path.parent, error)) from error
        self._row([*COLUMNS, *([SCORE] if self._scored else [])])
        return self

    def add(self, name: str, found: Detections, place: "int | None" = None) -> None:
        """Write the rows of an image; see ``AnnotationWriter``."""
        check_masks(found, "csv")
        masks = MaskCrops.from_rles(found.masks or [], found.height, found.width)
        size = found.height, found.width
        for row in range(len(found)):
            score = [round(float(found.scores[row]), 6)] if self._scored else []
            label = self._class_names[int(found.labels[row])]
            self._row([name, text_of_mask(masks.run_lengths(row)), *size, label, *score])
        self._images += 1
        if not len(found):
            self._row([name, "", *size, "", *([""] if self._scored else [])])

    def __exit__(self, kind: "type[BaseException] | None", error: object, trace: object) -> None:
        try:
            assert self._file is not None
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if kind is None or self._images:
                self._temporary.replace(self.path)
        except OSError as failure:
            if kind is None:
                raise ConfigError(not_writable(self.path.parent, failure)) from failure
        finally:
            self._temporary.unlink(missing_ok=True)

    def _row(self, cells: "Sequence[object]") -> None:
        assert self._file is not None
        try:
            csv.writer(self._file, lineterminator="\n").writerow(cells)
        except OSError as error:
            raise ConfigError(not_writable(self.path.parent, error)) from error
