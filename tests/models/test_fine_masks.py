"""``FineMaskRTMDetInsHead``: masks twice as fine, on their places, and not more of an object in the loss than asked."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.models.dense_heads import RTMDetInsSepBNHead
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch.nn import functional

from instance_segmentation_pipeline.models import fine_masks
from instance_segmentation_pipeline.models.faster_parts import make_faster
from instance_segmentation_pipeline.models.fine_masks import FineMaskRTMDetInsHead
from tests.models.test_faster_parts import HEAD


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmdet")


def config(**changes):
    test = Config({"nms_pre": 100, "score_thr": 0.0, "mask_thr_binary": 0.5, "max_per_img": 1, "min_bbox_size": 0})
    test.nms = {"type": "nms", "iou_threshold": 0.6}
    train = {"assigner": {"type": "DynamicSoftLabelAssigner", "topk": 13}, "allowed_border": -1, "pos_weight": -1}
    losses = {
        "loss_cls": {"type": "QualityFocalLoss", "use_sigmoid": True, "beta": 2.0, "loss_weight": 1.0},
        "loss_mask": {"type": "DiceLoss", "loss_weight": 2.0, "eps": 5e-6, "reduction": "mean"},
    }
    return copy.deepcopy(HEAD) | losses | {"num_classes": 1, "train_cfg": Config(train), "test_cfg": test} | changes


def truth(rows, columns, side=64):
    mask = np.zeros((1, side, side), np.uint8)
    mask[0, rows, columns] = 1
    box = [columns.start, rows.start, columns.stop, rows.stop]
    masks = BitmapMasks(mask, side, side)
    return InstanceData(bboxes=torch.tensor([box]).float(), labels=torch.zeros(1, dtype=torch.long), masks=masks)


META = {"img_shape": (64, 64), "ori_shape": (64, 64), "pad_shape": (64, 64), "scale_factor": (1.0, 1.0)}


def test_a_small_object_is_learnt_to_its_pixels():
    """Ten pixels by fourteen, where RTMDet-Ins has two cells of its masks."""
    torch.manual_seed(2)
    head = make_faster(FineMaskRTMDetInsHead(**config()))
    head.init_weights()
    expected = np.zeros((64, 64), bool)
    expected[18:28, 33:47] = True
    covered = [functional.avg_pool2d(torch.tensor(expected).float()[None, None], 64 // side) for side in (8, 4, 2)]
    features = [torch.cat([one, torch.randn(1, 7, *one.shape[2:])], dim=1) for one in covered]
    optimizer = torch.optim.Adam(head.parameters(), 0.003)
    for _ in range(80):
        losses = head.loss_by_feat(*head(features), [truth(slice(18, 28), slice(33, 47))], [META])
        loss = sum(sum(value) if isinstance(value, list) else value for value in losses.values())
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    assert head.prior_generator.strides[0] == (8, 8)
    with torch.no_grad():
        (found,) = head.predict_by_feat(*head(features), batch_img_metas=[META], rescale=True)
    (mask,) = found.masks.numpy()
    assert mask.shape == (64, 64)
    assert (mask & expected).sum() / (mask | expected).sum() > 0.5
    assert np.abs(np.argwhere(mask).mean(0) - np.argwhere(expected).mean(0)).max() < 2


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_masks_have_the_size_of_the_image(scale):
    head = FineMaskRTMDetInsHead(**config())
    meta = META | {"ori_shape": (int(64 / scale), int(64 / scale)), "scale_factor": (scale, scale)}
    with torch.no_grad():
        answers = head([torch.randn(1, 8, side, side) for side in (8, 4, 2)])
        (found,) = head.predict_by_feat(*answers, batch_img_metas=[meta], rescale=True)
    assert answers[3].shape == (1, 8, 16, 16)
    assert found.masks.shape == (1, *meta["ori_shape"])


@pytest.mark.parametrize("most", [1, 3, 100])
def test_an_object_has_so_many_masks_in_the_loss(most):
    objects = torch.tensor([2, 0, 0, 2, 0, 0, 5, 2, 0])
    sampling = SimpleNamespace(pos_inds=torch.arange(9) * 10, pos_priors=torch.rand(9, 4), pos_assigned_gt_inds=objects)
    seen = set()
    for _ in range(60):
        drawn = fine_masks._drawn(sampling, most)
        numbers = drawn.pos_inds // 10
        assert torch.equal(drawn.pos_assigned_gt_inds, objects[numbers])
        assert torch.equal(drawn.pos_priors, sampling.pos_priors[numbers])
        assert torch.bincount(drawn.pos_assigned_gt_inds).tolist() == [min(5, most), 0, min(3, most), 0, 0, 1]
        seen.update(numbers.tolist())
    assert seen == set(range(9))
    empty = SimpleNamespace(
        pos_inds=torch.zeros(0).long(), pos_priors=torch.zeros(0, 4), pos_assigned_gt_inds=torch.zeros(0).long()
    )
    assert len(fine_masks._drawn(empty, most).pos_inds) == 0


def test_true_masks_are_made_smaller_where_answers_are_made_larger():
    """Made smaller and larger again, a mask lies where it lay; single pixels shift it by half a pixel."""
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[0, 16:36, 22:47] = True
    small = fine_masks._shares(mask, 4)
    again = functional.interpolate(small[None], scale_factor=4, mode="bilinear")[0, 0]
    places = torch.arange(64) + 0.5
    for axis, middle in ((1, 26.0), (0, 34.5)):
        weights = again.sum(axis)
        assert float((weights * places).sum() / weights.sum()) == pytest.approx(middle, abs=0.05)


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("counts", [(5, 3), (0, 4), (0, 0)])
def test_the_loss_of_masks_is_mmdetections(counts, stride):
    theirs = RTMDetInsSepBNHead(**config(mask_loss_stride=stride))
    ours = make_faster(copy.deepcopy(theirs))
    generator = torch.Generator().manual_seed(stride)
    features = torch.randn(2, 8, 8, 8, generator=generator)
    kernels = torch.randn(2, 84, theirs.num_gen_params, generator=generator)
    samplings, truths = [], []
    for count in counts:
        priors = torch.rand(3 * count, 4, generator=generator) * 60
        priors[:, 2:] = 8
        samplings.append(
            SimpleNamespace(
                pos_inds=torch.arange(3 * count),
                pos_priors=priors,
                pos_assigned_gt_inds=torch.arange(3 * count) % max(1, count),
            )
        )
        truths.append(SimpleNamespace(masks=torch.rand(count, 64, 64, generator=generator) > 0.5))
    found = []
    for head in (theirs, ours):
        inputs = [value.clone().requires_grad_() for value in (features, kernels)]
        loss = head.loss_mask_by_feat(*inputs, samplings, truths)
        loss.backward()
        found.append([loss.detach(), inputs[0].grad, inputs[1].grad])
    for expected, value in zip(*found, strict=True):
        if expected is not None:
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
