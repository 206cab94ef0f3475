"""Types of the arrays and records that boxes, masks and annotations are made of."""

from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
UInt8Array = npt.NDArray[np.uint8]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.floating[Any]]
AnyArray = npt.NDArray[Any]
"""Of a dataset or a user: its dtype is still to be looked at."""


class Rle(TypedDict):
    """A COCO RLE mask as it is kept here: ``size`` is ``[height, width]``, ``counts`` compressed runs as text."""

    size: list[int]
    counts: str


class PlainRle(TypedDict):
    """A COCO RLE mask whose ``counts`` are the lengths of its runs, column by column from the background on."""

    size: list[int]
    counts: list[int]


class _Boxes(TypedDict):
    bboxes: Float32Array
    labels: Int64Array
    bboxes_ignore: Float32Array
    labels_ignore: Int64Array


class Annotation(_Boxes, total=False):
    """The objects of one image in MMDetection's "middle format"; ``masks`` only where there are masks.

    ``masks_ignore`` are there where there are crowds.
    """

    masks: list[Rle]
    masks_ignore: list[Rle]


class _Record(TypedDict):
    filename: str
    width: int
    height: int
    ann: Annotation


class TruthRecord(_Record, total=False):
    """One image in MMDetection's "middle format"; see ``records.to_middle_format``. ``place``: it is a part of one."""

    place: "CellOfImage"


class CellOfImage(TypedDict):
    """Where a cell lies.

    ``image`` is the position of its image, ``cell`` has ``left, top, right, bottom`` in it, ``height`` and ``width``
    are the image's, and ``whole`` is the truth of all of it, in its first cell alone.
    """

    image: int
    cell: tuple[int, int, int, int]
    height: int
    width: int
    whole: "TruthRecord | None"


class _FoundBoxes(TypedDict):
    labels: Int64Array
    scores: Float32Array
    bboxes: Float32Array


class FoundArrays(_FoundBoxes, total=False):
    """What was found in one image, as a mapping of arrays; ``masks`` only where there are masks."""

    masks: list[Rle]
