"""Frozen encoders and weights of losses: what is wrong, what the config becomes, what a training leaves alone."""

import pytest
import torch
from musket_core import generic

from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.config.settings import ExperimentSettings
from instance_segmentation_pipeline.errors import ConfigError, UserError
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.models.learning_parts import set_frozen_encoder, set_loss_weights
from instance_segmentation_pipeline.models.prepare import prepare
from tests.models.test_model_config import MASK_RCNN, request

CASCADE = "mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py"
LEAST = {"configPath": "a.py", "stages": [{"epochs": 1}]}


def of_stage(**words):
    return {"stages": [{"epochs": 1}, {"epochs": 1, **words}]}


WRONG = {
    **{
        f"{where}loss: {value!r}": ({"loss": value} if not where else of_stage(loss=value), message)
        for where in ("", "stage ")
        for value, message in (
            ("dice", "the model's own loss to their weights"),
            ("loss_mask+0.1*loss_cls", "the model's own loss to their weights"),
            (2, "the model's own loss"),
            (["loss_mask"], "the model's own loss"),
            ({}, "the model's own loss"),
            ({1: 2}, "the model's own loss"),
            ({"loss_mask": "much"}, "loss.loss_mask is 'much', but a part's weight is a number from 0"),
            ({"loss_mask": -1}, "loss.loss_mask is -1"),
            ({"loss_mask": True}, "loss.loss_mask is True"),
            ({"loss_mask": None}, "loss.loss_mask is None"),
            ({"loss_mask": {"weight": 2}}, "loss.loss_mask is "),
            ({"loss_mask": float("nan")}, "loss.loss_mask is nan"),
        )
    },
    **{
        f"freeze_encoder: {value!r}": ({"freeze_encoder": value}, "freeze_encoder is .* true or false")
        for value in ("yes", 1, 0, [True], {"backbone": True})
    },
    **{
        f"stage {key}: {value!r}": (of_stage(**{key: value}), rf"stages\[1\].{key} is .* true or false")
        for key in ("freeze_encoder", "unfreeze_encoder")
        for value in ("yes", 1, 0, [True], 3)
    },
    "both": (of_stage(freeze_encoder=True, unfreeze_encoder=True), r"stages\[1\] has freeze_encoder and its opposite"),
    "both, false": (of_stage(freeze_encoder=False, unfreeze_encoder=True), "remove one"),
    "unfreeze_encoder of the experiment": ({"unfreeze_encoder": True}, "give it to the stages"),
    "spelling": ({"freeze_encode": True}, "did you mean 'freeze_encoder'"),
    "spelling in a stage": (of_stage(unfreeze_encode=True), "did you mean 'unfreeze_encoder'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_sentence(name):
    properties, message = WRONG[name]
    with pytest.raises(ConfigError, match=message) as error:
        check_properties({**LEAST, **properties})
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("first", "stages", "frozen"),
    [
        (False, [{}, {}], [False, False]),
        (True, [{}, {}], [True, True]),
        (True, [{}, {"unfreeze_encoder": True}, {}], [True, False, False]),
        (False, [{"freeze_encoder": True}, {}, {"freeze_encoder": False}], [True, True, False]),
        (False, [{}, {"unfreeze_encoder": False}], [False, True]),
    ],
)
def test_what_a_stage_says_lasts_until_another_says_otherwise(first, stages, frozen):
    words = {**LEAST, "freeze_encoder": first, "stages": [{"epochs": 1, **one} for one in stages]}
    assert ExperimentSettings.from_mapping(check_properties(words)).frozen_encoders == frozen


def test_weights_of_losses_reach_the_parts_of_their_name():
    config = prepare(request(MASK_RCNN, loss={"loss_mask": 2.0, "rpn_head.loss_cls": 0.5})).config.model
    assert config.roi_head.mask_head.loss_mask.loss_weight == 2.0
    assert (config.rpn_head.loss_cls.loss_weight, config.roi_head.bbox_head.loss_cls.loss_weight) == (0.5, 1.0)
    cascade = prepare(request(CASCADE, loss={"bbox_head.loss_cls": 3.0})).config.model
    assert [head.loss_cls.loss_weight for head in cascade.roi_head.bbox_head] == [3.0] * 3
    assert cascade.rpn_head.loss_cls.loss_weight == 1.0


def test_a_part_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(
        ConfigError, match=r"no part 'loss_msk' of its loss \(did you mean 'loss_mask'\?\): it has loss_cls"
    ):
        prepare(request(MASK_RCNN, loss={"loss_msk": 2.0}))
    with pytest.raises(
        ConfigError, match=r"'roi_head.loss_mask' .*it has rpn_head.loss_cls.*roi_head.mask_head.loss_mask"
    ):
        prepare(request(MASK_RCNN, loss={"roi_head.loss_mask": 2.0}))
    with pytest.raises(ConfigError, match="overwritten by loss"):
        options = {"model.rpn_head.loss_cls.loss_weight": 3.0}
        prepare(request(MASK_RCNN, loss={"loss_cls": 2.0}, options=options))
    assert set_loss_weights({}, {}, "loss") is None


def test_a_model_without_a_backbone_is_refused():
    config = prepare(request(MASK_RCNN)).config
    config.model.pop("backbone")
    with pytest.raises(ConfigError, match="MaskRCNN of configPath has no backbone to freeze: remove it"):
        set_frozen_encoder(config)


def encoder_of(path):
    state = read_checkpoint(path)["state_dict"]
    return {name: tensor for name, tensor in state.items() if name.startswith("backbone.")}


def same(one, other):
    return [torch.equal(one[name], other[name]) for name in one]


@pytest.mark.slow
def test_a_frozen_encoder_keeps_every_bit_until_it_is_unfrozen(add_experiment, capsys):
    """Weights and the statistics of its normalisation; what the stage after it trains is changed."""
    stages = "  - epochs: 1\n  - epochs: 1\n    loss: {loss_mask: 3}\n  - epochs: 1\n    unfreeze_encoder: true\n"
    path = add_experiment(extra="freeze_encoder: true\n", replace=[("  - epochs: 1\n", stages)])
    cfg = generic.parse(str(path))
    cfg.fit()
    out = capsys.readouterr().out
    assert "encoder: frozen, with its normalisation" in out
    assert "loss weights: loss_mask 3" in out
    files = [cfg.files.stage(0, number) for number in range(3)]
    first, second, third = (encoder_of(one.last_weights) for one in files)
    assert all(same(first, second))
    assert not all(same(second, third))
    heads = [read_checkpoint(one.last_weights)["state_dict"] for one in files[:2]]
    assert not all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
    cfg.setAllowResume(True)
    cfg.stages[1].loss = {"loss_mask": 4}
    with pytest.raises(UserError, match=r"loss.loss_mask 3.0 there, 4.0 now"):
        cfg.fit()
    cfg.stages[1].loss = {"loss_mask": 3}
    cfg.freeze_encoder = False
    with pytest.raises(UserError, match="freeze_encoder True there, None now"):
        cfg.fit()
