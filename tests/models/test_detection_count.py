"""``maxDetections`` in the zoo's models: everywhere a model has a limit, or refused where queries are it."""

import pytest
from mmengine.config import Config

from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.models.config_tree import value_at
from instance_segmentation_pipeline.models.detection_count import detection_limits, set_detection_count
from instance_segmentation_pipeline.models.prepare import ModelRequest, prepare
from instance_segmentation_pipeline.zoo.catalogue import zoo_folder

RCNN = "test_cfg.rcnn.max_per_img"
MODELS = {
    "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py": (RCNN, {"test_cfg.rpn.max_per_img": 1000, "test_cfg.rpn.nms_pre": 1000}),
    "cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py": (RCNN, {"test_cfg.rpn.max_per_img": 1000}),
    "htc/htc_r50_fpn_1x_coco.py": (RCNN, {"test_cfg.rpn.max_per_img": 1000}),
    "point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py": (RCNN, {}),
    "ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco.py": (RCNN, {}),
    "detectors/detectors_htc-r50_1x_coco.py": (RCNN, {}),
    "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py": ("test_cfg.max_per_img", {"test_cfg.nms_pre": 1000}),
    "solo/solo_r50_fpn_1x_coco.py": ("test_cfg.max_per_img", {"test_cfg.nms_pre": 500}),
    "solov2/solov2_r50_fpn_1x_coco.py": ("test_cfg.max_per_img", {"test_cfg.nms_pre": 500}),
    "condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py": ("test_cfg.max_per_img", {"test_cfg.nms_pre": 1000}),
    "boxinst/boxinst_r50_fpn_ms-90k_coco.py": ("test_cfg.max_per_img", {}),
    "yolact/yolact_r50_1xb8-55e_coco.py": ("test_cfg.max_per_img", {"test_cfg.top_k": 200}),
}


def model_of(name):
    return Config.fromfile(str(zoo_folder() / name)).model


@pytest.mark.parametrize("count", [7, 300, 2000])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_what_is_set(name, count):
    key, candidates = MODELS[name]
    model = model_of(name)
    line = set_detection_count(model, count)
    assert f"detections: {count} an image" in line
    assert value_at(model, key) == count
    for other, native in candidates.items():
        assert value_at(model, other) == max(native, count)
    assert min(detection_limits(model).values()) == count


QUERIES = {
    "mask2former/mask2former_r50_8xb2-lsj-50e_coco.py": (100, "panoptic_head.num_queries"),
    "queryinst/queryinst_r50_fpn_1x_coco.py": (100, "rpn_head.num_proposals"),
    "detr/detr_r50_8xb2-150e_coco.py": (100, "num_queries"),
}


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_queries_are_a_hard_limit(name):
    limit, key = QUERIES[name]
    with pytest.raises(ConfigError, match=rf"the model has {limit} queries.*model\.{key} by configOptions"):
        set_detection_count(model_of(name), limit + 1)
    model = model_of(name)
    set_detection_count(model, limit - 1)
    assert min(detection_limits(model).values()) == limit - 1


def test_a_model_that_says_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"the config of Strange does not say how many objects"):
        set_detection_count({"type": "Strange", "test_cfg": {"score_thr": 0.1}}, 5)


def test_beside_config_options(tmp_path):
    def made(value):
        options = {"model.test_cfg.max_per_img": value}
        name = "mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py"
        return prepare(ModelRequest(name, tmp_path, ["a"], pretrained=False, options=options, max_detections=300))

    assert made(300).config.model.test_cfg.max_per_img == 300
    with pytest.raises(ConfigError, match="overwritten by maxDetections"):
        made(200)


@pytest.mark.parametrize("value", [0, -1, 1.0, 2.5, True, "all", "100", [100], {}, 10_001, 10**20, "", float("nan")])
def test_a_wrong_value_is_named(value):
    with pytest.raises(ConfigError, match="maxDetections is .*whole number from 1 to 10000"):
        check_properties({"configPath": "a.py", "stages": [{"epochs": 1}], "maxDetections": value})
