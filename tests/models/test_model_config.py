"""Native configs made an experiment's own: classes, shape, schedule, learning rate, initial weights."""

from pathlib import Path

import pytest
from mmengine.config import Config

from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.models.config_file import locate, read_native
from instance_segmentation_pipeline.models.config_options import apply_options
from instance_segmentation_pipeline.models.config_tree import walk
from instance_segmentation_pipeline.models.optimization import OptimizerRequest
from instance_segmentation_pipeline.models.prepare import ModelRequest, prepare
from instance_segmentation_pipeline.models.schedule import schedule
from instance_segmentation_pipeline.zoo.catalogue import successor_of
from tests.support.project import SMALL_CONFIG

RTMDET = "mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py"
MASK_RCNN = "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"
FASTER_RCNN = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
CAFFE = "mmdet::mask_rcnn/mask-rcnn_r50-caffe_fpn_1x_coco.py"
NAMES = ("a", "b", "c")


def request(config, **changes):
    return ModelRequest(config_path=config, base=Path("."), class_names=NAMES, **changes)


def step(pipeline, kind):
    return next(entry for entry in pipeline if entry["type"] == kind)


@pytest.mark.parametrize("config", [RTMDET, MASK_RCNN, FASTER_RCNN])
def test_classes_reach_every_head(config):
    model = prepare(request(config)).config.model
    found = [node["num_classes"] for _, node in walk(model) if "num_classes" in node]
    assert found
    assert set(found) == {3}


@pytest.mark.parametrize(("config", "masks"), [(RTMDET, True), (MASK_RCNN, True), (FASTER_RCNN, False)])
def test_models_with_masks_are_told_by_structure(config, masks):
    assert prepare(request(config)).needs_masks is masks


def test_shape_of_mask_rcnn():
    finished = prepare(request(MASK_RCNN, shapes=[(400, 600)]))
    assert step(finished.train_pipeline, "Resize")["scale"] == (600, 400)
    assert step(finished.val_pipeline, "Resize")["scale"] == (600, 400)


def test_shape_of_rtmdet_keeps_the_proportions_of_its_augmentation():
    finished = prepare(request(RTMDET, shapes=[(160, 320)]))
    train = finished.train_pipeline
    assert step(train, "CachedMosaic")["img_scale"] == (256, 256)  # a square of about the area of 160 x 320
    assert step(train, "RandomResize")["scale"] == (640, 320)
    assert step(train, "RandomCrop")["crop_size"] == (320, 160)
    assert step(train, "Pad")["size"] == (320, 160)
    switched = next(hook for hook in finished.config.custom_hooks if "switch_pipeline" in hook)["switch_pipeline"]
    assert step(switched, "RandomResize")["scale"] == (320, 160)
    assert switched[0]["type"] != "LoadImageFromFile"


def test_padded_sizes_divide_by_the_stride():
    train = prepare(request(RTMDET, shapes=[(100, 100)])).train_pipeline
    assert step(train, "Pad")["size"] == (128, 128)
    assert step(train, "RandomCrop")["crop_size"] == (100, 100)


def test_without_shape_the_native_sizes_stay():
    assert step(prepare(request(MASK_RCNN)).train_pipeline, "Resize")["scale"] == (1333, 800)


def test_loading_is_left_to_our_dataset_and_truth_is_kept():
    finished = prepare(request(MASK_RCNN))
    kinds = {entry["type"] for entry in finished.train_pipeline + finished.val_pipeline}
    assert not kinds & {"LoadImageFromFile", "LoadAnnotations"}
    assert "truth" in step(finished.val_pipeline, "PackDetInputs")["meta_keys"]


def test_milestones_scale_to_the_stage():
    finished = schedule(prepare(request(MASK_RCNN)), epochs=3, iterations=100)
    warm_up, steps = finished.config.param_scheduler
    assert warm_up["end"] == 60  # 500 iterations would outlast the stage: a fifth of it at most
    assert steps["milestones"] == [200, 275]  # epochs 8 and 11 of 12
    assert steps["by_epoch"] is False
    assert finished.config.train_cfg.max_epochs == 3


def test_a_long_stage_keeps_the_warm_up():
    warm_up = schedule(prepare(request(MASK_RCNN)), epochs=12, iterations=1000).config.param_scheduler[0]
    assert warm_up["end"] == 500


def test_rtmdet_schedule_and_switch_epoch():
    config = schedule(prepare(request(RTMDET)), epochs=30, iterations=10).config
    cosine = config.param_scheduler[1]
    assert (cosine["begin"], cosine["end"], cosine["T_max"]) == (150, 300, 150)
    assert [hook["switch_epoch"] for hook in config.custom_hooks if "switch_epoch" in hook] == [28]


def test_preparing_twice_does_not_add_up():
    finished = prepare(request(MASK_RCNN))
    first, second = (schedule(finished, 3, 100, 0.01).config for _ in range(2))
    assert first.pretty_text == second.pretty_text


def test_learning_rate_scales_with_the_batch():
    assert prepare(request(MASK_RCNN)).config.optim_wrapper.optimizer.lr == pytest.approx(0.02 / 16)
    assert prepare(request(MASK_RCNN, images_per_gpu=4)).config.optim_wrapper.optimizer.lr == pytest.approx(0.02 / 4)


def test_lr_of_the_yaml_and_of_the_stage_win():
    finished = prepare(request(RTMDET, optimization=OptimizerRequest(lr=0.01)))
    assert finished.config.optim_wrapper.optimizer.lr == 0.01
    config = schedule(finished, 10, 10, lr=0.001).config
    assert config.optim_wrapper.optimizer.lr == 0.001
    assert config.param_scheduler[1]["eta_min"] == pytest.approx(0.001 * 0.05)


def test_optimizer_by_name_and_by_mapping():
    other = prepare(request(MASK_RCNN, optimization=OptimizerRequest(optimizer="AdamW"))).config.optim_wrapper.optimizer
    assert dict(other) == {"type": "AdamW", "lr": 0.001}
    same = prepare(
        request(MASK_RCNN, optimization=OptimizerRequest(optimizer={"type": "SGD", "momentum": 0.8}))
    ).config.optim_wrapper.optimizer
    assert same.momentum == 0.8
    assert same.weight_decay == 0.0001
    with pytest.raises(ConfigError, match=r"optimizer 'AdamV' is not known \(did you mean 'Adam"):
        prepare(request(MASK_RCNN, optimization=OptimizerRequest(optimizer="AdamV")))


def test_pretrained_false_undoes_what_needs_pretrained_weights():
    backbone = prepare(request(CAFFE, pretrained=False)).config.model.backbone
    assert backbone.init_cfg is None
    assert backbone.frozen_stages == -1
    assert backbone.norm_eval is False
    assert backbone.norm_cfg.requires_grad is True


def test_weights_path_replaces_the_initial_weights_only():
    backbone = prepare(request(MASK_RCNN, has_weights=True)).config.model.backbone
    assert backbone.init_cfg is None
    assert backbone.frozen_stages == 1


def test_decisions_are_told():
    text = "\n".join(schedule(prepare(request(MASK_RCNN, shapes=[(400, 600)])), 3, 100).decisions)
    for part in ("classes: 3 in model.roi_head.bbox_head", "height 400, width 600 in place of 800, 1333"):
        assert part in text
    assert "schedule: 3 epochs of 100 iterations in place of the config's 12 epochs" in text
    assert "initial weights: torchvision://resnet50" in text


def test_options_reach_the_config_and_have_the_last_word():
    options = {"model.rpn_head.loss_bbox.loss_weight": 2.0, "train_dataloader.num_workers": 3}
    config = prepare(request(MASK_RCNN, options=options)).config
    assert config.model.rpn_head.loss_bbox.loss_weight == 2.0
    assert config.train_dataloader.num_workers == 3


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model.roi_hed.type", r"model has no 'roi_hed' \(did you mean 'roi_head'\?\)"),
        ("modle", r"'modle' is not in the config \(did you mean 'model'\?\)"),
        ("model.type.name", "model.type holds a value, not keys"),
    ],
)
def test_an_option_off_the_config_is_an_error(key, message):
    with pytest.raises(ConfigError, match=message):
        apply_options(Config({"model": {"type": "MaskRCNN", "roi_head": {"type": "StandardRoIHead"}}}), {key: 1})


def test_paths_are_relative_to_the_yaml(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "own.py").write_text(f"_base_ = {str(SMALL_CONFIG)!r}\n")
    assert locate("configs/own.py", tmp_path) == tmp_path / "configs" / "own.py"
    assert read_native(locate("configs/own.py", tmp_path)).model.type == "RTMDet"


def test_missing_configs_are_told_with_a_way_out(tmp_path):
    with pytest.raises(ConfigError, match="nope.py was looked for"):
        locate("nope.py", tmp_path)
    with pytest.raises(ConfigError, match="did you mean .*rtmdet-ins_tiny_8xb32-300e_coco"):
        locate("mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_cocoo.py", tmp_path)


OLD = {
    "1.x": "model = dict(type='MaskRCNN', pretrained='x')\ndata = dict(imgs_per_gpu=2, train=dict())\noptimizer = dict()\n",
    "2.x": "model = dict(type='MaskRCNN')\ndata = dict(samples_per_gpu=2, train=dict())\noptimizer = dict()\n",
}


@pytest.mark.parametrize("generation", OLD)
def test_configs_of_older_mmdetection_are_named_with_their_successor(tmp_path, generation):
    path = tmp_path / "htc_dconv_c3-c5_mstrain_400_1400_x101_64x4d_fpn_20e-1.py"
    path.write_text(OLD[generation])
    with pytest.raises(ConfigError) as caught:
        read_native(path)
    assert f"is a config of MMDetection {generation}" in str(caught.value)
    assert "mmdet::htc/htc_x101-64x4d-dconv-c3-c5_fpn_ms-400-1400-16xb1-20e_coco.py" in str(caught.value)


def test_old_config_with_missing_bases_is_recognised_too(tmp_path):
    path = tmp_path / "mask_rcnn_r50_fpn_1x.py"
    path.write_text("_base_ = '../nowhere.py'\ndata = dict(samples_per_gpu=2)\n")
    with pytest.raises(ConfigError, match=r"2\.x.*mask-rcnn_r50_fpn_1x_coco"):
        read_native(path)


def test_a_config_without_model(tmp_path):
    path = tmp_path / "c.py"
    path.write_text("x = 1\n")
    with pytest.raises(ConfigError, match="has no model"):
        read_native(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mask_rcnn_r50_fpn_1x", "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"),
        ("faster_rcnn_r50_fpn_1x", "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"),
    ],
)
def test_successors(old, new):
    assert successor_of(old) == new


def test_what_comes_out_of_a_fitted_pipeline_has_the_shape(tmp_path):
    """Sizes are in the order that each transform reads them in: a wide shape gives wide images."""
    from instance_segmentation_pipeline.data.item_reader import ItemReader
    from instance_segmentation_pipeline.training.detection_dataset import MusketDetectionDataset
    from tests.support.datasets import shapes

    reader = ItemReader(3, "yxyx", "dataset", True)
    for config in (str(SMALL_CONFIG), RTMDET):
        finished = prepare(request(config, shapes=[(64, 128)]))
        for pipeline, training in ((finished.train_pipeline, True), (finished.val_pipeline, False)):
            dataset = MusketDetectionDataset(shapes(8), range(8), reader, pipeline, NAMES, training=training)
            for number in range(24):
                data = dataset[number % 8]
                assert tuple(data["inputs"].shape) == (3, 64, 128)
                assert data["data_samples"].gt_instances.masks.masks.shape[1:] == (64, 128)
