"""Soft non-maximum suppression (Bodla et al. 2017, arXiv:1704.03504): scores fall with the overlap.

The operator picks the highest score, lowers those that overlap it, and repeats. Scores only fall, so a box whose score
is the highest among those that it overlaps and that are not picked yet will be picked as it is: all such boxes are
picked together, and a few rounds are enough.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .box_pairs import Boxes, meeting_pairs
from .nms import suppress

__all__ = ["softnms"]

NAIVE, LINEAR, GAUSSIAN = range(3)
"""MMCV's numbers for ``method``."""


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
    """Write boxes with their new scores to ``dets``, in the order they are picked; return their indices, int64.

    Of equal scores the first box is picked; the compiled operator picks that whose memory comes first, which depends
    on what was picked and dropped before.

    Args:
        boxes: (N, 4), x1, y1, x2, y2, on the CPU.
        scores: (N,), 0 or more.
        dets: (N, 5), receives x1, y1, x2, y2, score; rows beyond the answer keep what they have.
        iou_threshold: Overlaps of this or more lower a score; the Gaussian method lowers it for any.
        sigma: The Gaussian's width.
        min_score: A box whose score falls below is dropped, unless it is picked first.
        method: 0 drops boxes that overlap, 1 multiplies by 1 - IoU, 2 by exp(-IoU² / sigma).
        offset: 0, or 1 where x2 and y2 are pixels that belong to the box.
    """
    count = boxes.size(0)
    if count == 0:
        return torch.empty(0, dtype=torch.long)
    order = torch.sort(scores, dim=0, descending=True, stable=True).indices
    initial = scores.detach().float()[order].numpy()
    least = np.float32(min_score)
    with np.errstate(all="ignore"):
        final = _final_scores(Boxes(boxes, offset, order.numpy()), initial, iou_threshold, sigma, method, least)
        picks = np.argsort(-final, kind="stable")
        stays = ~(final[picks] < least)
    stays[0] = True
    picks = picks[stays]
    index = order[torch.from_numpy(picks)]
    dets[: index.numel(), :4] = boxes[index].to(dets.dtype)
    dets[: index.numel(), 4] = torch.from_numpy(final[picks]).to(dets.dtype)
    return index


def _final_scores(
    boxes: Boxes, initial: npt.NDArray[np.float32], iou_threshold: float, sigma: float, method: int, least: np.float32
) -> npt.NDArray[np.float32]:
    """Return what becomes of the scores (N,), which fall, float32; below ``least`` they are only upper bounds."""
    threshold = np.float32(iou_threshold)
    if method == NAIVE:
        keep, _ = suppress(boxes, lambda iou: iou >= threshold, only_meeting=iou_threshold > 0)
        return np.where(keep, initial, 0)
    pairs = meeting_pairs(boxes)
    lowers = np.flatnonzero(pairs.iou > 0 if method == GAUSSIAN else pairs.iou >= threshold)
    first, second, iou = pairs.first.take(lowers), pairs.second.take(lowers), pairs.iou.take(lowers)
    weight = (np.exp(-(iou * iou) / np.float32(sigma)) if method == GAUSSIAN else 1 - iou).astype(np.float64)
    current = initial.astype(np.float64)
    both = first + second
    while first.size:
        one, other = current.take(first), current.take(second)
        loser = np.where(one >= other, second, first)
        waits = np.zeros(current.size, bool)
        waits[loser] = True
        later = waits.take(both - loser)
        now = np.flatnonzero(~later)
        np.multiply.at(current, loser.take(now), weight.take(now))
        later &= np.minimum(one, other) >= least
        rest = np.flatnonzero(later)
        first, second, both = (part.take(rest) for part in (first, second, both))
        weight = weight.take(rest)
    return current.astype(np.float32)
