"""Parts of MMDetection that compute the same in less time: RTMDet-Ins's masks, and centres of true masks."""

from typing import Any, TypeVar

import torch
from torch.nn import functional

from .mmdet_compat import RTMDetInsHead, dynamic_soft_label_assigner

Model = TypeVar("Model", bound=torch.nn.Module)


def make_faster(model: Model) -> Model:
    """Return a built model, its RTMDet-Ins head predicting masks by ``predicted_masks``.

    MMDetection's assigner takes centres of masks by ``center_of_mass`` from then on, in the whole process.
    """
    dynamic_soft_label_assigner.center_of_mass = center_of_mass
    for module in model.modules():
        if isinstance(module, RTMDetInsHead):
            module._mask_predict_by_feat_single = predicted_masks.__get__(module)
    return model


def center_of_mass(masks: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    """Return the mean position of each mask's pixels, ``(N, 2)`` float32 ``x, y``.

    Pixels are counted by row and by column first. MMDetection multiplies whole masks by 64-bit positions, which was a
    quarter of a training step of crowded images; integers, so that the sums are the same.

    Args:
        masks: ``(N, height, width)`` bool or integers, 0 and 1.
        eps: What an empty mask is divided by.
    """
    columns, rows = masks.sum(dim=1), masks.sum(dim=2)
    pixels = rows.sum(dim=1).float().clamp(min=eps)
    axes = [(counts, torch.arange(counts.shape[1], device=masks.device)) for counts in (columns, rows)]
    return torch.stack([(counts * positions).sum(dim=1) / pixels for counts, positions in axes], dim=1)


def predicted_masks(head: Any, mask_feat: torch.Tensor, kernels: torch.Tensor, priors: torch.Tensor) -> torch.Tensor:
    """Return the mask logits of objects, ``(N, height, width)``: RTMDet-Ins's dynamic convolutions as matrix products.

    They have a kernel of one pixel and a group an object: a batched product does the same without PyTorch's slow path
    for groups on a CPU.

    Args:
        head: A ``RTMDetInsHead``.
        mask_feat: ``(num_prototypes, height, width)``, features of one image.
        kernels: ``(N, num_gen_params)``, weights and biases of each object's layers.
        priors: ``(N, 4)``, ``x, y`` and stride of where an object was found, pixels.
    """
    count, (height, width) = len(priors), mask_feat.shape[-2:]
    if count == 0:
        return mask_feat.new_empty((0, height, width))
    grid = head.prior_generator.single_level_grid_priors((height, width), level_idx=0, device=mask_feat.device)
    relative = (priors[:, None, :2] - grid[None]).permute(0, 2, 1) / (priors[:, 2].reshape(-1, 1, 1) * 8)
    features = mask_feat.reshape(1, -1, height * width).expand(count, -1, -1)
    values = torch.cat([relative.to(features.dtype), features], dim=1)
    weights, biases = head.parse_dynamic_params(kernels)
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        matrix = weight.reshape(count, -1, weight.shape[1])
        values = torch.baddbmm(bias.reshape(count, -1, 1), matrix, values)
        if number < len(weights) - 1:
            values = functional.relu(values)
    return values.reshape(count, height, width)
