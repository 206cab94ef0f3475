"""musket_core's ``InstanceSegmentationDataSet`` without its faults.

Upstream's class reads one RLE mask a CSV row. It crashes on class names, numbers integer classes by their
value, pads boxes by 10 pixels, gives arrays of the wrong rank for images without objects, and fails outside a project.
"""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.encoding import EncodesInstances
from ..data.formats.instance_table import Row, TableColumns
from ..data.formats.run_length_text import mask_from_text
from ..detection.arrays import BoolArray, UInt8Array
from ..detection.mask_crops import MaskCrops
from ..errors import ConfigError, DatasetError, nearest, shortened

NO_OBJECT = ("", "-1")
"""What stands in place of run lengths for an image without objects."""

SIZES = ("Height", "Width")
"""Columns that tell the size of the image that the masks were drawn on."""

MOST_SKEW = 0.05
"""How much the sides of an image may be scaled differently from its masks."""


Upstream: Any = object
"""Stands for musket_core's class, which is being defined when this module is imported."""


def derive_instance_segmentation(module: Any) -> type:
    """Return a subclass of ``module.InstanceSegmentationDataSet`` that reads tables as ``InstanceDataSet`` does."""
    name = "InstanceSegmentationDataSet"
    members = {"__module__": module.__name__, "__doc__": InstanceDataSet.__doc__, "upstream": module}
    return type(name, (InstanceDataSet, getattr(module, name)), members)


class InstanceDataSet(EncodesInstances, Upstream):
    """musket_core's ``InstanceSegmentationDataSet``: same CSV, same constructor and ``classes`` with it.

    Items have ``y = (labels (N,) int64, bboxes (N, 4) float32 x1, y1, x2, y2, masks)``; masks are N COCO RLE dicts,
    or, where ``dense_masks`` is set, an array ``(N, height, width)`` bool. A label is the place of the class in
    ``meta()["CLASSES"]``, counted from 1. These are ``classes``, by default those of the CSV, sorted. A class's name
    counts as a whole where it is among ``classes``, else the part before an underscore. Rows with an empty class, and
    those with an empty mask or -1, tell of images without objects. With columns ``Height`` and ``Width`` masks are read
    at that size and brought to the image's, unless ``maskShape`` is given. A subclass that has ``get_mask`` of its own
    gives its masks.
    """

    gives_xyxy = True
    dense_masks = False
    """Whether items have their masks as an array, for code that works on one."""
    upstream: Any
    """The module of musket_core that the class is of."""

    def __init__(
        self,
        imagePath: Any,
        csvPath: str,
        imColumn: str,
        rleColumn: str,
        clazzColumn: str,
        maskShape: Any = None,
        rMask: bool = True,
        isRel: bool = False,
        classes: "Sequence[Any] | None" = None,
    ) -> None:
        self._columns = (imColumn, rleColumn, clazzColumn)
        self._relative = isRel
        with _some_project():
            super().__init__(imagePath, csvPath, imColumn, rleColumn, clazzColumn, maskShape, rMask, isRel)
        for name, file in list(self.images.items()):
            self.images.setdefault(Path(name).stem, file)
        cells = list(dict.fromkeys(self.data[clazzColumn]))
        used = list(dict.fromkeys(name for name in map(_class_name, cells) if name))
        self._set_classes(_in_order(used) if classes is None else _given(classes, cells, csvPath, clazzColumn))
        self._rows = self.data.groupby(imColumn, sort=False).indices

    def readCSV(self, csvPath: str) -> None:
        """Read the table; ids, run lengths and classes stay the texts that they are."""
        self.data = _table(self.upstream.context.get_current_project_data_path(), csvPath, self._columns)

    def _set_classes(self, classes: "list[str]") -> None:
        self.classes = classes
        self.class2Num = {name: number for number, name in enumerate(classes)}
        self.num2class = dict(enumerate(classes))

    def get_all_about(self, item: Any) -> Any:
        """Return the rows of an image."""
        return self.data.iloc[self._rows[item]]

    def isPositive(self, item: int) -> bool:
        """Say whether an image has an object."""
        rows = self.get_all_about(self.imageIds[item])
        return any(
            str(text).strip() not in NO_OBJECT and _class_name(cell, self.class2Num)
            for text, cell in zip(rows[self.rleColumn].values, rows[self.clazzColumn].values, strict=True)
        )

    def get_target(self, item: int) -> Any:
        """Return ``y`` of an item."""
        return self[item].y

    def get_value(self, im_id: object) -> UInt8Array:
        """Return an image ``(height, width, 3)``; transparency is left out."""
        if im_id not in self.images:
            raise DatasetError(
                f"{self.imColumn} {shortened(im_id)} names no file of the images"
                f"{nearest(str(im_id), self.images)}: add the image, or take its rows out."
            )
        image = self.upstream.imageio.imread(self.images[im_id])
        image = image if image.ndim == 3 else image[..., None]
        channels = image.shape[2] - (image.shape[2] in (2, 4))
        image = image[..., :channels]
        return np.ascontiguousarray(np.repeat(image, 3, axis=2) if channels == 1 else image)

    def get_mask(self, image: Any, imShape: Any) -> list[tuple[BoolArray, int]]:
        """Return pairs of a mask ``(height, width)`` bool and the class's index, counted from 0."""
        masks, indices = self._objects(image, imShape)
        return [(masks.take([row]).to_dense()[0].astype(bool), index) for row, index in enumerate(indices)]

    def _objects(self, image: Any, shape: Any) -> "tuple[MaskCrops, list[int]]":
        """Return the masks of an image, and the index of each one's class, counted from 0."""
        rows = self.get_all_about(image)
        height, width = shape[:2]
        parts, indices = [MaskCrops.none(height, width)], []
        for number, text in enumerate(rows[self.rleColumn].values):
            name = _class_name(rows[self.clazzColumn].values[number], self.class2Num)
            if str(text).strip() in NO_OBJECT or not name:
                continue
            if name not in self.class2Num:
                raise DatasetError(
                    f"{self.clazzColumn} {shortened(name)} of {self.imColumn} {shortened(image)} is not among the "
                    f"classes{nearest(name, self.class2Num)}: add it, or take its rows out."
                )
            drawn = self._drawn_on(rows, number, height, width)
            try:
                rle = mask_from_text(str(text), *drawn, relative=self._relative)
            except DatasetError as error:
                raise DatasetError(f"{self.rleColumn} of {self.imColumn} {shortened(image)} {error}.") from None
            mask = MaskCrops.from_rles([rle], *drawn)
            parts.append(mask if drawn == (height, width) else mask.resized(height, width))
            indices.append(self.class2Num[name])
        return MaskCrops.joined(parts), indices

    def table_columns(self) -> TableColumns:
        """Return the columns that the CSV was read by, masks at ``maskShape`` where that was given."""
        shape: Any = self.maskShape
        if shape is not None:
            shape = tuple(int(side) for side in (shape[:2] if self.rMask else shape[1::-1]))
        return TableColumns(str(self.imColumn), str(self.rleColumn), str(self.clazzColumn), self._relative, shape)

    def table_classes(self) -> Sequence[str]:
        """Return the names of the classes, in label order."""
        return list(self.classes)

    def recoded(self, rows: "list[Row]") -> "list[Row]":
        """Return rows with the parts of a column such as ``ImageId_ClassId`` joined again."""
        for joined in dict.fromkeys(self.splitColumns.values()):
            parts = str(joined).split("_")
            for row in rows:
                if all(part in row for part in parts):
                    row[joined] = "_".join(str(row.pop(part)) for part in parts)
        return rows

    def _drawn_on(self, rows: Any, number: int, height: int, width: int) -> "tuple[int, int]":
        """Return height and width of the image that a row's mask was drawn on."""
        if self.maskShape is not None:
            first, second = (int(side) for side in self.maskShape[:2])
            return (first, second) if self.rMask else (second, first)
        if not set(SIZES) <= set(rows.columns):
            return height, width
        sides = tuple(rows[name].values[number] for name in SIZES)
        if not all(side == side and float(side) >= 1 for side in sides):  # an empty cell is no number
            return height, width
        drawn = int(sides[0]), int(sides[1])
        if abs(height / drawn[0] - width / drawn[1]) > MOST_SKEW * height / drawn[0] + 1 / min(drawn):
            raise DatasetError(
                f"{' and '.join(SIZES)} of {self.imColumn} {shortened(rows[self.imColumn].values[number])} are "
                f"{drawn[0]} and {drawn[1]}, but the image is {height} high and {width} wide: the masks do not fit."
            )
        return drawn

    def __getitem__(self, item: int) -> Any:
        image_id = self.imageIds[item]
        image = self.get_value(image_id)
        if _own(self, "get_mask"):
            pairs = self.get_mask(image_id, image.shape)
            dense = np.zeros((len(pairs), *image.shape[:2]), bool)
            for row, (mask, _) in enumerate(pairs):
                dense[row] = mask
            masks, indices = MaskCrops.from_dense(dense), [index for _, index in pairs]
        else:
            masks, indices = self._objects(image_id, image.shape)
        there = np.flatnonzero(masks.areas())
        masks, labels = masks.take(there), np.array(indices, np.int64)[there] + 1
        given = masks.to_dense().view(bool) if self.dense_masks else masks.to_rles()
        return self.upstream.PredictionItem(image_id, image, (labels, masks.tight_boxes(), given))


def _own(dataset: InstanceDataSet, name: str) -> bool:
    """Say whether a subclass has a method of its own."""
    return getattr(type(dataset), name) is not getattr(InstanceDataSet, name)


@contextlib.contextmanager
def _some_project() -> Iterator[None]:
    """Let upstream look for files in the current folder where no project is known: it fails without one."""
    from musket_core.context import context, get_current_project_path

    before = get_current_project_path()
    context.projectPath = before or str(Path.cwd())
    try:
        yield
    finally:
        context.projectPath = before


def _table(folder: str, path: str, columns: "tuple[str, ...]") -> Any:
    """Return a table from where upstream finds it, some of its columns as text, empty where their cells are.

    Raises:
        ConfigError: It lacks one of these columns, also as a part of a name such as ``ImageId_ClassId``.
    """
    import pandas

    found = Path(folder, path)
    file, encoding = found if found.exists() else Path(path), "utf-8"
    try:
        names = [str(name) for name in pandas.read_csv(file, nrows=0).columns]
    except UnicodeDecodeError:
        encoding = "cp1251"
        names = [str(name) for name in pandas.read_csv(file, nrows=0, encoding=encoding).columns]
    parts = {part: name for name in names for part in name.split("_")} | {name: name for name in names}
    missing = next((name for name in columns if name not in parts), None)
    if missing is not None:
        raise ConfigError(
            f"{path} has no column {shortened(missing)}{nearest(str(missing), names)}: its columns are "
            f"{', '.join(names[:20])}."
        )
    texts = list(dict.fromkeys(parts[name] for name in columns))
    kept: dict[str, Any] = {"dtype": dict.fromkeys(texts, str), "keep_default_na": False, "na_values": [""]}
    try:
        table = pandas.read_csv(file, encoding=encoding, **kept)
    except UnicodeDecodeError:
        table = pandas.read_csv(file, encoding="cp1251", **kept)
    table[texts] = table[texts].fillna("")
    return table


def _class_name(name: Any, known: Collection[str] = ()) -> str:
    """Return what counts of a class cell: all of it where it is known, else the part before an underscore; of a whole
    number its digits.
    """
    text = str(name).strip()
    if text in known:
        return text
    text = text.partition("_")[0]
    return text.removesuffix(".0") if text.removesuffix(".0").isdecimal() else text


def _in_order(names: "list[str]") -> "list[str]":
    """Return names in order, whole numbers by their values."""
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)


def _given(classes: Any, cells: "list[str]", csv: str, column: str) -> "list[str]":
    """Return the classes that were given, as text.

    Raises:
        ConfigError: They are no list of different names, or the table has another one.
    """
    if not isinstance(classes, (list, tuple, np.ndarray)) or not len(classes):
        raise ConfigError(f"classes of InstanceSegmentationDataSet is {shortened(classes)}, expected a list of names.")
    names = [str(name).strip() for name in classes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"classes of InstanceSegmentationDataSet has {shortened(twice)} twice: name each once.")
    used = (_class_name(cell, names) for cell in cells)
    unknown = next((name for name in used if name and name not in names), None)
    if unknown is not None:
        raise ConfigError(
            f"{csv} has {column} {shortened(unknown)}, which is not among the {len(names)} classes"
            f"{nearest(unknown, names)}: add it, or take its rows out."
        )
    return names
