"""The optimizer that is asked for: it can step by a net's gradients, and has one learning rate, with its schedule."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OPTIMIZERS

from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.models.optimization import OptimizerRequest, set_optimizer
from instance_segmentation_pipeline.models.schedule import set_lr
from instance_segmentation_pipeline.training.build_check import _check_step

REFUSED = ("LBFGS", "SparseAdam")
OF_TORCH = [
    name
    for name, kind in OPTIMIZERS.module_dict.items()
    if kind.__module__.startswith("torch.optim") and name not in ("Optimizer", *REFUSED)
]


def check(**optimizer):
    kind = OPTIMIZERS.get(optimizer["type"])
    _check_step(kind, Config({"optim_wrapper": {"optimizer": optimizer}}), f"the optimizer {optimizer['type']}")


@pytest.mark.parametrize("name", REFUSED)
def test_one_that_wants_more_than_gradients_is_refused(name):
    with pytest.raises(
        ConfigError, match=f"the optimizer {name} cannot make a step of a net's gradients .*another one"
    ):
        check(type=name, lr=0.1)


@pytest.mark.parametrize("name", OF_TORCH)
def test_all_others_step(name):
    check(type=name, lr=0.1)


def test_fused_kernels_and_classes_of_a_project_are_left_alone():
    class Own(torch.optim.SGD):
        def step(self, closure):
            raise AssertionError

    check(type="SGD", lr=0.1, fused=True, momentum=0.9)
    _check_step(Own, Config({"optim_wrapper": {"optimizer": {"type": "Own", "lr": 0.1}}}), "the optimizer Own")


def asked_of(optimizer=None, lr=None):
    """Return rate, and lowest and highest rate of the schedulers, of a config whose native rate is 0.004."""
    schedulers = [
        {"type": "CosineAnnealingLR", "eta_min": 0.0002, "T_max": 3},
        {"type": "OneCycleLR", "eta_max": 0.008},
    ]
    config = Config(
        {
            "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 0.004, "weight_decay": 0.05}},
            "param_scheduler": schedulers,
            "train_dataloader": {"batch_size": 8},
        }
    )
    set_optimizer(config, OptimizerRequest(lr=lr, optimizer=optimizer), 1, [])
    made, (cosine, cycle) = config.optim_wrapper.optimizer, config.param_scheduler
    return made.lr, cosine.eta_min, cycle.eta_max


RATES = [
    (None, None, 0.004),
    ("AdamW", None, 0.004),
    ("AdamW", 0.0001, 0.0001),
    ({"type": "AdamW", "lr": 0.0001}, None, 0.0001),
    ({"type": "AdamW", "lr": 0.0001}, 0.0001, 0.0001),
    ("SGD", None, 0.001),
    ("SGD", 0.1, 0.1),
    ({"type": "SGD", "lr": 0.1}, None, 0.1),
    ({"type": "nadam", "lr": 1e-5, "weight_decay": 0.1}, None, 1e-5),
]


@pytest.mark.parametrize(("optimizer", "lr", "expected"), RATES)
def test_rates_of_schedulers_are_the_shares_that_they_were(optimizer, lr, expected):
    """Wherever the rate is given, and whatever steps: the lowest is a twentieth of it, the highest twice as much."""
    assert asked_of(optimizer, lr) == pytest.approx((expected, expected / 20, expected * 2))


def test_a_rate_of_a_stage_moves_them_too():
    config = Config({"optim_wrapper": {"optimizer": {"lr": 0.1}}, "param_scheduler": {"type": "A", "eta_min": 0.01}})
    set_lr(config, 0.5)
    assert config.param_scheduler.eta_min == pytest.approx(0.05)


def test_two_rates_are_refused_and_the_same_twice_is_not():
    words = {"configPath": "a.py", "stages": [{"epochs": 1}], "optimizer": {"type": "SGD", "lr": 0.01}}
    with pytest.raises(ConfigError, match=r"lr is 0.1, and optimizer.lr, which does nothing beside it, 0.01: remove"):
        check_properties({**words, "lr": 0.1})
    check_properties({**words, "lr": 0.01})
    with pytest.raises(ConfigError, match="optimizer.lr, which does nothing beside it"):
        asked_of({"type": "SGD", "lr": 0.01}, 0.1)
