"""Deformable convolution (Dai et al. 2017, arXiv:1703.06211), and modulated (Zhu et al. 2018, arXiv:1811.11168).

Image by image: the columns of the convolution are one sum of rows over the table of pixels, then a matrix product.
``offset`` has the channels (deformable group, kernel position, y or x), ``mask`` (deformable group, kernel position).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .sampling import Corners, corners, pixel_rows, rows_gradient, sum_rows, weights_gradient, working_precision

__all__ = [
    "deform_conv_backward_input",
    "deform_conv_backward_parameters",
    "deform_conv_forward",
    "modulated_deform_conv_backward",
    "modulated_deform_conv_forward",
]

Pair = tuple[int, int]
"""(vertical, horizontal)"""


class _Gradients(NamedTuple):
    """Those that were not asked for are None."""

    input: Any
    offset: Any
    mask: Any
    weight: Any


class _Convolution:
    """A deformable convolution of an input of a given shape: where it samples, and how columns are laid out."""

    def __init__(
        self,
        shape: torch.Size,
        weight: Tensor,
        kernel: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
        deform_groups: int,
    ) -> None:
        self.channels, self.height, self.width = shape[1:]
        self.kernel, self.groups, self.deform_groups = kernel, groups, deform_groups
        self.taps = kernel[0] * kernel[1]
        if tuple(weight.shape[2:]) != kernel or self.channels != weight.size(1) * groups:
            raise RuntimeError(
                f"deformable convolution: an input of shape {tuple(shape)} and a weight of shape "
                f"{tuple(weight.shape)} do not fit together with {groups} groups."
            )
        self.out_height, self.out_width = (
            (size + 2 * pad - (spread * (taps - 1) + 1)) // step + 1
            for size, pad, spread, taps, step in zip(shape[2:], padding, dilation, kernel, stride, strict=True)
        )
        integers: dict[str, Any] = {"device": weight.device, "dtype": torch.long}
        tap = torch.arange(self.taps, **integers)
        place = torch.arange(self.out_height * self.out_width, **integers)
        start_y, start_x = (place // self.out_width) * stride[0] - padding[0], place % self.out_width * stride[1]
        self.base_y = start_y[:, None, None] + (tap // kernel[1] * dilation[0])[None, :, None]
        self.base_x = (start_x - padding[1])[:, None, None] + (tap % kernel[1] * dilation[1])[None, :, None]
        self.part = torch.arange(deform_groups, **integers)[None, None, :, None]

    def sample(self, offset: Tensor) -> Corners:
        """Return the corners (places, taps, deformable groups, 4) of one image's offsets, over ``table``'s rows."""
        moved = offset.reshape(self.deform_groups, self.taps, 2, -1).permute(2, 3, 1, 0)
        found = corners(self.base_y + moved[0], self.base_x + moved[1], self.height, self.width)
        return found._replace(index=found.index * self.deform_groups + self.part)

    def table(self, image: Tensor) -> Tensor:
        """(C, H, W) -> (H * W * deformable groups, C / deformable groups)."""
        return pixel_rows(image[None]).view(-1, self.channels // self.deform_groups)

    def image(self, table: Tensor) -> Tensor:
        """The reverse of ``table``."""
        return table.view(self.height, self.width, -1).permute(2, 0, 1)

    def modulation(self, mask: Tensor) -> Tensor:
        """One image's mask -> (places, taps, deformable groups)."""
        return mask.reshape(self.deform_groups, self.taps, -1).permute(2, 1, 0)

    def columns(self, bags: Tensor) -> Tensor:
        """(bags, C / deformable groups) -> (groups, places, taps * C / groups)."""
        flat = bags.reshape(-1, self.taps, self.groups, self.channels // self.groups)
        return flat.permute(2, 0, 1, 3).reshape(self.groups, flat.size(0), -1)

    def bags(self, columns: Tensor) -> Tensor:
        """The reverse of ``columns``."""
        wide = columns.reshape(self.groups, columns.size(1), self.taps, self.channels // self.groups)
        return wide.permute(1, 2, 0, 3).reshape(-1, self.channels // self.deform_groups)

    def matrix(self, weight: Tensor) -> Tensor:
        """(O, C / groups, kernel) -> (groups, O / groups, taps * C / groups)."""
        each = weight.size(0) // self.groups
        return weight.reshape(self.groups, each, -1, self.taps).transpose(2, 3).reshape(self.groups, each, -1)

    def weight(self, matrix: Tensor) -> Tensor:
        """The reverse of ``matrix``."""
        each = self.channels // self.groups
        return matrix.view(self.groups, -1, self.taps, each).transpose(2, 3).reshape(-1, each, *self.kernel)

    def forward(
        self,
        input: Tensor,
        offset: Tensor,
        mask: "Tensor | None",
        weight: Tensor,
        bias: "Tensor | None",
        output: Tensor,
    ) -> None:
        """Fill ``output`` (B, O, out_height, out_width).

        Raises:
            RuntimeError: ``offset`` or ``mask`` has another shape than this convolution needs.
        """
        self._check("offset", offset, input.size(0), 2)
        if mask is not None:
            self._check("mask", mask, input.size(0), 1)
        matrix = self.matrix(weight)
        for b in range(input.size(0)):
            found = self.sample(offset[b])
            share = found.weight if mask is None else found.weight * self.modulation(mask[b])[..., None]
            bags = sum_rows(self.table(input[b]), found.index.view(-1, 4), share.view(-1, 4))
            product = torch.bmm(matrix, self.columns(bags).transpose(1, 2)).view(output.shape[1:])
            output[b] = product if bias is None else product + bias[:, None, None]

    def _check(self, name: str, given: Tensor, batch: int, per_tap: int) -> None:
        channels = self.deform_groups * self.taps * per_tap
        expected = (batch, channels, self.out_height, self.out_width)
        if tuple(given.shape) != expected:
            raise RuntimeError(
                f"deformable convolution: {name} has shape {tuple(given.shape)}, expected {expected}, with "
                f"{self.deform_groups} deformable groups and a kernel of {self.kernel[0]} x {self.kernel[1]}."
            )

    def backward(
        self,
        input: Tensor,
        offset: Tensor,
        mask: "Tensor | None",
        weight: Tensor,
        grad_output: Tensor,
        of_input: bool,
        of_weight: bool,
    ) -> _Gradients:
        """Return the gradients of input, offset and mask, or that of the weight, or all."""
        matrix = self.matrix(weight)
        grad_input = torch.zeros_like(input) if of_input else None
        grad_offset = torch.zeros_like(offset) if of_input else None
        grad_mask = torch.zeros_like(mask) if of_input and mask is not None else None
        grad_matrix = torch.zeros_like(matrix) if of_weight else None
        for b in range(input.size(0)):
            found = self.sample(offset[b])
            modulation = None if mask is None else self.modulation(mask[b])
            share = found.weight if modulation is None else found.weight * modulation[..., None]
            table, index, flat = self.table(input[b]), found.index.view(-1, 4), share.view(-1, 4)
            grad = grad_output[b].reshape(self.groups, -1, self.out_height * self.out_width)
            if grad_input is not None and grad_offset is not None:
                grad_bags = self.bags(torch.bmm(grad.transpose(1, 2), matrix))
                bags, slope = weights_gradient(table, index, flat, grad_bags)
                grad_input[b] = self.image(rows_gradient(grad_bags, index, flat, table.size(0)))
                slope = slope.view_as(share)
                by_y, by_x = (slope * found.by_y).sum(-1), (slope * found.by_x).sum(-1)
                if modulation is not None and grad_mask is not None:
                    grad_mask[b] = (slope * found.weight).sum(-1).permute(2, 1, 0).reshape(grad_mask.shape[1:])
                    by_y, by_x = by_y * modulation, by_x * modulation
                grad_offset[b] = torch.stack((by_y, by_x)).permute(3, 2, 0, 1).reshape(offset.shape[1:])
            else:
                bags = sum_rows(table, index, flat)
            if grad_matrix is not None:
                grad_matrix += torch.bmm(grad, self.columns(bags))
        return _Gradients(grad_input, grad_offset, grad_mask, None if grad_matrix is None else self.weight(grad_matrix))


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Fill ``output`` (B, O, out_height, out_width).

    Args:
        input: (B, C, H, W).
        weight: (O, C / group, kH, kW).
        offset: (B, deformable_group * kH * kW * 2, out_height, out_width), pixels; y before x.
        output: What is returned to MMCV.
        columns: Room for the compiled operator's columns, unused.
        ones: The same.
        kW: The kernel's width; kH its height.
        kH: See ``kW``.
        dW: The stride; dH the vertical one.
        dH: See ``dW``.
        padW: Zeros added on the left and right; padH above and below.
        padH: See ``padW``.
        dilationW: Pixels between kernel positions; dilationH vertically.
        dilationH: See ``dilationW``.
        group: Groups of the convolution.
        deformable_group: Groups of channels that share offsets.
        im2col_step: Images that the compiled operator handles together; here it is always one.
    """
    convolution = _Convolution(
        input.shape, weight, (kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group
    )
    x, moved, matrix = (working_precision(t) for t in (input, offset, weight))
    convolution.forward(x, moved, None, matrix, None, output)


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Fill ``gradInput`` and ``gradOffset``; the arguments are those of ``deform_conv_forward``."""
    convolution = _Convolution(
        input.shape, weight, (kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group
    )
    x, moved, kernel, grad = (working_precision(t) for t in (input, offset, weight, gradOutput))
    found = convolution.backward(x, moved, None, kernel, grad, of_input=True, of_weight=False)
    gradInput.copy_(found.input)
    gradOffset.copy_(found.offset)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add ``scale`` times the weight's gradient to ``gradWeight``; the arguments are those of the forward."""
    convolution = _Convolution(
        input.shape, gradWeight, (kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group
    )
    x, moved, kernel, grad = (working_precision(t) for t in (input, offset, gradWeight, gradOutput))
    found = convolution.backward(x, moved, None, kernel, grad, of_input=False, of_weight=True)
    gradWeight.add_(found.weight.to(gradWeight.dtype), alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Fill ``output`` (B, O, out_height, out_width).

    As ``deform_conv_forward``; each sample is multiplied by its value of ``mask`` (B, deformable_group * kernel_h *
    kernel_w, out_height, out_width), and ``bias`` (O,) is added if ``with_bias``.
    """
    kernel, stride, padding = (kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w)
    convolution = _Convolution(
        input.shape, weight, kernel, stride, padding, (dilation_h, dilation_w), group, deformable_group
    )
    x, moved, shares, matrix = (working_precision(t) for t in (input, offset, mask, weight))
    convolution.forward(x, moved, shares, matrix, working_precision(bias) if with_bias else None, output)


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Fill the five gradients; the arguments are those of ``modulated_deform_conv_forward``."""
    kernel, stride, padding = (kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w)
    convolution = _Convolution(
        input.shape, weight, kernel, stride, padding, (dilation_h, dilation_w), group, deformable_group
    )
    x, moved, shares, matrix, grad = (working_precision(t) for t in (input, offset, mask, weight, grad_output))
    found = convolution.backward(x, moved, shares, matrix, grad, of_input=True, of_weight=True)
    for buffer, value in zip((grad_input, grad_offset, grad_mask, grad_weight), found, strict=True):
        buffer.copy_(value)
    if with_bias:
        grad_bias.copy_(grad.sum((0, 2, 3)))
