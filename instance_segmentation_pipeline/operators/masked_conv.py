"""The two halves of a convolution that is computed at some places of the map only (MMCV's ``MaskedConv2d``)."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["masked_col2im_forward", "masked_im2col_forward"]


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Fill ``col`` (C * kernel_h * kernel_w, M) with the windows of ``im`` (1, C, H, W) at M places, zeros outside."""
    padded = F.pad(im[0], (pad_w, pad_w + kernel_w, pad_h, pad_h + kernel_h))
    y = torch.arange(kernel_h, device=im.device)[:, None, None] + mask_h_idx
    x = torch.arange(kernel_w, device=im.device)[None, :, None] + mask_w_idx
    col.copy_(padded[:, y, x].reshape(col.shape))


def masked_col2im_forward(
    col: Tensor, mask_h_idx: Tensor, mask_w_idx: Tensor, im: Tensor, height: int, width: int, channels: int
) -> None:
    """Write ``col`` (channels, M) to the M places of ``im`` (1, channels, height, width)."""
    im[0][:, mask_h_idx, mask_w_idx] = col.view(channels, -1).to(im.dtype)
