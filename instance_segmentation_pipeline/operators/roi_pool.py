"""RoI pooling (Girshick 2015, arXiv:1504.08083): the largest pixel of each bin."""

import torch
from torch import Tensor

from .sampling import check_images

__all__ = ["roi_pool_backward", "roi_pool_forward"]


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill ``output`` (K, C, pooled_height, pooled_width), zeros before, from ``input`` (B, C, H, W).

    Args:
        input: The feature map.
        rois: (K, 5), image, x1, y1, x2, y2 in the image; the pixels x2, y2 belong to the RoI.
        output: What is returned to MMCV; a bin without a pixel stays 0.
        argmax: As ``output``, int32; receives the place y * W + x of each largest pixel, -1 where there is none.
        pooled_height: Bins of a RoI.
        pooled_width: Bins of a RoI.
        spatial_scale: The size of the map divided by that of the image.

    Raises:
        RuntimeError: A RoI is of an image that is not there (on a CPU only).
    """
    check_images(rois, input.size(0))
    height, width = input.shape[2:]
    argmax.fill_(-1)
    box = torch.cat((rois[:, 1:3], rois[:, 3:] + 1), 1) * spatial_scale
    has_area = ((box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])).tolist()
    tops, bottoms = _edges(box[:, 1], box[:, 3], pooled_height, height)
    lefts, rights = _edges(box[:, 0], box[:, 2], pooled_width, width)
    for k, image in enumerate(rois[:, 0].long().tolist()):
        if not has_area[k]:
            continue
        for q, (left, right) in enumerate(zip(lefts[k], rights[k], strict=True)):
            if right <= left:
                continue
            by_row, column = input[image, :, :, left:right].max(2)
            for p, (top, bottom) in enumerate(zip(tops[k], bottoms[k], strict=True)):
                if bottom <= top:
                    continue
                value, row = by_row[:, top:bottom].max(1)
                row = row + top
                output[k, :, p, q] = value
                place = row * width + left + column.gather(1, row[:, None])[:, 0]
                argmax[k, :, p, q] = place.to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add the gradient of each bin to its largest pixel in ``grad_input`` (B, C, H, W)."""
    _, channels, height, width = grad_input.shape
    plane = (rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device))[..., None, None]
    place = plane * (height * width) + argmax.clamp(min=0).long()
    grad_input.view(-1).index_add_(0, place.reshape(-1), (grad_output * (argmax >= 0)).reshape(-1))


def _edges(start: Tensor, end: Tensor, bins: int, size: int) -> tuple[list[list[int]], list[list[int]]]:
    """Return the first pixel of each bin and the one behind its last, (K, bins) each."""
    step = (end - start)[:, None] / bins
    i = torch.arange(bins, device=start.device)
    first, behind = (i * step + start[:, None]).floor(), ((i + 1) * step + start[:, None]).ceil()
    return first.clamp(0, size).long().tolist(), behind.clamp(0, size).long().tolist()
