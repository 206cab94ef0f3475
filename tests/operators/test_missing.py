"""A model that needs an operator which is not there: the config that wanted it, and what to do."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from musket_core import generic

from instance_segmentation_pipeline.errors import UserError
from instance_segmentation_pipeline.inference.detector import Detector
from instance_segmentation_pipeline.operators.extension import operators
from tests.support.datasets import shapes
from tests.support.operators_in_torch import operators_in_torch
from tests.support.small_models import shrunken

pytestmark = pytest.mark.slow


def test_training_names_the_config_and_the_operator(tmp_path):
    native = shrunken("mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py")
    native.model.roi_head.bbox_roi_extractor.roi_layer = {"type": "PrRoIPool", "output_size": 7}
    native.dump(str(tmp_path / "native.py"))
    (tmp_path / "config.yaml").write_text(
        "#%Musket MMDetection 1.0\nconfigPath: native.py\npretrained: false\nclasses: 3\nshape: [64, 64]\n"
        "imagesPerGpu: 2\nstages:\n  - epochs: 1\n"
    )
    cfg = generic.parse(str(tmp_path / "config.yaml"))
    with operators_in_torch(), pytest.raises(UserError) as caught:
        cfg.fit(shapes(6, 64, 1))
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(tmp_path / "native.py"), "'prroi_pool_forward'", "compile MMCV"):
        assert part in message


def test_predicting_names_the_config(tmp_path):
    (tmp_path / "native.py").write_text("")

    class Net(torch.nn.Module):
        cfg = Config({"model": {}}, filename=str(tmp_path / "native.py"))

        def data_preprocessor(self, batch, training):
            return batch

        def forward(self, **given):
            return operators()["line_nms_forward"]()

    detector = Detector(Net(), [{"type": "mmdet.PackDetInputs", "meta_keys": ()}], True)
    with pytest.raises(UserError, match="native.py.*'line_nms_forward'.*compile MMCV"):
        detector.detect([np.zeros((8, 8, 3), np.uint8)])
