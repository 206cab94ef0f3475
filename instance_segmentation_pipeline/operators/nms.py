"""Greedy non-maximum suppression: blocks of NumPy on a CPU, a fixed point on an accelerator.

Which boxes stay, and their order, are those of the compiled operator: boxes fall by score, equal scores keep the
order that ``torch.sort`` gives them, and overlaps are computed in single precision.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

__all__ = ["nms", "nms_match"]

BLOCK = 128
"""Boxes whose overlaps are computed together: a matrix of them and of all that follow stays in the cache."""

ROWS_ON_DEVICE = 1024
"""The same on an accelerator, where it only bounds the memory of temporaries."""


class SortedBoxes:
    """Coordinates and areas of boxes in single precision, one array each; NumPy, which starts no threads."""

    def __init__(self, boxes: Tensor, offset: int, order: np.ndarray) -> None:
        data = np.ascontiguousarray(boxes.detach().float().cpu().numpy()[order].T)
        self.x1, self.y1, self.x2, self.y2 = data[:4]
        self.offset = np.float32(offset)
        self.area = (self.x2 - self.x1 + self.offset) * (self.y2 - self.y1 + self.offset)

    def iou(self, some: "np.ndarray | slice", others: "np.ndarray | slice") -> np.ndarray:
        """Return the overlaps (some, others) in single precision; NaN where both have no area."""
        width = np.minimum(self.x2[some, None], self.x2[others])
        width -= np.maximum(self.x1[some, None], self.x1[others])
        height = np.minimum(self.y2[some, None], self.y2[others])
        height -= np.maximum(self.y1[some, None], self.y1[others])
        if self.offset:
            width += self.offset
            height += self.offset
        np.maximum(width, 0, out=width)
        np.maximum(height, 0, out=height)
        width *= height
        np.add(self.area[some, None], self.area[others], out=height)
        height -= width
        return np.divide(width, height, out=width)


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
    sorted_order = order.numpy()
    kept = _greedy(SortedBoxes(boxes, offset, sorted_order), lambda iou: iou > threshold)
    return torch.from_numpy(sorted_order[kept])


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Return a list for each box that stays: its index, then those of the boxes that it suppresses, by score.

    Args:
        dets: (N, 5), x1, y1, x2, y2, score.
        iou_threshold: A box goes when it overlaps one of a higher score by this or more.
    """
    order = dets[:, 4].sort(0, descending=True).indices.cpu().numpy()
    threshold = np.float32(iou_threshold)
    groups: list[np.ndarray] = []
    _greedy(SortedBoxes(dets, 0, order), lambda iou: iou >= threshold, groups)
    return [order[group].tolist() for group in groups]


def _greedy(
    boxes: SortedBoxes,
    suppresses: Callable[[np.ndarray], np.ndarray],
    groups: "list[np.ndarray] | None" = None,
) -> np.ndarray:
    """Return the positions kept, of boxes sorted by score; ``groups`` receives what each of them suppresses."""
    alive = np.arange(boxes.x1.size)
    kept = []
    with np.errstate(all="ignore"):
        while alive.size:
            head = alive[:BLOCK]
            hits = suppresses(boxes.iou(head, alive))
            chosen, dead = _block(head, alive, hits, groups)
            kept.append(head[chosen])
            alive = alive[head.size :][~dead]
    return np.concatenate(kept) if kept else np.empty(0, np.int64)


def _block(
    head: np.ndarray, alive: np.ndarray, hits: np.ndarray, groups: "list[np.ndarray] | None"
) -> tuple[np.ndarray, np.ndarray]:
    """Decide on the boxes of ``head``: which of them stay, and which of those behind them are suppressed."""
    size = head.size
    inner = hits[:, :size]
    if groups is None and not np.triu(inner, 1).any():
        return np.arange(size), np.any(hits[:, size:], axis=0)
    chosen = []
    dead = np.zeros(alive.size if groups is not None else size, bool)
    for i in range(size):
        if dead[i]:
            continue
        chosen.append(i)
        if groups is None:
            dead |= inner[i]
            continue
        fresh = hits[i] & ~dead
        fresh[: i + 1] = False
        groups.append(np.concatenate((head[i : i + 1], alive[fresh])))
        dead |= fresh
    behind = np.any(hits[chosen, size:], axis=0) if groups is None else dead[size:]
    return np.asarray(chosen), behind


def _fixed_point(boxes: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the positions kept, of boxes (N, 4) sorted by score, without a loop over boxes.

    A box stays if none that stays and has a higher score suppresses it; repeated until nothing changes, which gives
    the greedy answer: after round i the first i boxes are decided.
    """
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
