"""Masks that are made small a few at a time are those of MMDetection, bit by bit, whatever the head."""

import sys

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from instance_segmentation_pipeline.detection.masks import encode_masks
from instance_segmentation_pipeline.inference.detector import Detector
from instance_segmentation_pipeline.models import later_masks
from instance_segmentation_pipeline.models.built_model import complete
from instance_segmentation_pipeline.models.config_tree import walk
from instance_segmentation_pipeline.models.later_masks import LaterMasks, encoded, masks_later
from instance_segmentation_pipeline.models.mmdet_compat import MODELS
from instance_segmentation_pipeline.models.outputs import to_prediction
from instance_segmentation_pipeline.models.prepare import ModelRequest, prepare
from tests.support.project import REPOSITORY
from tests.support.small_models import shrunken

sys.path.insert(0, str(REPOSITORY / "tools"))
from zoo_check import INSTANCES


def eager(name, folder):
    """Return a small net of an architecture with random weights that finds objects in noise, and its pipeline."""
    shrunken(name).dump(str(folder / "native.py"))
    request = ModelRequest("native.py", folder, ("a", "b"), shapes=((256, 256),), pretrained=False)
    finished = prepare(request)
    for path, node in walk(finished.config.model):
        if "test_cfg" in path and "score_thr" in node:
            node["score_thr"] = 0.0
        for key in ("filter_thr", "mask_thr_binary", "mask_thr"):
            if "test_cfg" in path and key in node:
                node[key] = 0.0 if key == "filter_thr" else 0.01 if "solo_" in name else 0.3
        for key in ("max_per_img", "max_per_image"):
            if "test_cfg" in path and key in node and not path.endswith("rpn") and "query" not in name:
                node[key] = 19
    init_default_scope("mmdet")
    torch.manual_seed(3)
    net = complete(MODELS.build(finished.config.model))
    MMLogger.get_instance("mmdet").setLevel("ERROR")
    net.init_weights()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "mask" in name and parameter.ndim > 1 and "mask_iou" not in name:
                parameter.mul_(3)
    return net.eval(), finished


@pytest.mark.parametrize("name", INSTANCES)
def test_masks_are_those_of_mmdetection(name, tmp_path, monkeypatch):
    net, finished = eager(name, tmp_path)
    detector = Detector(net, finished.val_pipeline, True)
    image = np.random.default_rng(5).integers(0, 255, (150, 203, 3), np.uint8)
    batch = detector.packed(image)
    batch = {key: [batch[key]] for key in ("inputs", "data_samples")}
    with torch.no_grad():
        plain = net(**net.data_preprocessor(batch, False), mode="predict")[0].pred_instances
    masks = plain.masks.numpy()
    monkeypatch.setattr(later_masks, "LEAST", 0)
    monkeypatch.setattr(later_masks, "AT_A_TIME", 4 * 150 * 203)
    made, computed = [], LaterMasks.dense
    monkeypatch.setattr(LaterMasks, "dense", lambda self: made.append(self.shape) or computed(self))
    with torch.no_grad(), masks_later():
        later = net(**net.data_preprocessor(batch, False), mode="predict")[0].pred_instances
    assert not isinstance(later.masks, torch.Tensor)
    assert all(tuple(shape[-2:]) != (150, 203) for shape in made), made
    found = to_prediction(later, True)
    assert len(plain) >= 2
    np.testing.assert_array_equal(found["labels"], plain.labels.numpy())
    np.testing.assert_array_equal(found["scores"], plain.scores.numpy())
    assert masks.any() or "detectors" in name  # its random boxes cover no pixel
    assert found["masks"] == encode_masks(masks.astype(np.uint8))


def later_of(maps):
    with torch.no_grad(), masks_later():
        return torch.nn.functional.interpolate(maps, scale_factor=2, mode="bilinear")


STEPS = {
    "compared": lambda x: x.sigmoid().squeeze(0) > 0.5,
    "cut": lambda x: (x[..., :9, 1:-2] >= 0)[0],
    "chosen by numbers": lambda x: x[0][torch.tensor([4, 0, 0, 2])] > 0,
    "chosen by booleans": lambda x: (x.squeeze(0) > 0)[torch.tensor([True, False, True, True, False])],
    "turned about": lambda x: x[0][:, None][:, 0].float() < 0.1,
    "enlarged again": lambda x: torch.nn.functional.interpolate(x, size=(31, 17), mode="bilinear").squeeze(0) > 0,
    "padded": lambda x: torch.nn.functional.pad(x, (0, 1, 0, 2), mode="replicate")[0] <= 0.2,
    "multiplied": lambda x: x[0].sigmoid() * (x[0] > 0).float(),
    "summed": lambda x: (x[0].sigmoid() * (x[0] > 0).float()).flatten(1).sum(1),
    "any": lambda x: torch.any(x[0] > 1.5, dim=2),
    "unknown": lambda x: torch.roll(x[0], 3, 1) > 0,
    "changed in place": lambda x: changed(x[0] > 0),
    "with another tensor": lambda x: torch.full((), 2.0) * x[0],
    "summed over objects": lambda x: x[0].sum(0),
    "one of several": lambda x: next(iter(x.transpose(0, 1)))[0],
    "none left": lambda x: x[0][torch.zeros(5, dtype=torch.bool)] > 0,
}


def changed(masks):
    masks[torch.tensor([1, 3])] = False
    return masks


@pytest.mark.parametrize("name", STEPS)
def test_what_is_done_to_masks_later_is_what_is_done_to_a_tensor(name, monkeypatch):
    monkeypatch.setattr(later_masks, "AT_A_TIME", 100)
    monkeypatch.setattr(later_masks, "LEAST", 1)
    maps = torch.randn(1, 5, 8, 7, generator=torch.Generator().manual_seed(1))
    expected = STEPS[name](torch.nn.functional.interpolate(maps, scale_factor=2, mode="bilinear"))
    later = later_of(maps)
    assert isinstance(later, LaterMasks)
    with torch.no_grad():
        answer = STEPS[name](later)
    assert (answer.shape, answer.dtype) == (expected.shape, expected.dtype)
    if isinstance(answer, LaterMasks) and not answer.is_dense:
        torch.testing.assert_close(torch.cat(list(answer.chunks())), expected, rtol=0, atol=0)
        if answer.dtype == torch.bool:
            assert encoded(answer) == encoded(expected)
        answer = answer.dense()
    else:
        answer = answer.dense() if isinstance(answer, LaterMasks) else answer
    torch.testing.assert_close(answer, expected, rtol=0, atol=0)


def test_small_interpolations_and_those_that_learn_are_done_at_once(monkeypatch):
    maps = torch.randn(1, 5, 8, 7)
    assert isinstance(later_of(maps), torch.Tensor)
    monkeypatch.setattr(later_masks, "LEAST", 1)
    with masks_later():
        assert isinstance(torch.nn.functional.interpolate(maps.requires_grad_(), scale_factor=2), torch.Tensor)
    assert isinstance(torch.nn.functional.interpolate(maps, scale_factor=2), torch.Tensor)


def test_boxes_of_an_image_with_one_outside_are_those_of_the_image():
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead

    from instance_segmentation_pipeline.models.cpu_mask_heads import make_cpu_safe

    model = {"mask_head": {"type": "FCNMaskHead"}}
    make_cpu_safe(model)
    options = {"num_convs": 0, "in_channels": 4, "conv_out_channels": 4, "num_classes": 1}
    head, plain = MODELS.get(model["mask_head"]["type"])(**options), FCNMaskHead(**options)
    meta = {"img_shape": (40, 60), "ori_shape": (80, 120), "scale_factor": (0.5, 0.5)}
    boxes = torch.tensor([[2.0, 3, 20, 30], [70, 3, 90, 30], [30, 5, 55, 35]])
    labels, config = torch.zeros(3, dtype=torch.int64), {"mask_thr_binary": 0.5}
    predictions = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(2))

    class Config(dict):
        __getattr__ = dict.__getitem__

    arguments = {"img_meta": meta, "rcnn_test_cfg": Config(config), "rescale": True}
    changed_boxes, of_others = boxes.clone(), boxes[[0, 2]].clone()
    masks = head._predict_by_feat_single(predictions, changed_boxes, labels, **arguments)
    expected = plain._predict_by_feat_single(predictions[[0, 2]], of_others, labels[[0, 2]], **arguments)
    torch.testing.assert_close(masks[[0, 2]], expected, rtol=0, atol=0)
    assert not masks[1].any()
    torch.testing.assert_close(changed_boxes, boxes * 2, rtol=0, atol=0)
    torch.testing.assert_close(of_others, boxes[[0, 2]] * 2, rtol=0, atol=0)
    with masks_later():
        again = boxes.clone()
        rles = head._predict_by_feat_single(predictions, again, labels, **arguments)
    assert rles == encode_masks(masks.numpy())
    torch.testing.assert_close(again, changed_boxes, rtol=0, atol=0)
