"""One set of detections of a large image from those of its cells.

Pure functions. Cells that predict overlap; an object in several of them is found in each, whole or cut by its edge, and
what is found is one object where the masks agree in what both cells show.

A net answers to one object more than once: beside the surest answer stand less sure ones that its own suppression left.
An object's surest answers in two cells belong together, not a sure one and a less sure one of the other cell, of which
each would then bring the other's score to a second object; so answers are paired by their rank at their place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .arrays import BoolArray, Float64Array, Int64Array, UInt8Array
from .detections import Detections, none_found
from .mask_crops import MaskCrops
from .tiles import Cell

SAME = 0.5
"""IoU from which two detections of a class are one object: of two cells, in what both show; of one, in all of it."""
COVERED = 0.75
"""Share of a cut object from which another detection of its class is the same object."""
WHOLE = 0.9
"""Share of what all cells found of an object that a cell shows whose detection, as no edge cuts it, stands for it."""
SURE = 0.25
"""Share of the score of an object's surest detection (of those that no edge cuts, where there are) from which another
one has a say in where the object is."""
NEAR_EDGE = 0.01
"""How far from the edge of a cell an object ends that the edge cuts, as a share of the cell's side, beside 2 pixels."""
EVERYWHERE = (-np.inf, -np.inf, np.inf, np.inf)
VERSION = 3
"""Changes whenever the same cells would be joined to something else; stored predictions are then made anew."""


def join(found: Sequence[Detections], cells: Sequence[Cell], height: int, width: int) -> Detections:
    """Return what was found in the cells of an image as detections of the image, the highest score first.

    Args:
        found: The detections of each cell, in its coordinates.
        cells: The cells.
        height: Height of the image.
        width: Width of the image.

    >>> box = np.array([[2, 2, 10, 8]], np.float32)
    >>> left = Detections(10, 10, np.array([0]), np.array([0.9], np.float32), box, None)
    >>> right = Detections(10, 10, np.array([0]), np.array([0.7], np.float32), box - [[2, 0, 5, 0]], None)
    >>> joined = join([left, right], [Cell(0, 0, 10, 10), Cell(5, 0, 15, 10)], 10, 15)
    >>> joined.bboxes, joined.scores
    (array([[ 2.,  2., 10.,  8.]], dtype=float32), array([0.9], dtype=float32))
    """
    with_masks = all(one.masks is not None for one in found)
    if not sum(map(len, found)):
        return none_found(height, width, with_masks)
    pieces = _Pieces.of(found, cells, height, width, with_masks)
    surer = _surer_in_cell(pieces)
    groups = _grouped(pieces, _agreeing(pieces, cells, surer))
    joined = [_one_of(pieces, group) for group in groups]
    order = _without_repeats(pieces, groups, joined, surer)
    masks = [mask for number in order if (mask := joined[number].mask) is not None]
    return Detections(
        height,
        width,
        np.array([pieces.labels[groups[number][0]] for number in order], np.int64),
        np.array([joined[number].score for number in order], np.float32),
        np.array([joined[number].bbox for number in order], np.float32).reshape(-1, 4),
        MaskCrops.joined(masks).to_rles() if with_masks else None,
    )


class _Joined(NamedTuple):
    score: float
    bbox: Float64Array
    mask: "MaskCrops | None"


@dataclass(frozen=True)
class _Pieces:
    """What was found in all cells, in coordinates of the image.

    ``boxes`` are those of the masks where there are masks, ``is_cut`` says which end at an edge inside the image.
    """

    cells: Int64Array
    owners: Int64Array
    labels: Int64Array
    scores: Float64Array
    bboxes: Float64Array
    boxes: Float64Array
    masks: "MaskCrops | None"
    is_cut: BoolArray

    @classmethod
    def of(
        cls, found: Sequence[Detections], cells: Sequence[Cell], height: int, width: int, with_masks: bool
    ) -> "_Pieces":
        bboxes, masks, cuts = [], [], []
        for one, cell in zip(found, cells, strict=True):
            bboxes.append(one.bboxes.astype(np.float64) + [cell.left, cell.top] * 2)
            own = bboxes[-1]
            if with_masks:
                crops = MaskCrops.from_rles(one.masks or [], cell.height, cell.width)
                masks.append(crops.placed(height, width, cell.left, cell.top))
                own = masks[-1].boxes.astype(np.float64)
            near = 2 + NEAR_EDGE * max(cell.height, cell.width)
            low, high = own[:, :2] - [cell.left, cell.top], [cell.right, cell.bottom] - own[:, 2:]
            inner_low, inner_high = (
                np.array([cell.left, cell.top]) > 0,
                np.array([cell.right, cell.bottom]) < [width, height],
            )
            cuts.append((((low <= near) & inner_low) | ((high <= near) & inner_high)).any(axis=1))
        joined = MaskCrops.joined(masks) if with_masks else None
        all_boxes = np.concatenate(bboxes)
        return cls(
            np.array(cells, np.int64),
            np.repeat(np.arange(len(cells)), [len(one) for one in found]),
            np.concatenate([one.labels for one in found]),
            np.concatenate([one.scores for one in found]).astype(np.float64),
            all_boxes,
            all_boxes if joined is None else joined.boxes.astype(np.float64),
            joined,
            np.concatenate(cuts),
        )

    def area(self, row: int, window: Sequence[float]) -> float:
        """Return how much of an object lies in a window ``x1, y1, x2, y2``."""
        return self.common(row, row, window)

    def common(self, one: int, other: int, window: Sequence[float]) -> float:
        """Return how much of both objects lies in a window."""
        x1, y1 = np.maximum(np.maximum(self.boxes[one, :2], self.boxes[other, :2]), window[:2])
        x2, y2 = np.minimum(np.minimum(self.boxes[one, 2:], self.boxes[other, 2:]), window[2:])
        if x2 <= x1 or y2 <= y1:
            return 0.0
        if self.masks is None:
            return float((x2 - x1) * (y2 - y1))
        parts = []
        for row in (one, other):
            left, top = self.masks.boxes[row, :2]
            parts.append(self.masks.crops[row][int(y1) - top : int(y2) - top, int(x1) - left : int(x2) - left])
        return float(np.count_nonzero(parts[0] & parts[1]))


def _surer_in_cell(pieces: _Pieces) -> list[set[int]]:
    """Return for each row the surer ones of its own cell and class that are at the same place."""
    surer: list[set[int]] = [set() for _ in pieces.labels]
    order = np.lexsort((-pieces.scores, pieces.labels, pieces.owners))
    kinds = np.stack([pieces.owners, pieces.labels], axis=1)[order]
    for rows in np.split(order, np.flatnonzero((kinds[1:] != kinds[:-1]).any(axis=1)) + 1):
        boxes, areas = pieces.boxes[rows], np.array([pieces.area(int(row), EVERYWHERE) for row in rows])
        for place, row in enumerate(rows.tolist()):
            before = slice(0, place)
            alike = np.minimum(areas[before], areas[place]) >= SAME * np.maximum(areas[before], areas[place])
            for other in rows[before][alike & _meeting(boxes[place], boxes[before])].tolist():
                common = pieces.common(row, other, EVERYWHERE)
                both = areas[place] + pieces.area(other, EVERYWHERE) - common
                if common and common / both >= SAME:
                    surer[row].add(other)
    return surer


def _meeting(box: Float64Array, boxes: Float64Array) -> BoolArray:
    meets: BoolArray = np.logical_and.reduce(
        np.concatenate([boxes[:, :2] < box[2:], boxes[:, 2:] > box[:2]], axis=1), axis=1
    )
    return meets


def _agreeing(pieces: _Pieces, cells: Sequence[Cell], surer: Sequence[set[int]]) -> list[tuple[int, int]]:
    """Return the pairs that are one object.

    The surest answers of their cells come first, then those that no edge cuts, then those that agree most: what strips
    at edges agree with is half chance.
    """
    sides = np.array(cells)
    rows = [np.flatnonzero(pieces.owners == owner) for owner in range(len(cells))]
    pairs = []
    for first, cell in enumerate(sides):
        later = sides[first + 1 :]
        meets = (later[:, :2] < cell[2:]).all(axis=1) & (later[:, 2:] > cell[:2]).all(axis=1)
        for second in (np.flatnonzero(meets) + first + 1).tolist():
            low, high = np.maximum(cell[:2], sides[second, :2]), np.minimum(cell[2:], sides[second, 2:])
            pairs += _agreeing_in(pieces, rows[first], rows[second], (*low.tolist(), *high.tolist()))
    ranks = [
        (max(len(surer[one]), len(surer[other])), int(pieces.is_cut[[one, other]].sum())) for _, one, other in pairs
    ]
    ranked = sorted(zip(ranks, pairs, strict=True), key=lambda item: (item[0], -item[1][0], item[1][1:]))
    return [(one, other) for _, (_, one, other) in ranked]


def _agreeing_in(
    pieces: _Pieces, first: Int64Array, second: Int64Array, window: Sequence[float]
) -> list[tuple[float, int, int]]:
    low, high = np.array(window[:2]), np.array(window[2:])
    ones, others = (
        rows[((pieces.boxes[rows, :2] < high) & (pieces.boxes[rows, 2:] > low)).all(axis=1)] for rows in (first, second)
    )
    pairs = []
    areas = {int(row): pieces.area(int(row), window) for row in (*ones, *others)}
    for row in ones.tolist():
        meets = _meeting(pieces.boxes[row], pieces.boxes[others])
        for other in others[meets & (pieces.labels[others] == pieces.labels[row])].tolist():
            common = pieces.common(row, other, window)
            if not common:
                continue
            iou = common / (areas[row] + areas[other] - common)
            small = row if areas[row] <= areas[other] else other
            inner = areas[small] >= 0.9 * pieces.area(small, EVERYWHERE)
            covers = bool(pieces.is_cut[small]) and inner and common / areas[small] >= COVERED
            if iou >= SAME or covers:
                pairs.append((iou, row, other))
    return pairs


def _grouped(pieces: _Pieces, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return groups of rows that are one object each, with one row of a cell at most."""
    group_of = list(range(len(pieces.labels)))
    groups = {row: [row] for row in group_of}
    for one, other in pairs:
        first, second = group_of[one], group_of[other]
        if first == second or {pieces.owners[row] for row in groups[first]} & {
            pieces.owners[row] for row in groups[second]
        }:
            continue
        for row in groups[second]:
            group_of[row] = first
        groups[first] += groups.pop(second)
    return [sorted(rows) for rows in groups.values()]


def _one_of(pieces: _Pieces, group: Sequence[int]) -> _Joined:
    """Return the object that a group is: the surest that no edge cuts, else all of what was found of it.

    Its score is the mean of those that no edge cuts: the highest of several would raise what is wrong above what it is
    in an image that is looked at once, as each cell is one more chance.
    """
    uncut = [row for row in group if not pieces.is_cut[row]]
    least = SURE * pieces.scores[uncut or list(group)].max()
    sure = [row for row in group if pieces.scores[row] >= least]
    whole = sorted((row for row in sure if not pieces.is_cut[row]), key=lambda row: -pieces.scores[row])
    union = _union(pieces, sure)
    if len(sure) > 1:
        whole = [row for row in whole if _shown(union, pieces.cells[pieces.owners[row]]) >= WHOLE * _area(union)]
    if whole or len(sure) == 1:
        views = whole or sure
        mask = None if pieces.masks is None else pieces.masks.take(views[:1])
        return _Joined(float(pieces.scores[views].mean()), pieces.bboxes[views[0]], mask)
    return _Joined(float(pieces.scores[sure].max()), union.bbox, union.mask)


def _union(pieces: _Pieces, group: Sequence[int]) -> _Joined:
    boxes = pieces.boxes[list(group)]
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
    if not len(boxes):
        return _Joined(0, pieces.bboxes[group[0]], None if pieces.masks is None else pieces.masks.take([group[0]]))
    hull = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    if pieces.masks is None:
        return _Joined(0, hull, None)
    left, top, right, bottom = hull.astype(np.int64).tolist()
    canvas: UInt8Array = (
        pieces.masks.take(list(group)).placed(bottom - top, right - left, -left, -top).to_dense().max(axis=0)
    )
    height, width = pieces.masks.height, pieces.masks.width
    return _Joined(0, hull, MaskCrops(height, width, np.array([[left, top, right, bottom]]), (canvas,)))


def _shown(joined: _Joined, cell: Int64Array) -> float:
    """Return how much of an object a cell shows."""
    if joined.mask is None:
        sides = np.minimum(joined.bbox[2:], cell[2:]) - np.maximum(joined.bbox[:2], cell[:2])
        return float(sides.clip(0).prod())
    left, top, right, bottom = cell.tolist()
    return float(joined.mask.placed(bottom - top, right - left, -left, -top).areas()[0])


def _area(joined: _Joined) -> float:
    if joined.mask is not None:
        return float(joined.mask.areas()[0])
    return float((joined.bbox[2:] - joined.bbox[:2]).prod())


def _without_repeats(
    pieces: _Pieces, groups: Sequence[Sequence[int]], joined: Sequence[_Joined], surer: Sequence[set[int]]
) -> list[int]:
    """Return the numbers of the objects that are no cut piece of another one of their class, nor a surer one again.

    The surest comes first.
    """
    boxes = np.array([one.bbox if one.mask is None else one.mask.boxes[0] for one in joined], np.float64)
    labels = np.array([pieces.labels[group[0]] for group in groups])
    areas = np.array([_area(one) for one in joined])
    kept: list[int] = []
    is_kept = np.zeros(len(groups), bool)
    for number in sorted(range(len(groups)), key=lambda number: -joined[number].score):
        rivals = np.flatnonzero(_meeting(boxes[number], boxes) & (labels == labels[number]))
        is_cut = all(pieces.is_cut[row] for row in groups[number])
        for rival in rivals[rivals != number].tolist():
            is_piece = is_cut and areas[rival] > areas[number]
            if not (is_piece or is_kept[rival]) or _are_two(pieces, groups[rival], groups[number], surer):
                continue
            common = _shared(joined[rival], joined[number])
            is_same = common >= SAME * (areas[rival] + areas[number] - common)
            if is_kept[rival] if is_same else is_piece and common >= COVERED * areas[number]:
                break
        else:
            kept.append(number)
            is_kept[number] = True
    return kept


def _are_two(pieces: _Pieces, one: Sequence[int], other: Sequence[int], surer: Sequence[set[int]]) -> bool:
    """Return whether a cell says that two groups are two objects: it found both, whole or apart from each other.

    A strip at an edge is too little to tell: of masks there, one that lies in the other one is no other object.
    """
    cells = {int(pieces.owners[row]): row for row in one}
    for row in other:
        beside = cells.get(int(pieces.owners[row]))
        if beside is None:
            continue
        if not pieces.is_cut[row] and not pieces.is_cut[beside]:
            return True
        is_within = pieces.masks is not None and pieces.common(row, beside, EVERYWHERE) >= COVERED * pieces.area(
            row, EVERYWHERE
        )
        if not (is_within or beside in surer[row] or row in surer[beside]):
            return True
    return False


def _shared(one: _Joined, other: _Joined) -> float:
    both = MaskCrops.joined([one.mask, other.mask]) if one.mask is not None and other.mask is not None else None
    boxes = np.array([one.bbox, other.bbox]) if both is None else both.boxes.astype(np.float64)
    nothing = np.zeros(2)
    pair = _Pieces(
        np.zeros((0, 4), np.int64),
        nothing.astype(np.int64),
        nothing.astype(np.int64),
        nothing,
        boxes,
        boxes,
        both,
        nothing.astype(bool),
    )
    return pair.common(0, 1, EVERYWHERE)
