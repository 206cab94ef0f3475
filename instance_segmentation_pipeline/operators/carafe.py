"""CARAFE (Wang et al. 2019, arXiv:1905.02188): upsampling whose kernels are predicted for each output pixel.

An output pixel is a sum of rows: the window around its source pixel, with its own weights.
"""

import torch
from torch import Tensor

from .sampling import pixel_rows, rows_gradient, sum_rows, weights_gradient, working_precision

__all__ = ["carafe_backward", "carafe_forward", "carafe_naive_backward", "carafe_naive_forward"]


class _Windows:
    """The windows of all output pixels, over rows (pixels * groups) of C / groups channels."""

    def __init__(self, features: Tensor, kernel_size: int, group_size: int, scale_factor: int) -> None:
        self.batch, self.channels, self.height, self.width = features.shape
        self.groups = group_size
        device = features.device
        tap = torch.arange(kernel_size * kernel_size, device=device)
        reach = kernel_size // 2
        self.out_height, self.out_width = self.height * scale_factor, self.width * scale_factor
        row = torch.arange(self.out_height, device=device).view(-1, 1, 1) // scale_factor
        column = torch.arange(self.out_width, device=device).view(1, -1, 1) // scale_factor
        y, x = row + tap // kernel_size - reach, column + tap % kernel_size - reach
        self.valid = (y >= 0) & (y < self.height) & (x >= 0) & (x < self.width)
        place = y.clamp(0, self.height - 1) * self.width + x.clamp(0, self.width - 1)
        image = torch.arange(self.batch, device=device).view(-1, 1, 1, 1, 1) * (self.height * self.width)
        group = torch.arange(group_size, device=device).view(-1, 1)
        self.index = ((image + place[None, :, :, None]) * group_size + group).view(-1, tap.numel())

    def weights(self, masks: Tensor) -> Tensor:
        """(B, groups * k², H', W') -> (bags, k²), 0 where the window leaves the map."""
        by_group = masks.reshape(self.batch, self.groups, -1, self.out_height, self.out_width).permute(0, 3, 4, 1, 2)
        return (by_group * self.valid[None, :, :, None]).reshape(self.index.shape)

    def masks(self, weights: Tensor) -> Tensor:
        """The reverse of ``weights``."""
        by_group = weights.view(self.batch, self.out_height, self.out_width, self.groups, -1)
        kept = (by_group * self.valid[None, :, :, None]).permute(0, 3, 4, 1, 2)
        return kept.reshape(self.batch, -1, self.out_height, self.out_width)

    def rows(self, maps: Tensor) -> Tensor:
        """(B, C, …) -> (pixels * groups, C / groups)."""
        return pixel_rows(maps).view(-1, self.channels // self.groups)

    def maps(self, rows: Tensor, height: int, width: int) -> Tensor:
        """The reverse of ``rows``."""
        return rows.view(self.batch, height, width, self.channels).permute(0, 3, 1, 2)


def carafe_naive_forward(
    features: Tensor, masks: Tensor, output: Tensor, kernel_size: int, group_size: int, scale_factor: int
) -> None:
    """Fill ``output`` (B, C, H * scale_factor, W * scale_factor).

    Args:
        features: (B, C, H, W).
        masks: (B, group_size * kernel_size², H * scale_factor, W * scale_factor), the kernel of each output pixel.
        output: What is returned to MMCV.
        kernel_size: Odd.
        group_size: Groups of channels, each with kernels of its own.
        scale_factor: How much larger the output is.
    """
    source = working_precision(features)
    windows = _Windows(source, kernel_size, group_size, scale_factor)
    bags = sum_rows(windows.rows(source), windows.index, windows.weights(working_precision(masks).to(source.dtype)))
    output.copy_(windows.maps(bags, windows.out_height, windows.out_width))


def carafe_naive_backward(
    top_grad: Tensor,
    features: Tensor,
    masks: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fill ``bottom_grad`` and ``mask_grad``; the arguments are those of ``carafe_naive_forward``."""
    source = working_precision(features)
    windows = _Windows(source, kernel_size, group_size, scale_factor)
    grad = windows.rows(working_precision(top_grad))
    weight, rows = windows.weights(working_precision(masks).to(source.dtype)), windows.rows(source)
    _, slope = weights_gradient(rows, windows.index, weight, grad)
    found = rows_gradient(grad, windows.index, weight, rows.size(0))
    bottom_grad.copy_(windows.maps(found, windows.height, windows.width))
    mask_grad.copy_(windows.masks(slope))


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """As ``carafe_naive_forward``; ``rfeatures`` carries the features to the backward, the other two are unused."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    top_grad: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rtop_grad: Tensor,
    rbottom_grad_hs: Tensor,
    rbottom_grad: Tensor,
    rmask_grad: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """As ``carafe_naive_backward``, with the features that the forward left; the compiled one's room is unused."""
    carafe_naive_backward(top_grad, rfeatures, masks, bottom_grad, mask_grad, kernel_size, group_size, scale_factor)
