"""Deformable RoI pooling (Dai et al. 2017, arXiv:1703.06211): RoIAlign whose bins are moved by learned offsets."""

from typing import NamedTuple

import torch
from torch import Tensor

from .roi_align import box_sides, linear_samples, samples_of
from .sampling import check_images, pixel_rows, rows_gradient, sum_rows, weights_gradient, working_precision

__all__ = ["deform_roi_pool_backward", "deform_roi_pool_forward"]


class _Entries(NamedTuple):
    """The four corners of every sample over the rows of ``pixel_rows``; ``weight`` carries the offsets' gradient."""

    index: Tensor  # type: ignore[assignment]  # hides tuple.index
    weight: Tensor
    begin: Tensor
    bag: Tensor


def _entries(
    shape: torch.Size, rois: Tensor, offset: Tensor, bins: tuple[int, int], scale: float, ratio: int, gamma: float
) -> _Entries:
    box = box_sides(rois, scale, aligned=True)
    count, cells, device = rois.size(0), bins[0] * bins[1], rois.device
    high, wide = samples_of(box.height, bins[0], ratio), samples_of(box.width, bins[1], ratio)
    roi_of_bag = torch.arange(count, device=device).repeat_interleave(cells)
    cell = torch.arange(cells, device=device).repeat(count)
    step_y, step_x = box.height / bins[0], box.width / bins[1]
    top = box.y[roi_of_bag] + torch.div(cell, bins[1], rounding_mode="floor") * step_y[roi_of_bag]
    left = box.x[roi_of_bag] + cell % bins[1] * step_x[roi_of_bag]
    if offset.numel():
        moved = offset.reshape(count, 2, cells)
        left = left + gamma * box.width[roi_of_bag] * moved[:, 0].reshape(-1)
        top = top + gamma * box.height[roi_of_bag] * moved[:, 1].reshape(-1)
    each = (high * wide)[roi_of_bag]
    begin = each.cumsum(0) - each
    bag = torch.repeat_interleave(each)
    roi = roi_of_bag[bag]
    inner = torch.arange(bag.numel(), device=device) - begin[bag]
    i = torch.div(inner, wide[roi], rounding_mode="floor")
    j = inner - i * wide[roi]
    at_y = top[bag] + (i + 0.5) * step_y[roi] / high[roi]
    at_x = left[bag] + (j + 0.5) * step_x[roi] / wide[roi]
    inside = (at_y >= -1) & (at_y <= shape[2]) & (at_x >= -1) & (at_x <= shape[3])
    y, x = linear_samples(at_y, inside, shape[2]), linear_samples(at_x, inside, shape[3])
    share = inside.to(rois.dtype) / each[bag]
    image = rois[:, 0].long()[roi] * (shape[2] * shape[3])
    index = torch.stack([image + row * shape[3] + column for row in (y.low, y.high) for column in (x.low, x.high)], 1)
    by_row, by_column = (1 - y.fraction, y.fraction), (1 - x.fraction, x.fraction)
    weight = torch.stack([row * column * share for row in by_row for column in by_column], 1)
    return _Entries(index.reshape(-1), weight.reshape(-1), begin * 4, bag.repeat_interleave(4))


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Fill ``output`` (K, C, pooled_height, pooled_width), zeros before, from ``input`` (B, C, H, W).

    Args:
        input: The feature map.
        rois: (K, 5), image, x1, y1, x2, y2 in the image.
        offset: (K, 2, pooled_height, pooled_width), how far each bin moves in x and y, in shares of the RoI divided
            by ``gamma``; empty for none.
        output: What is returned to MMCV.
        pooled_height: Bins of a RoI.
        pooled_width: Bins of a RoI.
        spatial_scale: The size of the map divided by that of the image.
        sampling_ratio: Samples along each side of a bin; 0 takes one for each pixel.
        gamma: What offsets are multiplied by.

    Raises:
        RuntimeError: A RoI is of an image that is not there (on a CPU only).
    """
    if output.numel() == 0:
        return
    check_images(rois, input.size(0))
    feature, bins = working_precision(input), (pooled_height, pooled_width)
    boxes, moved = rois.to(feature.dtype), offset.to(feature.dtype)
    index, weight, begin, _ = _entries(input.shape, boxes, moved, bins, spatial_scale, sampling_ratio, gamma)
    found = sum_rows(pixel_rows(feature), index, weight, begin)
    output.copy_(found.view(rois.size(0), *bins, input.size(1)).permute(0, 3, 1, 2))


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Fill ``grad_input`` and ``grad_offset``; the arguments are those of ``deform_roi_pool_forward``."""
    if grad_output.numel() == 0:
        return
    feature, bins = working_precision(input), (pooled_height, pooled_width)
    batch, channels, height, width = input.shape
    boxes = rois.to(feature.dtype)
    with torch.enable_grad():
        moved = offset.detach().to(feature.dtype).requires_grad_()
        index, weight, begin, bag = _entries(input.shape, boxes, moved, bins, spatial_scale, sampling_ratio, gamma)
    rows = working_precision(grad_output).permute(0, 2, 3, 1).reshape(-1, channels)
    found = rows_gradient(rows, index, weight.detach(), batch * height * width, bag)
    grad_input.copy_(found.view(batch, height, width, channels).permute(0, 3, 1, 2))
    if offset.numel() and weight.numel():
        _, slope = weights_gradient(pixel_rows(feature), index, weight, rows, begin)
        grad_offset.copy_(torch.autograd.grad(weight, moved, slope)[0])
