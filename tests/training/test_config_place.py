"""What cannot be built is told by its place in the config, with the names that come near."""

import pytest
from mmengine.config import Config
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.training.config_place import place_of
from tests.support.datasets import shapes

PLACE = "  model.bbox_head.feat_channels: 32\n"
PLACES = {
    "model.neck.nonsense: 1": "correct model.neck.nonsense in configOptions.",
    "model.backbone.deepen_facter: 1": "correct model.backbone.deepen_facter (did you mean 'deepen_factor'?) in",
    "model.backbone.type: Zzzzzz": "correct model.backbone.type in configOptions.",
    "model.backbone.type: CSPNext": "correct model.backbone.type (did you mean 'CSPNeXt'?) in configOptions.",
    "model.type: RTMDett": "correct model.type (did you mean 'RTMDet'?) in configOptions.",
    "model.bbox_head.loss_cls.type: FocalLos": "model.bbox_head.loss_cls.type (did you mean 'FocalLoss'?) in",
    "model.bbox_head.loss_mask.lossweight: 1": "model.bbox_head.loss_mask.lossweight (did you mean 'loss_weight'?)",
    "model.data_preprocessor.mean2: 1": "model.data_preprocessor.mean2 (did you mean 'mean'?) in configOptions.",
    "model.train_cfg.assigner.type: Zzzzzz": "correct model.train_cfg.assigner.type in configOptions.",
    "model.train_cfg.assigner.topkk: 1": "correct model.train_cfg.assigner.topkk (did you mean 'topk'?) in",
    "model.train_cfg.assigner: {type: MaxIoUAssigner, _delete_: true}": "model.train_cfg.assigner, which lacks pos_iou_thr,",
    "optim_wrapper.optimizer.momentun: 1": "optim_wrapper.optimizer.momentun in optimizer or configOptions.",
    "custom_hooks: [{type: EMAHok}]": "correct custom_hooks.0.type (did you mean 'EMAHook'?) in configOptions.",
    "param_scheduler: [{type: LinearLR, start_facter: 1}]": "param_scheduler.0.start_facter (did you mean 'start_factor'?)",
    "model.backbone.norm_cfg.type: BNorm": "correct model.backbone.norm_cfg.type (did you mean 'BN",
    "model.backbone.norm_cfg: {type: Zzzzzz}": "correct model.backbone.norm_cfg.type in configOptions.",
    "model.neck.init_cfg: {type: Kaimin, layer: Conv2d}": "model.neck.init_cfg.type (did you mean 'Kaiming'?)",
    "model.neck.init_cfg: {type: Kaiming, layers: Conv2d}": "model.neck.init_cfg Kaiming cannot be built",
    "model.neck.init_cfg: 5": "model.neck.init_cfg is 5, expected a mapping with type",
    "optim_wrapper.clip_grad: {max_nurm: 1}": "optim_wrapper.clip_grad has no 'max_nurm' (did you mean 'max_norm'?)",
    "optim_wrapper.clip_grad: 35": "'optim_wrapper.clip_grad' is 35, expected a mapping",
    "custom_hooks: 3": "'custom_hooks' is 3, expected a list of mappings",
    "train_dataloader.dataset.pipeline: 3": "'train_dataloader.dataset.pipeline' is 3, expected a list of mappings",
    "model.test_cfg.score_thr: x": "'model.test_cfg.score_thr' is 'x', expected a number",
    "model.test_cfg.score_thr: .nan": "'model.test_cfg.score_thr' is nan, expected a number",
    "model.test_cfg.nms.iou_threshold: x": "'model.test_cfg.nms.iou_threshold' is 'x', expected a number",
    "model.test_cfg: {max_per_img: x}": "'model.test_cfg.max_per_img' is 'x', expected a number",
    "model.bbox_head.loss_cls.beta: x": "'model.bbox_head.loss_cls.beta' is 'x', expected a number",
    "model.bbox_head.loss_cls.use_sigmoid: 'no way'": "is 'no way', expected true or false",
    "model.test_cfg.nms.type: nope": "model.test_cfg.nms.type is 'nope', expected one of nms, soft_nms",
}  # fmt: skip


@pytest.mark.parametrize("option", PLACES)
def test_the_place_is_named(option, add_experiment):
    path = add_experiment(replace=[(PLACE, f"{PLACE}  {option}\n")])
    with pytest.raises(ConfigError) as caught:
        generic.parse(str(path)).check(shapes())
    assert PLACES[option] in str(caught.value)
    assert "readthedocs" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (TypeError("A.__init__() got an unexpected keyword argument 'z'"), "model.b.z"),
        (TypeError("Base.__init__() got an unexpected keyword argument 'z'"), "model.b.z"),
        (TypeError("A.__init__() got an unexpected keyword argument 'y'"), None),
        (KeyError("Zzzzzz is not in the mmdet::model registry. Please check"), "model.c.type"),
        (TypeError("A.__init__() missing 2 required positional arguments: 'p' and 'q'"), "model.b, which lacks p,"),
        (ValueError("nothing of a place"), None),
    ],
)
def test_errors_and_places(error, place):
    assert place_of(error, Config({"model": {"b": {"type": "A", "z": 1}, "c": {"type": "Zzzzzz"}}})) == place
