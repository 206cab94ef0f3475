"""The operators in PyTorch in double precision: beside references built from torch's own layers, and gradcheck.

The compiled build for a CPU has no RoI pooling, focal loss, CARAFE, deformable attention, masked convolution or
deformable RoI pooling to compare with.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import grad, gradcheck

from tests.support.operators_in_torch import operators_in_torch

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def ours():
    with operators_in_torch() as operators:
        yield operators


@pytest.fixture
def random():
    return np.random.RandomState(11)


def double(array):
    return torch.from_numpy(np.asarray(array, np.float64))


def normal(random, *shape):
    return double(random.standard_normal(shape)).requires_grad_()


def assert_same(found, expected, inputs):
    """Equal, and so are the gradients of their product with the same numbers."""
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    weight = torch.randn(expected.shape, dtype=expected.dtype, generator=torch.Generator().manual_seed(1))
    mine, theirs = grad(found, inputs, weight), grad(expected, inputs, weight, retain_graph=True)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


ROIS = [[0, 4, 4, 30, 22], [1, 0, 0, 47, 39], [1, 3, 9, 3, 9], [0, 60, 60, 70, 70], [0, -5, -5, 9, 6]]


def bilinear(image, y, x):
    """RoIAlign's sample of (C, H, W) at a place: up to a pixel outside the edge is read, beyond it is 0."""
    height, width = image.shape[1:]
    if not (-1 <= y.detach() <= height and -1 <= x.detach() <= width):
        return torch.zeros_like(image[:, 0, 0])
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    y0, x0 = int(y.detach()), int(x.detach())
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    down, right = y - y0, x - x0
    top = image[:, y0, x0] * (1 - right) + image[:, y0, x1] * right
    return top * (1 - down) + (image[:, y1, x0] * (1 - right) + image[:, y1, x1] * right) * down


def roi_reference(feature, rois, bins, scale, ratio, offset=None, gamma=0.0):
    """RoIAlign by its definition, sample by sample; bins moved by ``offset`` as in deformable RoI pooling."""
    found = []
    for k, (image, *box) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (side * scale - 0.5 for side in box)
        high, wide = (
            ratio or int(np.ceil((end - start) / n)) for start, end, n in zip((y1, x1), (y2, x2), bins, strict=True)
        )
        step_y, step_x = (y2 - y1) / bins[0], (x2 - x1) / bins[1]
        for p in range(bins[0]):
            for q in range(bins[1]):
                dx, dy = (0, 0) if offset is None else gamma * offset[k, :, p, q] * double([x2 - x1, y2 - y1])
                samples = [
                    bilinear(
                        feature[int(image)],
                        y1 + p * step_y + (i + 0.5) * step_y / high + dy + double(0),
                        x1 + q * step_x + (j + 0.5) * step_x / wide + dx + double(0),
                    )
                    for i in range(high)
                    for j in range(wide)
                ]
                found.append(torch.stack(samples).mean(0) if samples else feature.new_zeros(feature.size(1)))
    return torch.stack(found).view(len(rois), *bins, -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("channels", [2, 16], ids=["crops", "rows"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_roi_align(random, channels, ratio):
    from mmcv.ops import roi_align

    feature, rois = normal(random, 2, channels, 10, 12), double(ROIS)
    found = roi_align(feature, rois, (3, 2), 0.25, ratio, "avg", True)
    assert_same(found, roi_reference(feature, rois, (3, 2), 0.25, ratio), [feature])


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("with_offset", [True, False])
def test_deformable_roi_pooling(random, ratio, with_offset):
    from mmcv.ops import deform_roi_pool

    feature, rois = normal(random, 2, 3, 10, 12), double(ROIS)
    offset = normal(random, len(ROIS), 2, 3, 2) if with_offset else None
    found = deform_roi_pool(feature, rois, offset, (3, 2), 0.25, ratio, 0.3)
    expected = roi_reference(feature, rois, (3, 2), 0.25, ratio, offset, 0.3)
    assert_same(found, expected, [feature] if offset is None else [feature, offset])


def test_roi_pooling(random):
    from mmcv.ops import roi_pool

    feature, rois = normal(random, 2, 3, 10, 12), double(ROIS)
    found = roi_pool(feature, rois, (3, 2), 0.25)
    expected = torch.zeros_like(found)
    for k, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        high, wide = (y2 + 1 - y1) * 0.25 / 3, (x2 + 1 - x1) * 0.25 / 2
        for p in range(3):
            for q in range(2):
                rows = slice(*(int(min(max(edge, 0), 10)) for edge in (
                    np.floor(p * high + y1 * 0.25), np.ceil((p + 1) * high + y1 * 0.25))))  # fmt: skip
                columns = slice(*(int(min(max(edge, 0), 12)) for edge in (
                    np.floor(q * wide + x1 * 0.25), np.ceil((q + 1) * wide + x1 * 0.25))))  # fmt: skip
                cell = feature[int(image), :, rows, columns]
                if cell.numel():
                    expected[k, :, p, q] = cell.amax((1, 2))
    assert_same(found, expected, [feature])


@pytest.mark.parametrize("weighted", [True, False])
def test_sigmoid_focal_loss(random, weighted):
    from mmcv.ops import sigmoid_focal_loss

    logits = (normal(random, 9, 4).detach() * 6).requires_grad_()
    target = torch.tensor([0, 1, 2, 3, 4, 4, 0, 2, 3])  # 4 is background
    weight = double([0.5, 2, 1, 3]) if weighted else None
    found = sigmoid_focal_loss(logits, target, 2.0, 0.25, weight, "none")
    truth = F.one_hot(target, 5)[:, :4].double()
    p = logits.sigmoid()
    focus = (0.25 * truth + 0.75 * (1 - truth)) * (1 - p * truth - (1 - p) * (1 - truth)) ** 2
    expected = F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * focus
    if weighted:
        foreground = target < 4
        found, expected = found[foreground], (expected * weight[target.clamp(max=3)][:, None])[foreground]
    assert_same(found, expected, [logits])
    for reduction, reduced in (("mean", lambda v: v.sum() / 9), ("sum", torch.sum)):
        whole = sigmoid_focal_loss(logits, target, 2.0, 0.25, None, reduction)
        plain = F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * focus
        assert_same(whole, reduced(plain), [logits])


def test_a_saturated_logit_has_a_loss_and_a_gradient():
    from mmcv.ops import sigmoid_focal_loss

    logits = torch.tensor([[120.0], [-120.0]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([1, 0]), 2.0, 0.25, None, "none")
    torch.testing.assert_close(loss.detach(), torch.tensor([[90.0], [30.0]]))
    loss.sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[0.75], [-0.25]]))


@pytest.mark.parametrize("weighted", [True, False])
def test_softmax_focal_loss(random, weighted):
    from mmcv.ops import softmax_focal_loss

    logits = (normal(random, 7, 4).detach() * 3).requires_grad_()
    target = torch.tensor([0, 1, 2, 3, 0, 2, 3])
    weight = double([0.5, 2, 1, 3]) if weighted else None
    found = softmax_focal_loss(logits, target, 2.0, 0.25, weight, "mean")
    p = logits.softmax(1).gather(1, target[:, None])[:, 0]
    each = -0.25 * (1 - p) ** 2 * p.log()
    assert_same(found, (each * (weight[target] if weighted else 1)).sum() / 7, [logits])


@pytest.mark.parametrize("groups", [1, 2])
def test_carafe(random, groups):
    from mmcv.ops import carafe

    features, masks = normal(random, 2, 4, 5, 6), normal(random, 2, groups * 9, 10, 12)
    windows = F.unfold(features, 3, padding=1).view(2, groups, 4 // groups, 9, 5, 6)
    large = windows.repeat_interleave(2, 4).repeat_interleave(2, 5)
    expected = (large * masks.view(2, groups, 1, 9, 10, 12)).sum(3).view(2, 4, 10, 12)
    assert_same(carafe(features, masks, 3, groups, 2), expected, [features, masks])


def test_naive_carafe_is_carafe(random, ours):
    features, masks = normal(random, 1, 4, 5, 6).detach(), normal(random, 1, 9, 10, 12).detach()
    one, other = torch.zeros(1, 4, 10, 12).double(), torch.zeros(1, 4, 10, 12).double()
    ours.carafe_naive_forward(features, masks, one, kernel_size=3, group_size=1, scale_factor=2)
    room = [torch.zeros_like(t) for t in (features, one, masks)]
    ours.carafe_forward(features, masks, *room, other, kernel_size=3, group_size=1, scale_factor=2)
    assert torch.equal(one, other)
    assert one.abs().sum() > 0


LEVELS = torch.tensor([[6, 8], [3, 4]])
STARTS = torch.tensor([0, 48])


def attention_inputs(random):
    at = double(random.uniform(-0.2, 1.2, (2, 5, 2, 2, 3, 2))).requires_grad_()
    weights = double(random.uniform(0, 1, (2, 5, 2, 2, 3))).requires_grad_()
    return normal(random, 2, 60, 2, 4), at, weights


def test_deformable_attention(random):
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction, multi_scale_deformable_attn_pytorch

    value, at, weights = attention_inputs(random)
    found = MultiScaleDeformableAttnFunction.apply(value, LEVELS, STARTS, at, weights, 64)
    expected = multi_scale_deformable_attn_pytorch(value, LEVELS, at, weights)
    assert_same(found, expected, [value, at, weights])


@pytest.mark.parametrize("padding", [(1, 1), (0, 2)])
def test_masked_convolution(random, padding):
    from mmcv.ops import MaskedConv2d

    convolution = MaskedConv2d(3, 4, (3, 5) if padding == (0, 2) else 3, padding=padding).double().eval()
    feature = normal(random, 1, 3, 8, 9).detach()
    mask = torch.from_numpy(random.uniform(size=(1, 8, 9)) > 0.6)
    mask[:, 6:] &= padding[0] == 1
    with torch.no_grad():
        found = convolution(feature, mask)
        dense = F.conv2d(feature, convolution.weight, convolution.bias, padding=padding)
    inside = mask[:, : dense.size(2)]
    torch.testing.assert_close(found, dense * inside[:, None])
    assert found.abs().sum() > 0


@pytest.mark.parametrize("affine", [True, False])
def test_synchronized_batch_normalization_of_one_process(random, affine):
    from mmcv.ops.sync_bn import SyncBatchNormFunction

    x = torch.from_numpy(random.standard_normal((3, 4, 5, 6)) * 2 + 1).float().requires_grad_()
    weight = torch.from_numpy(random.uniform(0.5, 2, 4)).float().requires_grad_()
    bias = torch.from_numpy(random.standard_normal(4)).float().requires_grad_()
    mine, theirs = (torch.full((4,), 0.3), torch.full((4,), 0.7)), (torch.full((4,), 0.3), torch.full((4,), 0.7))
    if not affine:
        weight, bias = torch.ones(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    found = SyncBatchNormFunction.apply(x, *mine, weight, bias, 0.1, 1e-5, None, 1, "default")
    expected = F.batch_norm(x, *theirs, weight, bias, True, 0.1, 1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    slope = torch.from_numpy(random.standard_normal(tuple(x.shape))).float()
    for one, other in zip(grad(found, [x, weight, bias], slope), grad(expected, [x, weight, bias], slope), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("groups", [1, 2])
def test_deformable_convolution_without_offsets_is_a_convolution(random, groups):
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    x, weight = normal(random, 2, 4, 7, 6), normal(random, 6, 4 // groups, 3, 3)
    expected = F.conv2d(x, weight, stride=2, padding=1, groups=groups)
    offset = torch.zeros(2, 18, *expected.shape[2:]).double()
    assert_same(deform_conv2d(x, offset, weight, 2, 1, 1, groups, 1), expected, [x, weight])
    half = torch.full((2, 9, *expected.shape[2:]), 0.5).double()
    found = modulated_deform_conv2d(x, offset, half, weight, None, 2, 1, 1, groups, 1)
    assert_same(found, expected / 2, [x, weight])


def roi_align_inputs(random, channels):
    from mmcv.ops import roi_align

    return lambda feature: roi_align(feature, double(ROIS), (2, 2), 0.25, 0, "avg", True), [
        normal(random, 2, channels, 6, 7)
    ]


def roi_align_largest(random):
    from mmcv.ops import roi_align

    return lambda feature: roi_align(feature, double(ROIS[:2]), (2, 2), 0.25, 2, "max", True), [
        normal(random, 2, 2, 9, 9)
    ]


def deform_conv(random):
    from mmcv.ops import deform_conv2d

    inputs = [normal(random, 1, 4, 5, 4), normal(random, 1, 36, 5, 4), normal(random, 2, 2, 3, 3)]
    return lambda x, offset, weight: deform_conv2d(x, offset, weight, 1, 1, 1, 2, 2), inputs


def modulated(random):
    from mmcv.ops import modulated_deform_conv2d

    mask = double(random.uniform(0.1, 1, (1, 9, 3, 2))).requires_grad_()
    inputs = [
        normal(random, 1, 2, 5, 4),
        normal(random, 1, 18, 3, 2),
        mask,
        normal(random, 2, 2, 3, 3),
        normal(random, 2),
    ]
    return lambda *given: modulated_deform_conv2d(*given, 2, 1, 1, 1, 1), inputs


def attention(random):
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    value, at, weights = attention_inputs(random)
    inputs = [value, at, weights]
    return lambda v, a, w: MultiScaleDeformableAttnFunction.apply(v, LEVELS, STARTS, a, w, 64), inputs


def sigmoid(random):
    from mmcv.ops import sigmoid_focal_loss

    target = torch.tensor([0, 1, 2, 3])
    return lambda logits: sigmoid_focal_loss(logits, target, 1.5, 0.3, double([1, 2, 3]), "sum"), [normal(random, 4, 3)]


def softmax(random):
    from mmcv.ops import softmax_focal_loss

    target = torch.tensor([0, 1, 2, 0])
    return lambda logits: softmax_focal_loss(logits, target, 1.5, 0.3, double([1, 2, 3]), "sum"), [normal(random, 4, 3)]


def upsampling(random):
    from mmcv.ops import carafe

    return lambda x, masks: carafe(x, masks, 3, 2, 2), [normal(random, 1, 4, 3, 2), normal(random, 1, 18, 6, 4)]


def deform_pooling(random):
    from mmcv.ops import deform_roi_pool

    inputs = [normal(random, 2, 2, 6, 7), normal(random, 2, 2, 2, 2)]
    return lambda x, offset: deform_roi_pool(x, double(ROIS[:2]), offset, (2, 2), 0.15, 0, 0.1), inputs


def pooling(random):
    from mmcv.ops import roi_pool

    return lambda x: roi_pool(x, double(ROIS), (2, 2), 0.25), [normal(random, 2, 2, 9, 9)]


GRADCHECKS = {
    "roi_align crops": lambda random: roi_align_inputs(random, 2),
    "roi_align rows": lambda random: roi_align_inputs(random, 16),
    "roi_align largest": roi_align_largest,
    "deform_conv": deform_conv,
    "modulated_deform_conv": modulated,
    "attention": attention,
    "sigmoid_focal_loss": sigmoid,
    "softmax_focal_loss": softmax,
    "carafe": upsampling,
    "deform_roi_pool": deform_pooling,
    "roi_pool": pooling,
}


@pytest.mark.parametrize("name", GRADCHECKS)
def test_gradcheck(name, random):
    function, inputs = GRADCHECKS[name](random)
    large = sum(one.numel() for one in inputs) > 300
    assert gradcheck(function, inputs, eps=1e-6, atol=1e-6, nondet_tol=0.0, fast_mode=large)
