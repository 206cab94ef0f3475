"""RoIAlign (He et al. 2017, arXiv:1703.06870), the mean or the largest of bilinear samples in each bin.

The weight of a pixel in a bin is the product of a row's weight and a column's. Few channels or few RoIs: two matrix
products on the crop, ``Wy · F · Wxᵀ``. Many: one sum of rows over the table of pixels.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .sampling import check_images, pixel_rows, rows_gradient, sum_rows, working_precision

__all__ = ["roi_align_backward", "roi_align_forward"]

MAX, AVERAGE = 0, 1
"""MMCV's numbers for ``pool_mode``."""

MOST_SAMPLES = 1 << 16
"""Samples along one side of a bin; a box of infinite size must end."""

FEW_CHANNELS = 16
PIXELS_FOR_A_ROI = 400
"""Where there are fewer RoIs than one for so many pixels, turning the whole map over costs more than cutting crops."""


class BoxSides(NamedTuple):
    """Boxes in the coordinates of the feature map, each (K,): upper left corner and size."""

    y: Tensor
    x: Tensor
    height: Tensor
    width: Tensor


def box_sides(rois: Tensor, scale: float, aligned: bool) -> BoxSides:
    """Return the boxes of ``rois``, (K, 5) of image, x1, y1, x2, y2, on a map that is ``scale`` of the image.

    ``aligned`` moves them by half a pixel, so that pixel centres are sampled; without it boxes are at least 1 large.
    """
    x1, y1, x2, y2 = (rois[:, 1:] * scale - (0.5 if aligned else 0.0)).unbind(1)
    height, width = y2 - y1, x2 - x1
    return BoxSides(y1, x1, height, width) if aligned else BoxSides(y1, x1, height.clamp(min=1), width.clamp(min=1))


def samples_of(extent: Tensor, bins: int, ratio: int) -> Tensor:
    """Return how many samples each of ``bins`` takes along a side of length ``extent`` (K,), int64."""
    count = (extent / bins).float().ceil() if ratio <= 0 else torch.full_like(extent, ratio)
    return count.nan_to_num(0, 0, 0).clamp(0, MOST_SAMPLES).long()


class LinearSamples(NamedTuple):
    """Positions on one axis, and the two pixels around them; all of one shape."""

    at: Tensor
    inside: Tensor
    low: Tensor
    high: Tensor
    fraction: Tensor
    """The weight of ``high``; ``low`` has the rest."""


def linear_samples(at: Tensor, inside: Tensor, size: int) -> LinearSamples:
    """Return the pixels of 0 … size - 1 around the positions ``at``, those up to a pixel outside moved to the edge."""
    place = torch.where(inside, at, torch.zeros_like(at)).clamp(min=0)
    low = place.long().clamp(max=size - 1)
    fraction = torch.where(low >= size - 1, torch.zeros_like(place), place - low)
    return LinearSamples(at, inside, low, (low + 1).clamp(max=size - 1), fraction)


class _Samples:
    """All samples of all RoIs on one axis, one after the other."""

    def __init__(self, start: Tensor, extent: Tensor, bins: int, size: int, ratio: int) -> None:
        self.count = samples_of(extent, bins, ratio)
        each = self.count * bins
        self.roi = torch.repeat_interleave(each)
        inner = torch.arange(self.roi.numel(), device=start.device) - (each.cumsum(0) - each)[self.roi]
        count = self.count[self.roi]
        self.bin = torch.div(inner, count, rounding_mode="floor")
        step = (extent / bins)[self.roi]
        middle = (inner - self.bin * count).to(start.dtype) + 0.5
        at = start[self.roi] + self.bin.to(start.dtype) * step + middle * step / count.to(start.dtype)
        self.on_axis = linear_samples(at, (at >= -1) & (at <= size), size)


class _Axis:
    """The weights of pixels on one axis: for each RoI a matrix (bins, length) that begins at ``begin`` in ``weight``.

    Its columns are a window of pixels: one for the whole RoI that begins at ``first`` (K,), or one for each bin,
    ``first`` (K, bins).
    """

    def __init__(self, start: Tensor, extent: Tensor, bins: int, size: int, ratio: int, whole: bool) -> None:
        samples = _Samples(start, extent, bins, size, ratio)
        axis = samples.on_axis
        rois = start.numel()
        cell = samples.roi if whole else samples.roi * bins + samples.bin
        cells = rois if whole else rois * bins
        integers: dict[str, Any] = {"dtype": torch.long, "device": start.device}
        first = torch.full((cells,), size, **integers).scatter_reduce_(0, cell, axis.low, "amin")
        last = torch.full((cells,), -1, **integers).scatter_reduce_(0, cell, axis.high, "amax")
        length = (last - first + 1).clamp(min=0)
        self.length = length if whole else length.view(rois, bins).amax(1)
        if not whole:
            first = torch.minimum(first, (size - self.length).repeat_interleave(bins)).clamp(min=0)
        self.first = first if whole else first.view(rois, bins)
        self.each = self.length * bins
        self.begin = self.each.cumsum(0) - self.each
        place = self.begin[samples.roi] + samples.bin * self.length[samples.roi] + axis.low - first[cell]
        share = axis.inside.to(start.dtype) / samples.count[samples.roi].to(start.dtype)
        self.weight = start.new_zeros(int(self.each.sum()))
        self.weight.index_add_(0, place, (1 - axis.fraction) * share)
        self.weight.index_add_(0, place + (axis.high - axis.low), axis.fraction * share)


class _Bags(NamedTuple):
    """Entries over the rows of ``pixel_rows``: bins one after the other, all of a RoI together."""

    index: Tensor  # type: ignore[assignment]  # hides tuple.index
    weight: Tensor
    begin: Tensor
    bag: Tensor


class _Plan:
    """Which pixels the bins of RoIs read, on a map of shape (B, C, H, W)."""

    def __init__(
        self,
        shape: torch.Size,
        rois: Tensor,
        bins: tuple[int, int],
        scale: float,
        ratio: int,
        aligned: bool,
    ) -> None:
        self.shape, self.rois, self.bins = shape, rois, bins
        box = box_sides(rois, scale, aligned)
        if aligned and rois.device.type == "cpu" and bool(((box.width < 0) | (box.height < 0)).any()):
            raise RuntimeError("RoIAlign: a RoI has x2 < x1 or y2 < y1; aligned RoIs cannot have a negative size.")
        few = rois.size(0) * PIXELS_FOR_A_ROI < shape[0] * shape[2] * shape[3]
        self.by_crops = shape[1] < FEW_CHANNELS or (rois.device.type == "cpu" and few)
        self.rows = _Axis(box.y, box.height, bins[0], shape[2], ratio, self.by_crops)
        self.columns = _Axis(box.x, box.width, bins[1], shape[3], ratio, self.by_crops)

    def crops(self) -> Iterator[tuple[int, int, slice, slice, Tensor, Tensor]]:
        """Yield RoI, image, rows, columns, row weights and column weights of every RoI that reads anything."""
        ys, xs = self.rows, self.columns
        row_weights, column_weights = (torch.split(axis.weight, axis.each.tolist()) for axis in (ys, xs))
        windows = torch.stack((self.rois[:, 0].long(), ys.first, ys.length, xs.first, xs.length), 1).tolist()
        for k, (image, y, height, x, width) in enumerate(windows):
            if height and width:
                by_row, by_column = row_weights[k].view(-1, height), column_weights[k].view(-1, width)
                yield k, image, slice(y, y + height), slice(x, x + width), by_row, by_column

    def bags(self) -> _Bags:
        """Return the pixels and weights of all bins."""
        ys, xs, (height, width) = self.rows, self.columns, self.bins
        rois, device = self.rois.size(0), self.rois.device
        roi = torch.arange(rois, device=device).repeat_interleave(height * width)
        cell = torch.arange(height * width, device=device).repeat(rois)
        p = torch.div(cell, width, rounding_mode="floor")
        q = cell - p * width
        each = (ys.length * xs.length)[roi]
        begin = each.cumsum(0) - each
        bag = torch.repeat_interleave(each)
        inner = torch.arange(bag.numel(), device=device) - begin[bag]
        window = xs.length[roi]
        image = self.rois[:, 0].long()[roi] * (self.shape[2] * self.shape[3])
        corner = image + ys.first[roi, p] * self.shape[3] + xs.first[roi, q]
        row, column = ys.begin[roi] + p * ys.length[roi], xs.begin[roi] + q * window
        y = torch.div(inner, window[bag], rounding_mode="floor")
        x = inner - y * window[bag]
        weight = ys.weight[row[bag] + y] * xs.weight[column[bag] + x]
        return _Bags(corner[bag] + y * self.shape[3] + x, weight, begin, bag)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Many small products: where cores are busy, each would wait for the second thread to be scheduled."""
    threads = torch.get_num_threads()
    if threads > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if threads > 1:
            torch.set_num_threads(threads)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``output`` (K, C, aligned_height, aligned_width), zeros before, from ``input`` (B, C, H, W).

    Args:
        input: The feature map.
        rois: (K, 5), image, x1, y1, x2, y2 in the image.
        output: What is returned to MMCV.
        argmax_y: As ``output``; receives where each largest sample lies when ``pool_mode`` is 0 (max), else unused.
        argmax_x: The same.
        aligned_height: Bins of a RoI.
        aligned_width: Bins of a RoI.
        spatial_scale: The size of the map divided by that of the image.
        sampling_ratio: Samples along each side of a bin; 0 takes one for each pixel.
        pool_mode: 0 the largest sample, 1 their mean.
        aligned: Whether boxes are moved by half a pixel.

    Raises:
        RuntimeError: A RoI is of an image that is not there; or ``aligned``, and one ends before it begins (on a CPU
            only).
    """
    if output.numel() == 0:
        return
    check_images(rois, input.size(0))
    feature = working_precision(input)
    boxes, bins = working_precision(rois).to(feature.dtype), (aligned_height, aligned_width)
    if pool_mode == MAX:
        _largest(feature, boxes, output, (argmax_y, argmax_x), bins, spatial_scale, sampling_ratio, aligned)
        return
    plan = _Plan(input.shape, boxes, bins, spatial_scale, sampling_ratio, aligned)
    if plan.by_crops:
        with _one_thread():
            for k, image, ys, xs, by_row, by_column in plan.crops():
                output[k] = by_row @ (feature[image, :, ys, xs] @ by_column.t())
        return
    bags = plan.bags()
    found = sum_rows(pixel_rows(feature), bags.index, bags.weight, bags.begin)
    output.copy_(found.view(rois.size(0), *bins, input.size(1)).permute(0, 3, 1, 2))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``grad_input`` (B, C, H, W), zeros before; the arguments are those of ``roi_align_forward``."""
    if grad_output.numel() == 0:
        return
    grad = working_precision(grad_output)
    boxes, bins = working_precision(rois).to(grad.dtype), (aligned_height, aligned_width)
    if pool_mode == MAX:
        _largest_backward(grad, boxes, argmax_y, argmax_x, grad_input)
        return
    batch, channels, height, width = grad_input.shape
    plan = _Plan(grad_input.shape, boxes, bins, spatial_scale, sampling_ratio, aligned)
    if plan.by_crops:
        with _one_thread():
            for k, image, ys, xs, by_row, by_column in plan.crops():
                grad_input[image, :, ys, xs] += by_row.t() @ (grad[k] @ by_column)
        return
    bags = plan.bags()
    rows = grad.permute(0, 2, 3, 1).reshape(-1, channels)
    found = rows_gradient(rows, bags.index, bags.weight, batch * height * width, bags.bag)
    grad_input.copy_(found.view(batch, height, width, channels).permute(0, 3, 1, 2))


def _largest(
    feature: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: tuple[Tensor, Tensor],
    bins: tuple[int, int],
    scale: float,
    ratio: int,
    aligned: bool,
) -> None:
    """The largest sample of each bin: the samples themselves are needed, not the weights of pixels."""
    box = box_sides(rois, scale, aligned)
    rows = _Samples(box.y, box.height, bins[0], feature.size(2), ratio)
    columns = _Samples(box.x, box.width, bins[1], feature.size(3), ratio)
    row_counts, column_counts = (rows.count * bins[0]).tolist(), (columns.count * bins[1]).tolist()
    by_roi_y, by_roi_x = _by_roi(rows.on_axis, row_counts), _by_roi(columns.on_axis, column_counts)
    for k, image in enumerate(rois[:, 0].long().tolist()):
        if not row_counts[k] or not column_counts[k]:
            output[k], argmax[0][k], argmax[1][k] = -10000, -1, -1
            continue
        y, x = by_roi_y[k], by_roi_x[k]
        source = feature[image]
        down = y.fraction[:, None]
        lines = (source[:, y.low] * (1 - down) + source[:, y.high] * down) * y.inside.to(feature.dtype)[:, None]
        values = lines[:, :, x.low] * (1 - x.fraction) + lines[:, :, x.high] * x.fraction
        values = values * x.inside.to(feature.dtype)
        high, wide = row_counts[k] // bins[0], column_counts[k] // bins[1]
        cells = values.view(-1, bins[0], high, bins[1], wide).permute(0, 1, 3, 2, 4).flatten(3)
        best, which = cells.max(-1)
        at_y = y.at.view(1, bins[0], 1, high).expand(which.size(0), -1, bins[1], -1)
        at_x = x.at.view(1, 1, bins[1], wide).expand(which.size(0), bins[0], -1, -1)
        output[k] = best
        argmax[0][k] = at_y.gather(3, torch.div(which, wide, rounding_mode="floor")[..., None])[..., 0]
        argmax[1][k] = at_x.gather(3, (which % wide)[..., None])[..., 0]


def _by_roi(samples: LinearSamples, counts: list[int]) -> list[LinearSamples]:
    return [LinearSamples(*part) for part in zip(*(torch.split(t, counts) for t in samples), strict=True)]


def _largest_backward(grad: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_input: Tensor) -> None:
    _, channels, height, width = grad_input.shape
    at_y, at_x = argmax_y.to(grad.dtype), argmax_x.to(grad.dtype)
    inside = (at_y >= -1) & (at_y <= height) & (at_x >= -1) & (at_x <= width) & (at_y != -1)
    y, x = linear_samples(at_y, inside, height), linear_samples(at_x, inside, width)
    plane = (rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=grad.device))[..., None, None]
    found = grad.new_zeros(grad_input.numel())
    for row, by_row in ((y.low, 1 - y.fraction), (y.high, y.fraction)):
        for column, by_column in ((x.low, 1 - x.fraction), (x.high, x.fraction)):
            place = (plane * height + row) * width + column
            found.index_add_(0, place.reshape(-1), (grad * by_row * by_column * inside).reshape(-1))
    grad_input.copy_(found.view_as(grad_input))
