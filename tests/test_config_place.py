"""What cannot be built is told by its place in the config, with the names that come near."""

import pytest
from datasets_for_tests import shapes
from mmengine.config import Config
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.training.config_place import place_of

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
    "model.neck: {type: PAFPN, _delete_: true}": "correct model.neck, which lacks in_channels, in configOptions.",
    "optim_wrapper.optimizer.momentun: 1": "optim_wrapper.optimizer.momentun in optimizer or configOptions.",
    "custom_hooks: [{type: EMAHok}]": "correct custom_hooks.0.type (did you mean 'EMAHook'?) in configOptions.",
    "param_scheduler: [{type: LinearLR, start_facter: 1}]": "param_scheduler.0.start_facter (did you mean 'start_factor'?)",
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
