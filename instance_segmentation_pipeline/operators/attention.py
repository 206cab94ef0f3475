"""Multi-scale deformable attention (Zhu et al. 2020, arXiv:2010.04159): a sum of rows over the tokens of one head."""

import torch
from torch import Tensor

from .sampling import Corners, corners, rows_gradient, sum_rows, weights_gradient, working_precision

__all__ = ["ms_deform_attn_backward", "ms_deform_attn_forward"]


def _corners(value: Tensor, shapes: Tensor, starts: Tensor, locations: Tensor) -> Corners:
    """Return the corners (B, Q, heads, levels, points, 4) of all samples, over the rows (tokens * heads)."""
    batch, tokens, heads, _ = value.shape
    levels = []
    for level, ((height, width), start) in enumerate(zip(shapes.tolist(), starts.tolist(), strict=True)):
        at = locations[:, :, :, level]
        found = corners(at[..., 1] * height - 0.5, at[..., 0] * width - 0.5, height, width)
        levels.append((found.index + start, found.weight, found.by_y * height, found.by_x * width))
    index, weight, by_y, by_x = (torch.stack(parts, 3) for parts in zip(*levels, strict=True))
    image = torch.arange(batch, device=value.device).view(-1, 1, 1, 1, 1, 1) * tokens
    head = torch.arange(heads, device=value.device).view(1, 1, -1, 1, 1, 1)
    return Corners((image + index) * heads + head, weight, by_y, by_x)


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Return what the queries read, (B, Q, heads * C).

    Args:
        value: (B, tokens, heads, C), the levels' pixels one after the other.
        value_spatial_shapes: (levels, 2), height and width of each level.
        value_level_start_index: (levels,), its first token.
        sampling_locations: (B, Q, heads, levels, points, 2), x and y from 0 to 1.
        attention_weights: (B, Q, heads, levels, points).
        im2col_step: Images that the compiled operator handles together; here all are.
    """
    table = working_precision(value)
    at = sampling_locations.to(table.dtype)
    found = _corners(table, value_spatial_shapes, value_level_start_index, at)
    weight = found.weight * attention_weights.to(table.dtype)[..., None]
    batch, queries, heads = found.index.shape[:3]
    bags = batch * queries * heads
    read = sum_rows(table.reshape(-1, table.size(3)), found.index.view(bags, -1), weight.view(bags, -1))
    return read.view(batch, queries, heads * table.size(3)).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Fill the three gradients; the arguments are those of ``ms_deform_attn_forward``."""
    table = working_precision(value)
    at = sampling_locations.to(table.dtype)
    found = _corners(table, value_spatial_shapes, value_level_start_index, at)
    attention = attention_weights.to(table.dtype)[..., None]
    rows = table.reshape(-1, table.size(3))
    bags = found.index.shape[0] * found.index.shape[1] * found.index.shape[2]
    grad = working_precision(grad_output).reshape(bags, -1)
    index, weight = found.index.view(bags, -1), (found.weight * attention).view(bags, -1)
    _, slope = weights_gradient(rows, index, weight, grad)
    slope = slope.view_as(found.weight)
    grad_value.copy_(rows_gradient(grad, index, weight, rows.size(0)).view_as(value))
    grad_attn_weight.copy_((slope * found.weight).sum(-1))
    slope = slope * attention
    grad_sampling_loc.copy_(torch.stack(((slope * found.by_x).sum(-1), (slope * found.by_y).sum(-1)), -1))
