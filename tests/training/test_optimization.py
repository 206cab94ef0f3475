"""Clipping, accumulation, batch and optimizers' names: what the config becomes, and what a training makes of it."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from musket_core import generic

from instance_segmentation_pipeline.config.optimization import images_per_gpu
from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.errors import ConfigError, UserError
from instance_segmentation_pipeline.models.optimization import OptimizerRequest
from instance_segmentation_pipeline.models.prepare import prepare
from instance_segmentation_pipeline.models.schedule import schedule
from instance_segmentation_pipeline.training.hooks.accumulation import WholeEpochs
from tests.models.test_model_config import MASK_RCNN, request

CLIPPED = "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py"
LEAST = {"configPath": "a.py", "stages": [{"epochs": 1}]}

WRONG = {
    **{
        f"{key}: {value!r}": ({key: value}, f"{key} is ")
        for key in ("clipnorm", "clipvalue")
        for value in (0, -1, "much", True, [1], {"max_norm": 1}, float("nan"), float("inf"), 2e9)
    },
    **{
        f"{key}: {value!r}": ({key: value}, f"{key} is ")
        for key in ("batch", "accumulation")
        for value in (0, -2, 1.5, "4", True, [4], {"a": 1}, 10_001)
    },
    "both ways to clip": ({"clipnorm": 1, "clipvalue": 2}, "clipnorm is 1 and clipvalue 2, but gradients are clipped"),
    "in a stage": ({"stages": [{"epochs": 1, "clipnorm": 1}]}, r"stages\[0\].clipnorm is not a property"),
    "accumulation of a stage": ({"stages": [{"epochs": 1, "accumulation": 2}]}, r"stages\[0\].accumulation is not a"),
    "spelling": ({"clip_norm": 1}, "did you mean 'clipnorm'"),
    "spelling of accumulation": ({"acumulation": 2}, "did you mean 'accumulation'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_sentence(name):
    properties, message = WRONG[name]
    with pytest.raises(ConfigError, match=message) as error:
        check_properties({**LEAST, **properties})
    assert len(str(error.value)) < 300
    assert "\n" not in str(error.value)


def wrapper_of(config, **asked):
    return prepare(request(config, optimization=OptimizerRequest(**asked))).config.optim_wrapper


def test_clipping_replaces_what_the_config_has():
    assert wrapper_of(CLIPPED).clip_grad == {"max_norm": 0.01, "norm_type": 2}
    assert wrapper_of(CLIPPED, clipvalue=0.5).clip_grad == {"type": "value", "clip_value": 0.5}
    assert wrapper_of(CLIPPED, clipnorm=3.0).clip_grad == {"max_norm": 3.0, "norm_type": 2}
    assert wrapper_of(MASK_RCNN, clipnorm=3.0).clip_grad == {"max_norm": 3.0, "norm_type": 2}
    decisions = prepare(request(CLIPPED, optimization=OptimizerRequest(clipvalue=0.5))).decisions
    assert "clipvalue: each to 0.5, in place of the config's max_norm 0.01, norm_type 2" in decisions


def test_both_ways_to_clip_as_attributes_are_refused(add_experiment):
    cfg = generic.parse(str(add_experiment(extra="clipnorm: 2\n")))
    cfg.clipvalue = 1
    with pytest.raises(ConfigError, match="remove one"):
        cfg.finished()


@pytest.mark.parametrize(
    ("options", "asked", "by"),
    [
        ({"optim_wrapper.clip_grad": {"max_norm": 5}}, {"clipnorm": 1.0}, "clipnorm or clipvalue"),
        ({"optim_wrapper.accumulative_counts": 2}, {"accumulation": 4}, "accumulation"),
    ],
)
def test_an_option_beside_the_property_is_refused(options, asked, by):
    with pytest.raises(ConfigError, match=f"overwritten by {by}"):
        prepare(request(MASK_RCNN, optimization=OptimizerRequest(**asked), options=options))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SGD", torch.optim.SGD),
        ("Adam", torch.optim.Adam),
        ("AdamW", torch.optim.AdamW),
        ("RMSprop", torch.optim.RMSprop),
        ("Nadam", torch.optim.NAdam),
        ("nadam", torch.optim.NAdam),
        ("adam", torch.optim.Adam),
        ("NAdam", torch.optim.NAdam),
    ],
)
def test_optimizers_as_musket_spells_them(name, kind):
    for asked in (name, {"type": name, "weight_decay": 0.1}):
        optimizer = wrapper_of(MASK_RCNN, optimizer=asked).optimizer
        assert getattr(torch.optim, optimizer.type) is kind
    with pytest.raises(ConfigError, match="did you mean 'NAdam'"):
        wrapper_of(MASK_RCNN, optimizer="NAdamm")


@pytest.mark.parametrize(
    ("images", "batch", "gpus", "each"), [(None, None, 4, 1), (3, None, 4, 3), (None, 8, 4, 2), (2, 8, 4, 2), (None, 1, 1, 1)]
)  # fmt: skip
def test_the_batch_is_shared_by_the_devices(images, batch, gpus, each):
    assert images_per_gpu(images, batch, gpus) == each


@pytest.mark.parametrize(
    ("images", "batch", "gpus", "message"),
    [
        (1, 8, 4, "imagesPerGpu 1 on 4 devices for each net is a batch of 4: remove one"),
        (4, 8, 1, "imagesPerGpu 4 on 1 device for each net is a batch of 4"),
        (None, 6, 4, "cannot share equally: make it a multiple of 4"),
        (None, 1, 2, "cannot share equally"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(images, batch, gpus, message):
    with pytest.raises(ConfigError, match=message):
        images_per_gpu(images, batch, gpus)


def test_the_batch_of_an_experiment_is_that_of_the_loader(add_experiment):
    cfg = generic.parse(str(add_experiment(replace=[("imagesPerGpu: 4", "batch: 6")])))
    assert cfg.finished().config.train_dataloader.batch_size == 6
    cfg.gpus = 4
    with pytest.raises(UserError, match="cannot share equally"):
        cfg.finished()
    cfg.gpus = 1
    cfg.imagesPerGpu = 2
    with pytest.raises(UserError, match="is a batch of 2: remove one"):
        cfg.finished()


def test_accumulation_counts_as_batch_and_the_warm_up_in_steps():
    asked = OptimizerRequest(accumulation=4)
    finished = prepare(request(MASK_RCNN, images_per_gpu=2, optimization=asked))
    assert finished.config.optim_wrapper.optimizer.lr == pytest.approx(0.02 * 8 / 16)
    warm_up = schedule(finished, epochs=12, iterations=2000).config.param_scheduler[0]
    assert warm_up["end"] == 2000  # 500 steps of 4 iterations
    assert "the gradients of 4 batches make one step" in "\n".join(schedule(finished, 12, 2000).decisions)


class Loop:
    """What the hook asks of a Runner."""

    def __init__(self, iterations, model, wrapper):
        self.train_dataloader, self.model, self.optim_wrapper = range(iterations), model, wrapper


def test_accumulated_steps_are_those_computed_by_hand():
    """Five batches an epoch by two: steps of 2, 2 and 1 batches, each with the mean of their gradients, twice."""
    torch.manual_seed(3)
    model = torch.nn.Linear(3, 1)
    by_hand = copy.deepcopy(model)
    batches = torch.randn(5, 4, 3)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 10)
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1)
    for _ in range(2):
        WholeEpochs(2).before_train_epoch(Loop(5, model, wrapper))
        for batch in batches:
            with wrapper.optim_context(model):
                loss = model(batch).square().mean()
            wrapper.update_params(loss)
        for part in (batches[:2], batches[2:4], batches[4:]):
            optimizer.zero_grad()
            torch.stack([by_hand(batch).square().mean() for batch in part]).mean().backward()
            optimizer.step()
        for one, other in zip(model.parameters(), by_hand.parameters(), strict=True):
            assert torch.allclose(one, other, atol=1e-6)
            assert one.grad is None or not one.grad.any()  # nothing is pending where the checkpoint is written
