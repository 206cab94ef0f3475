"""``configOptions``: each acts, or is refused with the name of what does its job."""

from pathlib import Path

import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.models.optimization import OptimizerRequest
from instance_segmentation_pipeline.models.prepare import ModelRequest, prepare
from instance_segmentation_pipeline.models.schedule import iterations_of
from instance_segmentation_pipeline.storage.metrics_csv import read_rows

RTMDET = "mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py"
MASK_RCNN = "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"
CASCADE = "mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py"

REFUSED = {
    "default_hooks.checkpoint.interval": (2, "primary_metric"),
    "default_hooks.logger.interval": (10, "metrics/"),
    "default_hooks.visualization.draw": (True, "examples/"),
    "visualizer.vis_backends": ([{"type": "TensorboardVisBackend"}], "examples/"),
    "vis_backends": ([{"type": "TensorboardVisBackend"}], "examples/"),
    "train_cfg.max_epochs": (3, "epochs in stages"),
    "train_cfg.val_interval": (3, "each epoch is validated"),
    "val_evaluator.metric": ("bbox", "final_metrics"),
    "test_evaluator.metric": ("bbox", "final_metrics"),
    "val_cfg.type": ("ValLoop", "each epoch is validated"),
    "test_cfg.type": ("TestLoop", "model.test_cfg"),
    "test_dataloader.batch_size": (4, "inference_batch"),
    "load_from": ("a.pth", "weightsPath"),
    "resume": (True, "--allow_resume"),
    "work_dir": ("elsewhere", "beside config.yaml"),
    "log_level": ("DEBUG", "logs/"),
    "launcher": ("pytorch", "gpus_per_net"),
    "optim_wrapper.optimizer.lr": (0.1, "set lr"),
    "optim_wrapper.optimizer.params": ([], "paramwise_cfg"),
    "auto_scale_lr.enable": (True, "unless lr is set"),
    "train_dataloader.dataset.filter_cfg.min_size": (8, "the items are those of dataset"),
    "train_dataloader.dataset.ann_file": ("a.json", "the items are those of dataset"),
    "val_dataloader.dataset.data_root": ("data/", "the items are those of dataset"),
    "train_pipeline": ([], "train_dataloader.dataset.pipeline"),
    "test_pipeline": ([], "val_dataloader.dataset.pipeline"),
    "data_root": ("data/", "dataset"),
    "dataset_type": ("CocoDataset", "dataset"),
    "backend_args": ("local", "has read that variable already"),
    "model.roi_head.bbox_head.num_classes": (7, "set classes"),
    "model.test_cfg.rcnn.scor_thr": (0.1, r"no part of the model reads 'scor_thr' \(did you mean 'score_thr'\?\)"),
    "model.train_cfg.rpn_proposal.nms_pree": (10, r"did you mean 'nms_pre'\?"),
    "model.train_cfg.rcnn.mask_sise": (14, r"did you mean 'mask_size'\?"),
}
KEPT = {
    "model.test_cfg.rcnn.score_thr": 0.2,
    "model.test_cfg.rcnn.mask_thr_binary": 0.4,
    "model.test_cfg.rcnn.nms.type": "soft_nms",
    "model.test_cfg.rpn.min_bbox_size": 3,
    "model.train_cfg.rcnn.assigner.pos_iou_thr": 0.6,
    "model.roi_head.bbox_head.loss_cls.loss_weight": 2.0,
    "model.backbone.depth": 101,
    "optim_wrapper.optimizer.weight_decay": 0.5,
    "optim_wrapper.clip_grad": {"max_norm": 1.0},
    "train_dataloader.drop_last": True,
    "train_dataloader.sampler.shuffle": False,
    "default_hooks.timer.type": "IterTimerHook",
    "env_cfg.cudnn_benchmark": True,
    "param_scheduler.1.gamma": 0.5,
    "train_dataloader.dataset.pipeline.2.keep_ratio": False,
    "custom_hooks": [{"type": "EMAHook"}],
    "model.rpn_head.anchor_generator.scales": [4],
}
OF_RTMDET = {
    "max_epochs": (3, "epochs in stages"),
    "base_lr": (0.1, "set lr"),
    "stage2_num_epochs": (2, "custom_hooks"),
    "tta_pipeline": ([], "testTimeAugmentation"),
    "tta_model.type": ("DetTTAModel", "testTimeAugmentation"),
    "model.test_cfg.max_per_image": (5, r"did you mean 'max_per_img'\?"),
}


def prepared(config, options, **changes):
    return prepare(
        ModelRequest(config_path=config, base=Path("."), class_names=("a", "b", "c"), options=options, **changes)
    )


@pytest.mark.parametrize("key", REFUSED)
def test_what_would_do_nothing_is_refused(key):
    value, message = REFUSED[key]
    with pytest.raises(ConfigError, match=f"configOptions: '{key}'.*{message}"):
        prepared(MASK_RCNN, {key: value})


@pytest.mark.parametrize("key", OF_RTMDET)
def test_variables_of_a_config_are_refused(key):
    value, message = OF_RTMDET[key]
    with pytest.raises(ConfigError, match=message):
        prepared(RTMDET, {key: value})


@pytest.mark.parametrize("key", KEPT)
def test_what_acts_is_in_the_finished_config(key):
    config = prepared(MASK_RCNN, {key: KEPT[key]}, device="cpu").config
    if ".dataset." in key:
        return
    node = config
    for part in key.split("."):
        node = node[int(part)] if isinstance(node, (list, tuple)) else node[part]
    assert node == KEPT[key] or set(KEPT[key]) <= set(node)


def test_mappings_are_looked_into():
    with pytest.raises(ConfigError, match=r"'default_hooks\.checkpoint\.interval' would do nothing"):
        prepared(MASK_RCNN, {"default_hooks": {"checkpoint": {"interval": 3}}})
    assert prepared(MASK_RCNN, {"train_dataloader": {"batch_size": 6}}).config.train_dataloader.batch_size == 6
    with pytest.raises(ConfigError, match=r"'model\.roi_head\.bbox_head\.1\.num_classes' would be .* set classes"):
        prepared(CASCADE, {"model.roi_head.bbox_head.1.num_classes": 7})


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({"model.backbone.frozen_stages": 2}, {"pretrained": False}, "by pretrained: false"),
        ({"model.backbone.init_cfg.checkpoint": "torchvision://resnet18"}, {"pretrained": False}, "pretrained"),
        ({"model.backbone.init_cfg.checkpoint": "torchvision://resnet18"}, {"has_weights": True}, "weightsPath"),
        (
            {"optim_wrapper.optimizer.momentum": 0.5},
            {"optimization": OptimizerRequest(optimizer="AdamW")},
            "by optimizer",
        ),
    ],
)
def test_an_option_that_a_property_overwrites_names_it(options, changes, message):
    with pytest.raises(ConfigError, match=f"is overwritten .*{message}"):
        prepared(MASK_RCNN, options, **changes)


@pytest.mark.parametrize(
    ("options", "items", "world", "steps"),
    [
        ({}, 10, 1, 5),
        ({}, 11, 1, 6),
        ({"train_dataloader.batch_size": 4}, 11, 1, 3),
        ({"train_dataloader.drop_last": True}, 11, 1, 5),
        ({"train_dataloader.batch_size": 4, "train_dataloader.drop_last": True}, 11, 2, 1),
        ({}, 11, 2, 3),
    ],
)
def test_steps_of_an_epoch_are_those_of_the_finished_dataloader(options, items, world, steps):
    assert iterations_of(prepared(MASK_RCNN, options, images_per_gpu=2).config, items, world) == steps


def test_the_learning_rate_is_scaled_to_the_real_batch():
    config = prepared(MASK_RCNN, {"train_dataloader.batch_size": 8}, images_per_gpu=1).config
    assert config.optim_wrapper.optimizer.lr == pytest.approx(0.02 * 8 / 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_dataloader.sampler.type": "InfiniteSampler"}, "whose epochs have no known length"),
        ({"train_dataloader.drop_last": True, "train_dataloader.batch_size": 64}, "leaves no batch"),
    ],
)
def test_epochs_without_length_or_batch_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        iterations_of(prepared(MASK_RCNN, options).config, 12, 1)


@pytest.mark.slow
def test_a_batch_of_the_options_decides_the_schedule_that_is_trained(add_experiment, capsys):
    path = add_experiment(
        replace=[
            ("configOptions:", "configOptions:\n  train_dataloader.batch_size: 3\n  train_dataloader.drop_last: true")
        ]
    )
    generic.parse(str(path)).fit()
    out = capsys.readouterr().out
    assert "1 epochs of 3 iterations" in out
    assert len(read_rows(path.parent / "metrics" / "metrics-0.0.csv")) == 1
