"""Families of the zoo, shrunken: a step in channels-last memory is the plain one but for rounding, one in bfloat16 near."""

import copy
import random

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope

from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.models.config_tree import walk
from instance_segmentation_pipeline.models.memory_format import CHANNELS_LAST_KEY
from instance_segmentation_pipeline.models.prepare import ModelRequest, prepare
from instance_segmentation_pipeline.models.reduced_precision import WRAPPER, ReducedPrecisionWrapper
from instance_segmentation_pipeline.models.speed import is_measured
from instance_segmentation_pipeline.models.training_model import ready_to_train
from instance_segmentation_pipeline.training.detection_dataset import MusketDetectionDataset
from tests.support.datasets import shapes
from tests.support.small_models import shrunken

pytestmark = pytest.mark.zoo

NAMES = ("disc", "square", "triangle")
FAMILIES = (
    "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py",
    "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py",
    "mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
    "solov2/solov2_r50_fpn_1x_coco.py",
    "deformable_detr/deformable-detr_r50_16xb2-50e_coco.py",
)


def loss_of(model, batch, wrapper):
    """Return the loss of a step, random numbers being the same each time."""
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(1)
    return float(model.train_step(copy.deepcopy(batch), wrapper)["loss"].detach())


def layouts(optimizer):
    """Return type and strides of each gradient, and the strides of its weight, which a fused kernel takes for the same."""
    weights = [one for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
    return [(one.grad.dtype, strides(one.grad), strides(one)) for one in weights]


def strides(tensor):
    """Return the strides of the dimensions that are wider than 1: others lie anyhow."""
    return [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_is_the_same_in_any_layout_and_near_in_bfloat16(name, tmp_path):
    shrunken(name).dump(str(tmp_path / "native.py"))
    asked = ModelRequest("native.py", tmp_path, NAMES, shapes=[(96, 96)], pretrained=False, native_pipeline=False)
    finished = prepare(asked)
    config = finished.config
    assert is_measured(config.model)
    reader = ItemReader(3, "yxyx", "dataset", finished.needs_masks)
    items = MusketDetectionDataset(shapes(2), range(2), reader, finished.train_pipeline, NAMES, training=True)
    batch = pseudo_collate([items[0], items[1]])
    init_default_scope("mmdet")
    torch.manual_seed(0)
    for _, node in walk(config.model):
        node.pop("pretrained", None)
    native = MODELS.build(copy.deepcopy(config.model))
    native.init_weights()
    losses = {}
    for way, laid, kind in (("plain", False, "OptimWrapper"), ("laid", True, "OptimWrapper"), ("bf16", True, WRAPPER)):
        config[CHANNELS_LAST_KEY], config.optim_wrapper.type = laid, kind
        model = ready_to_train(copy.deepcopy(native), config).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=laid)
        wrapper = {WRAPPER: ReducedPrecisionWrapper}.get(kind, OptimWrapper)(optimizer, clip_grad={"max_norm": 10})
        seen = []
        optimizer.register_step_pre_hook(lambda optimizer, *_, seen=seen: seen.extend(layouts(optimizer)))
        losses[way] = loss_of(model, batch, wrapper)
        assert seen
        assert all(dtype == torch.float32 and gradient == weight for dtype, gradient, weight in seen)
        assert all(torch.isfinite(one).all() for one in model.parameters())
    assert losses["laid"] == pytest.approx(losses["plain"], rel=1e-3)
    assert losses["bf16"] == pytest.approx(losses["plain"], rel=3e-2)
    assert losses["bf16"] != losses["plain"]
