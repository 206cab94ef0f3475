"""Weighted sums of rows: the one primitive under RoIAlign, deformable convolution and attention, and CARAFE.

A feature map is a table with a row of channels for each pixel. Whatever is read from it between the pixels is a
*bag*: some rows, each with a weight, summed. ``embedding_bag`` does that several times faster than ``grid_sample``,
whose normalized coordinates also round positions that lie on pixels.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Corners(NamedTuple):
    """The four pixels around each position, as (top left, top right, bottom left, bottom right) in the last axis."""

    index: Tensor  # type: ignore[assignment]  # hides tuple.index
    """(..., 4) int64, the pixel's place in the map, row by row."""
    weight: Tensor
    """(..., 4), its bilinear weight, 0 for a pixel outside."""
    by_y: Tensor
    """(..., 4), the weight's derivative in y."""
    by_x: Tensor
    """(..., 4), the weight's derivative in x."""


def working_precision(tensor: Tensor) -> Tensor:
    """Return half precision as single: sums of many products are not made in half."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def check_images(rois: Tensor, images: int) -> None:
    """Refuse RoIs (K, 5) of an image that is not in the batch; on a CPU only, where nothing has to wait for it.

    Raises:
        RuntimeError: It says which.
    """
    if rois.device.type == "cpu" and rois.size(0):
        image = rois[:, 0]
        wrong = torch.nonzero(~((image >= 0) & (image < images)))
        if wrong.numel():
            row = int(wrong[0])
            raise RuntimeError(f"RoI {row} is of image {float(image[row]):g}, expected 0 to {images - 1}.")


def pixel_rows(feature: Tensor) -> Tensor:
    """(B, C, H, W) -> (B * H * W, C): one row for each pixel."""
    return feature.permute(0, 2, 3, 1).contiguous().view(-1, feature.size(1))


def sum_rows(rows: Tensor, index: Tensor, weight: Tensor, begin: "Tensor | None" = None) -> Tensor:
    """Return the bags ``sum(weight[i] * rows[index[i]])``.

    Args:
        rows: (R, C).
        index: (N, k) int64, a bag in each row; or (E,) entries of bags one after the other, with ``begin``.
        weight: As ``index``, of the dtype of ``rows``.
        begin: (N,) int64, where each bag begins in ``index``.

    Returns:
        (N, C).
    """
    if begin is None and index.size(0) == 0:
        return rows.new_zeros(0, rows.size(1))
    return F.embedding_bag(index, rows, begin, mode="sum", per_sample_weights=weight)


def rows_gradient(grad: Tensor, index: Tensor, weight: Tensor, count: int, bag: "Tensor | None" = None) -> Tensor:
    """Return the gradient of ``sum_rows`` in ``rows``, (count, C): a sum over the entries of each row, in their order.

    Args:
        grad: (N, C), the gradient of the bags.
        index: (N, k) or (E,), as it was given to ``sum_rows``.
        weight: As ``index``.
        count: How many rows there are.
        bag: (E,) int64, the bag of each entry, where ``index`` is flat.
    """
    flat = index.reshape(-1)
    order = torch.sort(flat, stable=True).indices
    begin = torch.zeros(count, dtype=torch.long, device=grad.device)
    begin[1:] = torch.bincount(flat, minlength=count).cumsum(0)[:-1]
    source = torch.div(order, index.size(1), rounding_mode="floor") if bag is None else bag[order]
    return F.embedding_bag(source, grad, begin, mode="sum", per_sample_weights=weight.reshape(-1)[order])


def weights_gradient(
    rows: Tensor, index: Tensor, weight: Tensor, grad: Tensor, begin: "Tensor | None" = None
) -> tuple[Tensor, Tensor]:
    """Return the bags of ``sum_rows``, (N, C), and the gradient of its weights, shaped as ``weight``."""
    with torch.enable_grad():
        free = weight.detach().requires_grad_()
        bags = sum_rows(rows.detach(), index, free, begin)
        (slope,) = torch.autograd.grad(bags, free, grad)
    return bags.detach(), slope


def corners(y: Tensor, x: Tensor, height: int, width: int) -> Corners:
    """Return the pixels around positions ``y``, ``x`` (any shape); a map is zero outside, and at NaN."""
    inside = (y > -1) & (x > -1) & (y < height) & (x < width)
    top, left = y.floor(), x.floor()
    down, right = y - top, x - left
    up, back = 1 - down, 1 - right
    y0 = top.nan_to_num(-2, -2, -2).clamp(-2, height + 1).long()
    x0 = left.nan_to_num(-2, -2, -2).clamp(-2, width + 1).long()
    above, below = inside & (y0 >= 0), inside & (y0 + 1 < height)
    before, after = x0 >= 0, x0 + 1 < width
    valid = torch.stack((above & before, above & after, below & before, below & after), -1)
    row0, row1 = y0.clamp(0, height - 1) * width, (y0 + 1).clamp(0, height - 1) * width
    column0, column1 = x0.clamp(0, width - 1), (x0 + 1).clamp(0, width - 1)
    zero = y.new_zeros(())
    return Corners(
        torch.stack((row0 + column0, row0 + column1, row1 + column0, row1 + column1), -1),
        torch.where(valid, torch.stack((up * back, up * right, down * back, down * right), -1), zero),
        torch.where(valid, torch.stack((-back, -right, back, right), -1), zero),
        torch.where(valid, torch.stack((-up, up, -down, down), -1), zero),
    )
