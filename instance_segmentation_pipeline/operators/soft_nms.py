"""Soft non-maximum suppression (Bodla et al. 2017, arXiv:1704.04503): scores fall with the overlap."""

import numpy as np
import torch
from torch import Tensor

__all__ = ["softnms"]

NAIVE, LINEAR, GAUSSIAN = range(3)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Write boxes with their new scores to ``dets``, in the order they are chosen; return their indices, int64.

    Args:
        boxes: (N, 4), x1, y1, x2, y2, on the CPU.
        scores: (N,).
        dets: (N, 5), receives x1, y1, x2, y2, score; rows beyond the answer keep what they have.
        iou_threshold: Overlaps of this or more lower a score; the Gaussian method lowers it for any.
        sigma: The Gaussian's width.
        min_score: A box whose score falls below is dropped.
        method: 0 drops boxes that overlap, 1 multiplies by 1 - IoU, 2 by exp(-IoU² / sigma).
        offset: 0, or 1 where x2 and y2 are pixels that belong to the box.
    """
    if boxes.numel() == 0:
        return torch.empty(0, dtype=torch.long)
    count = boxes.size(0)
    data = np.empty((count, 6), np.float32)
    data[:, :4] = boxes.detach().numpy()
    data[:, 4] = scores.detach().numpy()
    one = np.float32(offset)
    data[:, 5] = (data[:, 2] - data[:, 0] + one) * (data[:, 3] - data[:, 1] + one)
    names = np.arange(count)
    threshold, sigma32, least = np.float32(iou_threshold), np.float32(sigma), np.float32(min_score)
    out = np.empty((count, 5), np.float32)
    i, n = 0, count
    with np.errstate(all="ignore"):
        while i < n:
            top = i + int(np.argmax(data[i:n, 4]))
            if top != i:
                data[[i, top]] = data[[top, i]]
                names[[i, top]] = names[[top, i]]
            best = data[i]
            out[i] = best[:5]
            rest = data[i + 1 : n]
            w = np.maximum(0, np.minimum(best[2], rest[:, 2]) - np.maximum(best[0], rest[:, 0]) + one)
            h = np.maximum(0, np.minimum(best[3], rest[:, 3]) - np.maximum(best[1], rest[:, 1]) + one)
            inter = w * h
            overlap = inter / (best[5] + rest[:, 5] - inter)
            if method == GAUSSIAN:
                rest[:, 4] *= np.exp(-(overlap * overlap) / sigma32)
            elif method in (NAIVE, LINEAR):
                hit = overlap >= threshold
                rest[hit, 4] *= 0 if method == NAIVE else 1 - overlap[hit]
            lost = rest[:, 4] < least
            if lost.any():  # holes are filled with the last ones that stay, in this order
                stay = rest.shape[0] - int(lost.sum())
                holes = np.flatnonzero(lost[:stay])
                movers = stay + np.flatnonzero(~lost[stay:])[::-1]
                rest[holes] = rest[movers]
                tail = names[i + 1 : n]
                tail[holes] = tail[movers]
                n = i + 1 + stay
            i += 1
    dets[:n] = torch.from_numpy(out[:n])
    return torch.from_numpy(names[:n].copy())
