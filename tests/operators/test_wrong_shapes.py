"""Shapes that do not fit together are one sentence with both; boxes that are infinite are no warning."""

import warnings

import pytest
import torch

from tests.support.operators_in_torch import operators_in_torch


@pytest.fixture(autouse=True)
def ours():
    with operators_in_torch() as operators:
        yield operators


INPUT, WEIGHT, BIAS = torch.ones(2, 4, 9, 8), torch.ones(6, 2, 3, 2), torch.ones(6)
OFFSET, MASK = torch.zeros(2, 24, 7, 7), torch.ones(2, 12, 7, 7)


@pytest.mark.parametrize(
    ("offset", "deform_groups", "expected"),
    [
        (OFFSET[:, :22], 2, r"offset has shape \(2, 22, 7, 7\), expected \(2, 24, 7, 7\)"),
        (OFFSET, 1, r"offset has shape \(2, 24, 7, 7\), expected \(2, 12, 7, 7\)"),
        (OFFSET[:, :12], 2, r"offset has shape \(2, 12, 7, 7\), expected \(2, 24, 7, 7\)"),
        (OFFSET[..., :6], 2, r"offset has shape \(2, 24, 7, 6\), expected \(2, 24, 7, 7\)"),
        (OFFSET[:1], 2, r"offset has shape \(1, 24, 7, 7\), expected \(2, 24, 7, 7\)"),
        (OFFSET.reshape(2, 24, 49, 1), 2, r"offset has shape \(2, 24, 49, 1\), expected \(2, 24, 7, 7\)"),
    ],
)
@pytest.mark.parametrize("modulated", [False, True])
def test_offsets_that_do_not_fit(offset, deform_groups, expected, modulated):
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    with pytest.raises(RuntimeError, match=expected):
        if modulated:
            modulated_deform_conv2d(INPUT, offset, MASK, WEIGHT, BIAS, 1, 0, 1, 2, deform_groups)
        else:
            deform_conv2d(INPUT, offset, WEIGHT, 1, 0, 1, 2, deform_groups)


@pytest.mark.parametrize("mask", [MASK[:, :11], MASK[:, :6], MASK[..., :6], MASK[:1], MASK.reshape(2, 12, 49, 1)])
def test_masks_that_do_not_fit(mask):
    from mmcv.ops import modulated_deform_conv2d

    with pytest.raises(RuntimeError, match=r"mask has shape \(.*\), expected \(2, 12, 7, 7\)"):
        modulated_deform_conv2d(INPUT, OFFSET, mask, WEIGHT, BIAS, 1, 0, 1, 2, 2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 3e38])
@pytest.mark.parametrize("count", [4, 400])
def test_boxes_that_are_no_numbers_warn_of_nothing(bad, count):
    from mmcv.ops import nms, nms_match, soft_nms

    boxes = torch.arange(4 * count).reshape(count, 4).float()
    boxes[1] = torch.tensor([1, bad, 1, 9])
    boxes[2] = torch.tensor([bad, 1, bad, bad])
    scores = torch.linspace(0.9, 0.1, count)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 0 in nms(boxes, scores, 0.5)[1]
        assert 0 in soft_nms(boxes, scores, 0.5)[1]
        assert nms_match(torch.cat((boxes, scores[:, None]), 1), 0.5)[0][0] == 0
