"""Parts of MMDetection that compute the same in less time: RTMDet-Ins's masks and their loss, and centres of masks."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch.nn import functional

from .mmdet_compat import RTMDetInsHead, dynamic_soft_label_assigner, reduce_mean

Model = TypeVar("Model", bound=torch.nn.Module)


def make_faster(model: Model) -> Model:
    """Return a built model, its RTMDet-Ins head with ``predicted_masks`` and ``loss_of_masks``.

    A head with such a method of its own keeps it. MMDetection's assigner takes centres of masks by ``center_of_mass``
    from then on, in the whole process.
    """
    dynamic_soft_label_assigner.center_of_mass = center_of_mass
    faster = {"_mask_predict_by_feat_single": predicted_masks, "loss_mask_by_feat": loss_of_masks}
    for module in model.modules():
        for name, function in faster.items():
            if isinstance(module, RTMDetInsHead) and getattr(type(module), name) is getattr(RTMDetInsHead, name):
                setattr(module, name, function.__get__(module))
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


def loss_of_masks(
    head: Any,
    mask_feats: torch.Tensor,
    kernels: torch.Tensor,
    samplings: Sequence[Any],
    truths: Sequence[Any],
    smaller: "Callable[[torch.Tensor, int], torch.Tensor] | None" = None,
) -> torch.Tensor:
    """Return the loss of the masks of all positive priors: true masks are made smaller first and repeated then.

    MMDetection repeats whole true masks, some ten times each, and interpolates where nothing changes.

    Args:
        head: A ``RTMDetInsHead``.
        mask_feats: ``(B, num_prototypes, height, width)``.
        kernels: ``(B, priors, num_gen_params)``.
        samplings: Of each image, with ``pos_inds``, ``pos_priors`` and ``pos_assigned_gt_inds``.
        truths: Of each image, with ``masks`` ``(N, H, W)`` bool.
        smaller: Returns masks so many times smaller, ``(N, H / stride, W / stride)``; MMDetection takes single pixels.
    """
    logits, targets = [], []
    stride, smaller = head.mask_loss_stride, smaller or _single_pixels
    for features, parameters, sampling, truth in zip(mask_feats, kernels, samplings, truths, strict=True):
        logits.append(head._mask_predict_by_feat_single(features, parameters[sampling.pos_inds], sampling.pos_priors))
        small = smaller(truth.masks, stride)
        targets.append(small[sampling.pos_assigned_gt_inds] if len(small) else small)
    predicted, true = torch.cat(logits), torch.cat(targets)
    count = reduce_mean(mask_feats.new_tensor([len(predicted)])).clamp_(min=1).item()
    if not len(predicted):
        return mask_feats.sum() * 0
    larger = truths[0].masks.shape[-1] // stride // predicted.shape[-1]
    if larger != 1:
        predicted = functional.interpolate(predicted[None], scale_factor=larger, mode="bilinear")[0]
    return head.loss_mask(predicted, true, weight=None, avg_factor=count)  # type: ignore[no-any-return]


def _single_pixels(masks: torch.Tensor, stride: int) -> torch.Tensor:
    return masks[:, stride // 2 :: stride, stride // 2 :: stride]
