"""Fusing what several nets, or one net in several views, found in the same image.

Pure functions on ``Detections``. ``weighted`` follows Weighted Boxes Fusion (Solovyev, Wang and Gabruseva, 2021),
with the IoU of masks in place of that of boxes, and averages outlines of masks as it does boxes.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from .arrays import Float64Array, FloatArray, Int64Array, Rle
from .boxes import box_iou
from .detections import Detections, none_found, overlaps
from .mask_crops import MaskCrops

DEFAULT_IOU = 0.55
"""IoU from which two objects of a class are taken for one."""

VERSION = 2
"""Changes whenever the same members would be fused to something else; stored blends are then made anew."""

SOFT_SIGMA = 0.5
"""Width of the Gaussian by which ``soft_nms`` lowers scores, as in Bodla et al., 2017."""


def fuse(
    members: Sequence[Detections],
    method: str = "weighted",
    iou_threshold: float = DEFAULT_IOU,
    weights: "Sequence[float] | None" = None,
) -> Detections:
    """Fuse the detections of several members in one image.

    Args:
        members: What each found; all of the same image.
        method: ``weighted`` (objects matched by mask IoU, outlines averaged by score), ``wbf`` (by box IoU, boxes
            averaged, the mask of the surest), ``nms`` (the surest of each group stays as it is) or ``soft_nms`` (all
            stay, scores of overlapping ones are lowered).
        iou_threshold: From which IoU objects of the same class are one.
        weights: Of the members; equal by default.

    Returns:
        The fused objects, the highest score first. With ``weighted`` and ``wbf`` the score is the weighted mean over
        all members, zero for those that did not find the object.

    Raises:
        ValueError: No members, another number of weights, or no such method.

    >>> def found(score, right):
    ...     box = np.array([[0, 0, right, 10]], np.float32)
    ...     return Detections(20, 20, np.array([1]), np.array([score], np.float32), box, None)
    >>> fused = fuse([found(0.9, 10), found(0.3, 12)], method="wbf")
    >>> fused.labels, fused.scores, fused.bboxes
    (array([1]), array([0.6], dtype=float32), array([[ 0. ,  0. , 10.5, 10. ]], dtype=float32))
    >>> fuse([found(0.9, 10), found(0.3, 12)], method="nms").scores
    array([0.9], dtype=float32)
    """
    if not members or (weights is not None and len(weights) != len(members)):
        raise ValueError(f"{len(members)} members and {weights} as weights, expected as many weights as members")
    if method not in METHODS:
        raise ValueError(f"no fusion {method!r}, expected one of {list(METHODS)}")
    shares = np.ones(len(members)) if weights is None else np.asarray(weights, float)
    if len(members) == 1:
        return members[0].by_score()
    joined, owners = _joined(members)
    if not len(joined):
        return joined
    return METHODS[method](joined, owners, shares / shares.sum(), iou_threshold).by_score()


def _joined(members: Sequence[Detections]) -> tuple[Detections, Int64Array]:
    """Return all detections in one, the surest first, and the number of the member that each is of."""
    with_masks = all(member.masks is not None for member in members)
    masks = [mask for member in members for mask in member.masks or ()] if with_masks else None
    joined = Detections(
        members[0].height,
        members[0].width,
        np.concatenate([member.labels for member in members]),
        np.concatenate([member.scores for member in members]),
        np.concatenate([member.bboxes for member in members]),
        masks,
    )
    owners = np.concatenate([np.full(len(member), number) for number, member in enumerate(members)])
    order = np.argsort(-joined.scores, kind="stable")
    return joined[order], owners[order]


def _by_class(labels: Int64Array) -> list[Int64Array]:
    """Return the rows of each class, in order; objects of different classes never meet."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _groups(joined: Detections, owners: Int64Array, threshold: float, by_boxes: bool) -> list[list[int]]:
    """Group rows of the same class: each row joins the surest group that it overlaps and its member is not in yet."""
    groups: list[list[int]] = []
    for rows in _by_class(joined.labels):
        some = joined[rows]
        iou = box_iou(some.bboxes, some.bboxes) if by_boxes else overlaps(some, some)
        groups += [[int(rows[place]) for place in group] for group in _groups_of_class(iou, owners[rows], threshold)]
    return sorted(groups)


def _groups_of_class(iou: Float64Array, owners: Int64Array, threshold: float) -> list[list[int]]:
    """Group rows, the surest first, by their IoU ``(N, N)`` with the first of each group; of equals the latest wins."""
    count = len(owners)
    groups: list[list[int]] = []
    firsts = np.empty(count, np.int64)
    has = np.zeros((count, owners.max() + 1), bool)
    for row, owner in enumerate(owners):
        there = len(groups)
        near = np.where(has[:there, owner], -1.0, iou[firsts[:there], row])
        best = there - 1 - int(near[::-1].argmax()) if there else 0
        if there and near[best] >= threshold:
            groups[best].append(row)
        else:
            best = there
            firsts[best] = row
            groups.append([row])
        has[best, owner] = True
    return groups


def _fused(
    joined: Detections, owners: Int64Array, shares: Float64Array, groups: list[list[int]], average: bool
) -> Detections:
    labels, scores, bboxes, masks = [], [], [], []
    for group in groups:
        power = joined.scores[group] * shares[owners[group]]
        labels.append(joined.labels[group[0]])
        scores.append(power.sum())
        bboxes.append(np.average(joined.bboxes[group], axis=0, weights=np.maximum(power, 1e-9)))
        if joined.masks is not None:
            chosen = [joined.masks[row] for row in group]
            masks.append(_averaged(chosen, power) if average and len(group) > 1 else chosen[0])
    return Detections(
        joined.height,
        joined.width,
        np.array(labels, np.int64),
        np.array(scores, np.float32),
        np.array(bboxes, np.float32).reshape(-1, 4),
        masks if joined.masks is not None else None,
    )


def _averaged(masks: Sequence[Rle], power: FloatArray) -> Rle:
    """Return the mask whose outline lies between those of the masks, nearer to surer ones.

    The signed distances to their outlines are averaged (shape-based averaging, Rohlfing and Maurer, 2007): a vote on
    single pixels would give two masks' outline to the surer one. Where nothing is left, the surest mask is.
    """
    height, width = masks[0]["size"]
    crops = MaskCrops.from_rles(masks, height, width)
    boxes = crops.boxes[(crops.boxes[:, 2:] > crops.boxes[:, :2]).all(axis=1)]
    if not len(boxes):
        return masks[0]
    left, top = np.maximum(boxes[:, :2].min(axis=0) - 1, 0).tolist()
    right, bottom = np.minimum(boxes[:, 2:].max(axis=0) + 1, [width, height]).tolist()
    total = np.zeros((bottom - top, right - left), np.float32)
    dense = crops.placed(bottom - top, right - left, -left, -top).to_dense()
    for mask, share in zip(dense, power / max(power.sum(), 1e-9), strict=True):
        inside = np.pad(mask, 1)
        distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
        total += float(share) * distance[1:-1, 1:-1]
    fused = MaskCrops.from_dense((total > 0)[None]).placed(height, width, left, top)
    return fused.to_rles()[0] if fused.crops[0].size else masks[0]


def _weighted(joined: Detections, owners: Int64Array, shares: Float64Array, threshold: float) -> Detections:
    return _fused(joined, owners, shares, _groups(joined, owners, threshold, by_boxes=False), average=True)


def _wbf(joined: Detections, owners: Int64Array, shares: Float64Array, threshold: float) -> Detections:
    return _fused(joined, owners, shares, _groups(joined, owners, threshold, by_boxes=True), average=False)


def _nms(joined: Detections, owners: Int64Array, shares: Float64Array, threshold: float) -> Detections:
    kept: list[int] = []
    for rows in _by_class(joined.labels):
        some = joined[rows]
        near = overlaps(some, some) >= threshold
        covered = np.zeros(len(rows), bool)
        for place, row in enumerate(rows):
            if not covered[place]:
                kept.append(int(row))
                covered |= near[:, place]
    return joined[sorted(kept)] if kept else none_found(joined.height, joined.width, joined.masks is not None)


def _soft_nms(joined: Detections, owners: Int64Array, shares: Float64Array, threshold: float) -> Detections:
    """Lower the scores of what overlaps a surer object of the class; ``threshold`` is not used."""
    scores = joined.scores.astype(np.float64).copy()
    for rows in _by_class(joined.labels):
        some, own = joined[rows], scores[rows]
        iou, left = overlaps(some, some), np.ones(len(rows), bool)
        for _ in rows:
            place = int(np.where(left, own, -np.inf).argmax())
            left[place] = False
            own[left] *= np.exp(-(iou[place, left] ** 2) / SOFT_SIGMA)
        scores[rows] = own
    return Detections(
        joined.height, joined.width, joined.labels, scores.astype(np.float32), joined.bboxes, joined.masks
    )


METHODS: dict[str, Callable[[Detections, Int64Array, Float64Array, float], Detections]] = {
    "weighted": _weighted,
    "nms": _nms,
    "soft_nms": _soft_nms,
    "wbf": _wbf,
}
