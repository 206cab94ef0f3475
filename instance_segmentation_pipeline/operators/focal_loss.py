"""Focal losses (Lin et al. 2017, arXiv:1708.02002) of logits by class, and of softmax probabilities.

Logarithms of a sigmoid are taken from the logit: exact where the compiled operator's ``log(1 - p)`` has none left.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .sampling import working_precision

__all__ = [
    "sigmoid_focal_loss_backward",
    "sigmoid_focal_loss_forward",
    "softmax_focal_loss_backward",
    "softmax_focal_loss_forward",
]


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output`` (N, C) with the loss of each logit.

    Args:
        input: (N, C), logits.
        target: (N,) int64, the class; C, or any other that is none, for background.
        weight: (C,), what an item of each class counts; empty for 1.
        output: What is returned to MMCV.
        gamma: The exponent.
        alpha: What positives count; negatives count 1 - alpha.
    """
    logit = working_precision(input)
    p = logit.sigmoid()
    at_class = -alpha * (1 - p) ** gamma * F.logsigmoid(logit)
    elsewhere = -(1 - alpha) * p**gamma * F.logsigmoid(-logit)
    loss = torch.where(_is_class(target, input.size(1)), at_class, elsewhere)
    output.copy_(_times_class_weight(loss, weight, target))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input`` (N, C) with the derivative of each loss in its logit."""
    logit = working_precision(input)
    p = logit.sigmoid()
    at_class = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * F.logsigmoid(logit))
    elsewhere = -(1 - alpha) * p**gamma * (gamma * (1 - p) * F.logsigmoid(-logit) - p)
    slope = torch.where(_is_class(target, input.size(1)), at_class, elsewhere)
    grad_input.copy_(_times_class_weight(slope, weight, target))


def softmax_focal_loss_forward(
    softmax: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output`` (N,) with the loss of each item.

    Args:
        softmax: (N, C), probabilities.
        target: (N,) int64, the class; the loss is 0 where it is negative.
        weight: (C,), what an item of each class counts; empty for 1.
        output: What is returned to MMCV.
        gamma: The exponent.
        alpha: A factor.
    """
    p, log_p = _of_class(softmax, target)
    loss = _times_class_weight(-alpha * (1 - p) ** gamma * log_p, weight, target)
    output.copy_(torch.where(target >= 0, loss, torch.zeros_like(p)))


def softmax_focal_loss_backward(
    softmax: Tensor, target: Tensor, weight: Tensor, buff: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input`` (N, C) with the derivative in the logits; ``buff`` (N,) receives its common factor."""
    p, log_p = _of_class(softmax, target)
    slope = alpha * (gamma * (1 - p) ** (gamma - 1) * p * log_p - (1 - p) ** gamma)
    slope = torch.where(target >= 0, _times_class_weight(slope, weight, target), torch.zeros_like(p))
    buff.copy_(slope)
    is_class = _is_class(target, softmax.size(1)).to(p.dtype)
    grad_input.copy_(slope[:, None] * (is_class - working_precision(softmax)))


def _is_class(target: Tensor, classes: int) -> Tensor:
    return target[:, None] == torch.arange(classes, device=target.device)


def _times_class_weight(value: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """Multiply items (N, …) by the weight of their class; background has none of its own and takes the last."""
    if not weight.numel():
        return value
    by_item = weight.to(value.dtype)[target.clamp(0, weight.numel() - 1)]
    return value * by_item.view(-1, *[1] * (value.dim() - 1))


def _of_class(softmax: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the probability of each item's class, and its logarithm."""
    p = working_precision(softmax).gather(1, target.clamp(min=0)[:, None])[:, 0]
    return p, p.clamp(min=torch.finfo(torch.float32).tiny).log()
