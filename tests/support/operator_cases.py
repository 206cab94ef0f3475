"""Calls of MMCV's operators on small inputs: the same for the compiled build, whose answers are test data, and for ours.

Inputs come from NumPy's ``RandomState``, which draws the same numbers in every version.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Answer = dict[str, np.ndarray]

DEVICE = "cpu"
"""Where inputs are put."""


def tensor(array, grad: bool = True) -> Tensor:
    made = torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(DEVICE)
    return made.requires_grad_() if grad else made


def gradients(output: Tensor, seed: int, **inputs: Tensor) -> Answer:
    """The output, and the gradient of its product with fixed numbers in each input."""
    weight = tensor(np.random.RandomState(seed).standard_normal(tuple(output.shape)), grad=False)
    found = torch.autograd.grad(output, list(inputs.values()), weight)
    answer = {"output": output.detach().cpu().numpy()}
    answer.update({f"grad_{name}": g.cpu().numpy() for name, g in zip(inputs, found, strict=True)})
    return answer


def rois_of(random, count: int, images: int, width: int, height: int) -> np.ndarray:
    """Boxes within, across the border, outside, without area, and as large as the image."""
    x, y = random.uniform(0, width, (count, 2)), random.uniform(0, height, (count, 2))
    x.sort(1)
    y.sort(1)
    boxes = np.stack((x[:, 0], y[:, 0], x[:, 1], y[:, 1]), 1)
    boxes[0] = 0, 0, width, height
    boxes[1] = 5, 6, 5, 6
    boxes[2] = -9, -7, 4, 5
    boxes[3] = width + 20, height + 20, width + 40, height + 30
    boxes[4] = -0.4, 3, width + 9, 4
    boxes[5] = 4, 8, 12, 16
    return np.concatenate((random.randint(0, images, (count, 1)), boxes), 1)


def roi_align_case(
    channels: int,
    count: int,
    size: tuple[int, int],
    bins: tuple[int, int],
    scale: float,
    ratio: int,
    mode: str,
    aligned,
):
    def run() -> Answer:
        from mmcv.ops import roi_align

        random = np.random.RandomState(3)
        feature = tensor(random.standard_normal((2, channels, *size)))
        rois = tensor(rois_of(random, count, 2, int(size[1] / scale), int(size[0] / scale)), grad=False)
        return gradients(roi_align(feature, rois, bins, scale, ratio, mode, aligned), 4, feature=feature)

    return run


def deform_case(
    modulated: bool,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    parts: int,
    kernel: tuple[int, int],
    bias=True,
):
    def run() -> Answer:
        from mmcv.ops import deform_conv2d, modulated_deform_conv2d

        random = np.random.RandomState(5)
        x = tensor(random.standard_normal((2, 4 * parts, 7, 8)))
        weight = tensor(random.standard_normal((6, 4 * parts // groups, *kernel)) / 6)
        out = [(n + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for n, k in zip((7, 8), kernel, strict=True)]
        taps = kernel[0] * kernel[1] * parts
        offset = random.standard_normal((2, 2 * taps, *out)) * 2
        offset[:, :2] = np.round(offset[:, :2])
        offset[0, :, 0, 0] = 40
        offset = tensor(offset)
        if not modulated:
            output = deform_conv2d(x, offset, weight, stride, padding, dilation, groups, parts)
            return gradients(output, 6, input=x, offset=offset, weight=weight)
        mask = tensor(random.uniform(0, 1, (2, taps, *out)))
        beside = {"bias": tensor(random.standard_normal(6))} if bias else {}
        output = modulated_deform_conv2d(
            x, offset, mask, weight, beside.get("bias"), stride, padding, dilation, groups, parts
        )
        return gradients(output, 6, input=x, offset=offset, mask=mask, weight=weight, **beside)

    return run


def boxes_of(random, count: int, spread: float) -> np.ndarray:
    middle = random.uniform(0, spread, (count, 2))
    size = random.uniform(4, 40, (count, 2))
    return np.concatenate((middle - size / 2, middle + size / 2), 1).astype(np.float32)


def suppression_case(kind: str, count: int, spread: float, threshold: float, offset: int = 0, method: str = "linear"):
    def run() -> Answer:
        from mmcv.ops import nms, nms_match, soft_nms

        random = np.random.RandomState(count)
        boxes = torch.from_numpy(boxes_of(random, count, spread)).to(DEVICE)
        scores = torch.from_numpy(random.permutation(count).astype(np.float32) / count).to(DEVICE)
        if kind == "nms_match":
            groups = nms_match(torch.cat((boxes, scores[:, None]), 1), threshold)
            flat = [group.cpu().numpy().astype(np.int32) for group in groups]
            return {"index": np.concatenate(flat), "lengths": np.asarray([len(group) for group in flat], np.int32)}
        if kind == "nms":
            dets, index = nms(boxes, scores, threshold, offset)
            return {"index": index.cpu().numpy().astype(np.int32)}
        dets, index = soft_nms(boxes, scores, threshold, 0.5, 0.05, method, offset)
        return {"index": index.cpu().numpy().astype(np.int32), "scores": dets[:, 4].cpu().numpy()}

    return run


CASES: dict[str, Callable[[], Answer]] = {
    "roi_align crops": roi_align_case(2, 9, (12, 14), (7, 7), 0.25, 0, "avg", True),
    "roi_align crops legacy": roi_align_case(2, 9, (12, 14), (3, 5), 0.25, 2, "avg", False),
    "roi_align few": roi_align_case(16, 9, (50, 80), (2, 2), 0.125, 0, "avg", True),
    "roi_align rows": roi_align_case(16, 12, (9, 11), (3, 2), 0.25, 0, "avg", True),
    "roi_align rows fixed": roi_align_case(16, 12, (9, 11), (2, 3), 0.25, 3, "avg", False),
    "roi_align largest": roi_align_case(3, 9, (12, 14), (3, 2), 0.25, 0, "max", True),
    "roi_align largest fixed": roi_align_case(3, 9, (12, 14), (3, 2), 0.5, 2, "max", False),
    "deform_conv": deform_case(False, 1, 1, 1, 1, 1, (3, 3)),
    "deform_conv strided": deform_case(False, 2, 2, 2, 1, 1, (3, 3)),
    "deform_conv grouped": deform_case(False, 1, 1, 1, 2, 2, (3, 2)),
    "modulated_deform_conv": deform_case(True, 1, 1, 1, 1, 1, (3, 3)),
    "modulated_deform_conv strided": deform_case(True, 2, 1, 2, 1, 1, (3, 3), bias=False),
    "modulated_deform_conv grouped": deform_case(True, 1, 0, 1, 2, 2, (2, 3)),
    "nms spread": suppression_case("nms", 300, 900, 0.5),
    "nms clustered": suppression_case("nms", 700, 60, 0.5),
    "nms offset": suppression_case("nms", 300, 120, 0.3, offset=1),
    "nms few": suppression_case("nms", 20, 30, 0.5),
    "nms_match spread": suppression_case("nms_match", 300, 900, 0.5),
    "nms_match clustered": suppression_case("nms_match", 500, 60, 0.5),
    "soft_nms linear": suppression_case("softnms", 200, 120, 0.3),
    "soft_nms gaussian": suppression_case("softnms", 200, 120, 0.3, method="gaussian"),
    "soft_nms naive": suppression_case("softnms", 200, 120, 0.3, method="naive"),
    "soft_nms offset": suppression_case("softnms", 150, 60, 0.5, offset=1, method="gaussian"),
}
