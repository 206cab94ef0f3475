"""What is computed in less time has the values of MMDetection's own code."""

import copy

import pytest
import torch
from mmdet.models.dense_heads import RTMDetInsHead
from mmdet.models.task_modules.assigners import dynamic_soft_label_assigner

from instance_segmentation_pipeline.models.faster_parts import center_of_mass, make_faster

HEAD = {
    "num_classes": 2,
    "in_channels": 8,
    "feat_channels": 8,
    "anchor_generator": {"type": "MlvlPointGenerator", "offset": 0, "strides": [8, 16, 32]},
    "bbox_coder": {"type": "DistancePointBBoxCoder"},
    "loss_bbox": {"type": "GIoULoss"},
    "loss_mask": {"type": "DiceLoss"},
    "train_cfg": None,
    "test_cfg": None,
    "norm_cfg": {"type": "BN"},
}


def theirs(masks, eps=1e-7):
    """Return MMDetection's centres, whatever has been put in the place of their function."""
    code = dynamic_soft_label_assigner.__loader__.get_code(dynamic_soft_label_assigner.__name__)
    fresh = {"__name__": "fresh", "__package__": dynamic_soft_label_assigner.__package__}
    function = next(one for one in code.co_consts if getattr(one, "co_name", "") == "center_of_mass")
    return type(theirs)(function, {**fresh, "torch": torch})(masks, eps)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
@pytest.mark.parametrize("shape", [(0, 5, 7), (1, 1, 1), (40, 33, 57), (3, 500, 20)])
def test_centres_of_masks(dtype, shape):
    masks = (torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.7).to(dtype)
    if len(masks) > 2:
        masks[1] = 0
    assert torch.equal(center_of_mass(masks), theirs(masks, 1e-7))


@pytest.mark.parametrize("count", [0, 1, 7, 60])
def test_masks_of_rtmdet_and_their_gradients(count):
    head = RTMDetInsHead(**copy.deepcopy(HEAD))
    faster = make_faster(copy.deepcopy(head))
    generator = torch.Generator().manual_seed(count)
    features = torch.randn(8, 12, 17, generator=generator)
    kernels = torch.randn(count, head.num_gen_params, generator=generator)
    priors = torch.rand(count, 4, generator=generator) * 100
    priors[:, 2:] = torch.tensor([8.0, 16.0, 32.0])[torch.arange(count) % 3, None]
    found = []
    for one in (head, faster):
        inputs = [value.clone().requires_grad_() for value in (features, kernels)]
        masks = one._mask_predict_by_feat_single(*inputs, priors)
        if count:
            (masks.sigmoid() ** 2).sum().backward()
        found.append([masks.detach(), *(value.grad for value in inputs)])
    assert found[0][0].shape == found[1][0].shape == (count, 12, 17)
    for expected, value in zip(*found, strict=True):
        if expected is not None:
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-4)


def test_a_copy_of_a_model_uses_its_own_weights():
    head = make_faster(RTMDetInsHead(**copy.deepcopy(HEAD)))
    assert copy.deepcopy(head)._mask_predict_by_feat_single.__self__ is not head


def test_a_head_with_a_loss_of_its_own_keeps_it():
    class Own(RTMDetInsHead):
        def loss_mask_by_feat(self, *args):
            return "its own"

    assert make_faster(Own(**copy.deepcopy(HEAD))).loss_mask_by_feat() == "its own"
