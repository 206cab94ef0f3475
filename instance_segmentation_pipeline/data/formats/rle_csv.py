"""Tables with a row an object, its mask as text of run lengths, as Kaggle and musket_core's datasets have them.

Source of the format: the data pages of kaggle.com, such as that of ``imaterialist-fashion-2019-FGVC6``.
"""

import contextlib
import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from ...detection.arrays import Int64Array
from ...detection.detections import Detections
from ...detection.mask_crops import MaskCrops
from ...errors import ConfigError, DatasetError, nearest, one_line, shortened
from ...storage.atomic import not_writable, temporary_beside
from .annotated_image import check_labels
from .annotation_text import read_annotation_text
from .run_length_text import mask_from_text, text_of_mask
from .writing import check_masks

COLUMNS = ("ImageId", "EncodedPixels", "Height", "Width", "ClassId")
SCORE = "Score"
NO_OBJECT = ("", "-1")
"""What stands in place of run lengths for an image without objects."""
_ATTRIBUTED = re.compile(r"(\d+)(?:\.0|(?:_\d+)+)?")
"""A class's number, as a table of numbers has it, or with attributes after underscores."""
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class TableImage:
    """One image whose objects are rows of a table, as texts of run lengths.

    Attributes:
        name: What the table calls it.
        file: The image.
        told_by: The table.
        labels: Class of each object, from 0.
        texts: Run lengths of each object.
        lines: Line of the table that each object is in.
        size: Height and width that the table tells, ``None`` where it does not.
        relative: Starts are distances to the end of the run before.
    """

    name: str
    file: Path
    told_by: Path
    labels: tuple[int, ...]
    texts: tuple[str, ...]
    lines: tuple[int, ...]
    size: "tuple[int, int] | None" = None
    relative: bool = False

    def has_objects(self) -> bool:
        """Say whether there is an object."""
        return bool(self.labels)

    def objects(self, height: int, width: int) -> "tuple[Int64Array, MaskCrops]":
        """Return labels ``(N,)`` from 0 and masks; what covers no pixel is left out.

        Raises:
            DatasetError: A mask cannot be one of such an image; the message is to stand after the image's name.
        """
        if self.size is not None and self.size != (height, width):
            raise DatasetError(
                f"has Height {self.size[0]} and Width {self.size[1]} in the table, its file {height} and {width} pixels"
            )
        rles = []
        for text, line in zip(self.texts, self.lines, strict=True):
            try:
                rles.append(mask_from_text(text, height, width, relative=self.relative))
            except DatasetError as error:
                raise DatasetError(f"has line {line}, whose mask {error}") from None
        masks = MaskCrops.from_rles(rles, height, width)
        there = np.flatnonzero(masks.areas())
        return np.array(self.labels, np.int64)[there], masks.take(there)


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table; without ``category`` it is ``ClassId``, or there is one class."""

    image: str = "ImageId"
    mask: str = "EncodedPixels"
    category: "str | None" = None


@dataclass
class _Rows:
    """The objects of one image."""

    classes: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    size: "tuple[int, int] | None" = None


@dataclass(frozen=True)
class Table:
    """What a table tells: by the name of an image its objects.

    Attributes:
        path: The table.
        class_names: Names of the classes, in label order.
        rows: By the image's name, in the order of the table.
    """

    path: Path
    class_names: tuple[str, ...]
    rows: "dict[str, _Rows]"

    def image(self, name: str, file: Path, relative: bool) -> TableImage:
        """Return the image of a name, whose file is known."""
        rows = self.rows[name]
        place = {one: label for label, one in enumerate(self.class_names)}
        labels = tuple(place.get(one, 0) for one in rows.classes)  # without a column of classes, all are of the first
        return TableImage(name, file, self.path, labels, tuple(rows.texts), tuple(rows.lines), rows.size, relative)


def read_table(path: Path, columns: Columns, classes: "Sequence[str] | None") -> Table:
    """Read a table of run lengths; columns are parted by commas, semicolons or tabs.

    A column ``ImageId_B`` is a column ``ImageId`` and a column ``B``, whose cells are parted at the last underscore. A
    class is the whole cell; of numbers with attributes (``6_12_45``) the first.

    Args:
        path: The table.
        columns: Names of its columns.
        classes: Names of the classes, in label order; by default those that there are, sorted.

    Raises:
        DatasetError: What is wrong, with the file and the line.
    """
    text = read_annotation_text(path)
    if not text.strip():
        raise DatasetError(f"{path} is empty, expected a table with a line of column names.")
    lines = _cells(path, text)
    _, header = next(lines)
    known = _columns_in(header, columns.image)
    if columns.category is None and COLUMNS[-1] in known:
        columns = replace(columns, category=COLUMNS[-1])
    places = _places(path, header, known, columns)
    rows: dict[str, _Rows] = {}
    used: dict[str, int] = {}
    for number, cells in lines:
        if any(cells):
            if len(cells) != len(header):
                raise DatasetError(
                    f"{path}: line {number} has {len(cells)} cells, expected {len(header)} as in line 1."
                )
            _take(f"{path}: line {number}", number, cells, places, columns, classes, rows, used)
    if not rows:
        raise DatasetError(f"{path} has no rows below its column names.")
    return Table(path, _names(path, columns, classes, used), rows)


def _take(
    where: str,
    number: int,
    cells: "list[str]",
    places: "list[tuple[int, int] | None]",
    columns: Columns,
    classes: "Sequence[str] | None",
    rows: "dict[str, _Rows]",
    used: "dict[str, int]",
) -> None:
    """Add what one row tells."""
    name, mask, category = (_cell(cells, place) for place in places[:3])
    if not name:
        raise DatasetError(f"{where} has no {columns.image}, expected an image's name.")
    one = rows.setdefault(name, _Rows())
    size = _size(where, cells, places[3:])
    if size is not None and one.size not in (None, size):
        raise DatasetError(f"{where} tells another Height and Width of {shortened(name)} than a row before.")
    one.size = one.size or size
    if mask in NO_OBJECT:
        return
    category = _class_of(category, classes)
    if not category and columns.category is not None:
        raise DatasetError(f"{where} has a mask, but no {columns.category}.")
    used.setdefault(category, number)
    one.classes.append(category)
    one.texts.append(mask)
    one.lines.append(number)


def _cells(path: Path, text: str) -> "Iterator[tuple[int, list[str]]]":
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    before = csv.field_size_limit(1 << 31)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        for cells in reader:
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise DatasetError(f"{path} is no table: line {reader.line_num}: {one_line(error)}.") from None
    finally:
        csv.field_size_limit(before)


def _columns_in(header: "list[str]", image: str) -> "dict[str, tuple[int, int]]":
    """Return by name where a column is: its number, and the number of the part of its cells, -1 for all.

    ``image`` is the column of images, from which another one may have to be parted.
    """
    known: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(header):
        left, underscore, right = name.rpartition("_")
        if underscore and left == image:
            known.setdefault(left, (number, 0))
            known.setdefault(right, (number, 1))
    return known | {name: (number, -1) for number, name in enumerate(header)}


def _places(
    path: Path, header: "list[str]", known: "dict[str, tuple[int, int]]", columns: Columns
) -> "list[tuple[int, int] | None]":
    """Return where image, mask, class, height and width are."""
    for name in (columns.image, columns.mask, columns.category):
        if name is not None and header.count(name) > 1:
            raise DatasetError(f"{path} has {header.count(name)} columns {shortened(name)}: expected one.")
        if name is not None and name not in known:
            raise DatasetError(
                f"{path} has no column {shortened(name)}{nearest(name, header)}: its columns are "
                f"{shortened(header, 200)}."
            )
    wanted = (columns.image, columns.mask, columns.category, *COLUMNS[2:4])
    return [None if name is None else known.get(name) for name in wanted]


def _cell(cells: "list[str]", place: "tuple[int, int] | None") -> str:
    if place is None:
        return ""
    cell = cells[place[0]]
    return cell if place[1] < 0 else cell.rpartition("_")[2 * place[1]].strip()


def _size(where: str, cells: "list[str]", places: "list[tuple[int, int] | None]") -> "tuple[int, int] | None":
    texts = [_cell(cells, place).removesuffix(".0") for place in places]
    if not all(texts):
        return None
    if not all(text.isdecimal() and len(text) < 10 and int(text) for text in texts):
        raise DatasetError(
            f"{where} has Height {shortened(texts[0])} and Width {shortened(texts[1])}, expected whole numbers."
        )
    return int(texts[0]), int(texts[1])


def _class_of(cell: str, known: "Sequence[str] | None") -> str:
    attributed = _ATTRIBUTED.fullmatch(cell)
    return attributed[1] if attributed and (known is None or cell not in known) else cell


def _names(path: Path, columns: Columns, classes: "Sequence[str] | None", used: "dict[str, int]") -> tuple[str, ...]:
    if columns.category is None:
        names = tuple(classes or ("object",))
        if len(names) > 1:
            raise DatasetError(f"{path} has no column of classes, but {len(names)} names are given: expected one.")
        return names
    if classes is None:
        if not used:
            raise DatasetError(f"{path} has no object: give classes.")
        return tuple(sorted(used, key=int) if all(name.isdecimal() for name in used) else sorted(used))
    told = {name: f"{path}: line {line} has {columns.category}" for name, line in used.items()}
    check_labels(told, classes, "take its rows out")
    return tuple(classes)


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
        assert self._file is not None
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            if kind is None or self._images:
                self._temporary.replace(self.path)
        except OSError as failure:
            if kind is None:
                raise ConfigError(not_writable(self.path.parent, failure)) from failure
        finally:
            with contextlib.suppress(OSError):  # what a full disk did not take, it would be given once more
                self._file.close()
            self._temporary.unlink(missing_ok=True)

    def _row(self, cells: "Sequence[object]") -> None:
        assert self._file is not None
        try:
            csv.writer(self._file, lineterminator="\n").writerow(cells)
        except OSError as error:
            raise ConfigError(not_writable(self.path.parent, error)) from error
