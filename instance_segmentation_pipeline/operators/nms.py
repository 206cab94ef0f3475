"""Greedy non-maximum suppression: pairs of boxes that meet on a CPU, a matrix of all on an accelerator.

Which boxes stay, and their order, are those of the compiled operator: boxes fall by score, equal scores keep the
order that ``torch.sort`` gives them, and overlaps are computed in single precision.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .box_pairs import SMALL, Boxes, Indices, Overlaps, Pairs, Sweep, all_pairs

__all__ = ["nms", "nms_match"]

BLOCK = 128
"""Boxes that are decided together, where most boxes meet."""

COLUMNS = 1024
"""Boxes behind a block whose overlaps with it are computed together: they stay in a core's cache."""

DENSE = 10
"""Where more than one in so many pairs meets, all overlaps of those that are left cost less than finding them."""

ROUNDS = 64
"""Rounds after which a chain of overlapping boxes is followed one by one."""

ROWS_ON_DEVICE = 1024
"""Rows of the accelerator's matrix that are computed together, which bounds the memory of temporaries."""

Chosen = npt.NDArray[np.bool_]
Test = Callable[[Overlaps], Chosen]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes that stay, by falling score, int64.

    Args:
        boxes: (N, 4), x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: A box goes when it overlaps one of a higher score by more than this.
        offset: 0, or 1 where x2 and y2 are pixels that belong to the box.
    """
    if boxes.numel() == 0:
        return torch.empty(0, dtype=torch.long, device=boxes.device)
    order = scores.sort(0, descending=True).indices
    if boxes.device.type != "cpu":
        return order[_fixed_point(boxes[order], iou_threshold, offset)]
    threshold = np.float32(iou_threshold)
    sorted_boxes = Boxes(boxes, offset, order.numpy())
    keep, _ = suppress(sorted_boxes, lambda iou: iou > threshold, only_meeting=iou_threshold >= 0)
    return order[torch.from_numpy(np.flatnonzero(keep))]


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Return a list for each box that stays: its index, then those of the boxes that it suppresses, by score.

    Args:
        dets: (N, 5), x1, y1, x2, y2, score.
        iou_threshold: A box goes when it overlaps one of a higher score by this or more.
    """
    if dets.size(0) == 0:
        return []
    order = dets[:, 4].sort(0, descending=True).indices.cpu().numpy()
    threshold = np.float32(iou_threshold)
    _, owner = suppress(
        Boxes(dets, 0, order), lambda iou: iou >= threshold, only_meeting=iou_threshold > 0, owners=True
    )
    groups: dict[int, list[int]] = {}
    for index, of in zip(order.tolist(), owner.tolist(), strict=True):
        groups.setdefault(of, []).append(index)
    return list(groups.values())


def suppress(boxes: Boxes, test: Test, only_meeting: bool, owners: bool = False) -> tuple[Chosen, Indices]:
    """Decide which of the boxes, sorted by score, stay.

    Args:
        boxes: The boxes.
        test: Which overlaps suppress the second box.
        only_meeting: Whether those are overlaps of boxes with a common area only.
        owners: Whether the second answer is wanted.

    Returns:
        ``keep (N,)`` bool, and for each box which one suppresses it, itself where it stays; empty if not wanted.
    """
    with np.errstate(all="ignore"):
        if len(boxes) <= SMALL:
            return _by_pairs(len(boxes), all_pairs(boxes), test, owners)
        sweep = Sweep(boxes) if only_meeting else None
        if sweep is None or sweep.total * DENSE > len(boxes) ** 2:
            return _by_blocks(boxes, test, owners)
        return _by_pairs(len(boxes), sweep.pairs(), test, owners)


def _by_pairs(count: int, pairs: Pairs, test: Test, owners: bool) -> tuple[Chosen, Indices]:
    hits = np.flatnonzero(test(pairs.iou))
    first, second = pairs.first[hits], pairs.second[hits]
    keep = _decide(count, first, second)
    owner = np.arange(count if owners else 0)
    if owners:
        of_kept = keep[first]
        first, second = first[of_kept], second[of_kept]
        highest_last = np.argsort(-first, kind="stable")
        owner[second[highest_last]] = first[highest_last]
    return keep, owner


def _decide(count: int, first: Indices, second: Indices) -> Chosen:
    """Return which of ``count`` boxes stay, where ``first[i]`` suppresses ``second[i]`` if it stays itself.

    A box stays if none that stays suppresses it; repeated until nothing changes, which gives the greedy answer:
    after round i the first i boxes are decided.
    """
    keep = np.ones(count, bool)
    for _ in range(ROUNDS):
        after = np.ones(count, bool)
        after[second[keep[first]]] = False
        if np.array_equal(after, keep):
            return keep
        keep = after
    stays = [True] * count
    order = np.argsort(first, kind="stable")
    for one, other in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if stays[one]:
            stays[other] = False
    return np.asarray(stays)


def _by_blocks(boxes: Boxes, test: Test, owners: bool) -> tuple[Chosen, Indices]:
    """Blocks by falling score, each against all that are left behind it: what goes is not looked at again."""
    keep = np.zeros(len(boxes), bool)
    owner = np.arange(len(boxes) if owners else 0)
    alive = np.arange(len(boxes))
    while alive.size:
        head, behind = alive[:BLOCK], alive[BLOCK:]
        inner = np.triu(test(boxes.iou(head[:, None], head)), 1)
        stays = _decide(head.size, *np.nonzero(inner))
        chosen = head[stays]
        keep[chosen] = True
        if owners:
            owner[head[~stays]] = chosen[inner[stays][:, ~stays].argmax(0)]
        left = [behind[:0]]
        for start in range(0, behind.size, COLUMNS):
            part = behind[start : start + COLUMNS]
            hits = test(boxes.iou(chosen[:, None], part))
            gone = np.any(hits, axis=0)
            if owners:
                owner[part[gone]] = chosen[hits[:, gone].argmax(0)]
            left.append(part[~gone])
        alive = np.concatenate(left)
    return keep, owner


def _fixed_point(boxes: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the positions kept, of boxes (N, 4) sorted by score, as ``_decide`` does, without leaving the device."""
    boxes = boxes.float()
    x1, y1, x2, y2 = boxes.unbind(1)
    area = (x2 - x1 + offset) * (y2 - y1 + offset)
    count = boxes.size(0)
    threshold = torch.tensor(iou_threshold, dtype=torch.float32, device=boxes.device)
    hits = torch.empty(count, count, dtype=torch.bool, device=boxes.device)
    for begin in range(0, count, ROWS_ON_DEVICE):
        part = slice(begin, begin + ROWS_ON_DEVICE)
        width = (torch.minimum(x2[part, None], x2) - torch.maximum(x1[part, None], x1) + offset).clamp_(min=0)
        height = (torch.minimum(y2[part, None], y2) - torch.maximum(y1[part, None], y1) + offset).clamp_(min=0)
        common = width.mul_(height)
        hits[part] = common / (area[part, None] + area - common) > threshold
    hits.triu_(1)
    keep = torch.ones(count, dtype=torch.bool, device=boxes.device)
    while True:
        after = ~(hits & keep[:, None]).any(0)
        if torch.equal(after, keep):
            return keep.nonzero().squeeze(1)
        keep = after
