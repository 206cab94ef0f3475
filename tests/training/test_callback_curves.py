"""The learning rate of each iteration, against numbers computed by hand."""

import math

import pytest

from instance_segmentation_pipeline.config.callbacks import declared_callbacks
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.training.callbacks.curves import curve_of


def rates(declared, count, iterations=4, lr=0.2):
    (callback,) = declared_callbacks(declared)
    curve = curve_of(callback, iterations)
    return [curve.at(iteration, lr) for iteration in range(count)]


SIN30, SIN60 = 0.5, math.sqrt(3) / 2
"""A curve of four iterations has x = 0, 1/3, 2/3, 1: angles of 0, 30, 60 and 90 degrees."""

STYLES = {
    "linear": [0, 1 / 3, 2 / 3, 1],
    "const": [0, 0, 0, 0],
    "sin": [0, SIN30, SIN60, 1],
    "sin+": [0, SIN30, SIN60, 1],
    "sin-": [1, 1 - SIN30, 1 - SIN60, 0],
    "cos+": [0, 1 - SIN60, 1 - SIN30, 1],
    "cos-": [1, SIN60, SIN30, 0],
    "cos": [1, SIN60, SIN30, 0],
    2: [0, 1 / 9, 4 / 9, 1],
    0.5: [0, math.sqrt(1 / 3), math.sqrt(2 / 3), 1],
}


@pytest.mark.parametrize("style", STYLES)
def test_a_style_of_variator(style):
    ends = {"fromVal": 0.1} if style == "const" else {"fromVal": 0.1, "toVal": 0.9}
    found = rates({"LRVariator": {"absSize": 4, "style": style, **ends}}, 6)
    expected = [0.1 + 0.8 * ratio for ratio in STYLES[style]]
    assert found == pytest.approx([*expected, expected[-1], expected[-1]], rel=1e-12)
    assert {found[0], found[3]} <= {0.1, 0.9}, "the ends are reached, to the last bit"


def test_a_variator_finds_the_rate_of_the_stage_and_keeps_its_last():
    assert rates({"LRVariator": {"relSize": 0.5, "toVal": 0.1}}, 4, iterations=6) == pytest.approx(
        [0.2, 0.15, 0.1, 0.1]
    )


def test_one_iteration_is_the_end_of_its_curve():
    assert rates({"LRVariator": {"relSize": 0.001, "toVal": 0.1}}, 2) == [0.1, 0.1]


def test_a_chain_goes_on_from_the_last_rate():
    last = {"CyclicLR": {"base_lr": 0.1, "max_lr": 0.3, "step_size": 2}}
    second = {"LRVariator": {"absSize": 3, "toVal": 0.4, "then": last}}
    found = rates({"LRVariator": {"absSize": 2, "toVal": 0.8, "then": second}}, 11)
    assert found == pytest.approx([0.2, 0.8, 0.8, 0.6, 0.4, 0.1, 0.2, 0.3, 0.2, 0.1, 0.2])


@pytest.mark.parametrize("period", [{"periodSteps": 6}, {"periodEpochs": 1.5}])
def test_a_chain_begins_anew(period):
    second = {"LRVariator": {"absSize": 2, "toVal": 0.1}}
    found = rates({"LRVariator": {"absSize": 3, "toVal": 0.8, "then": second, **period}}, 13)
    assert found == pytest.approx([0.2, 0.5, 0.8, 0.8, 0.1, 0.1] * 2 + [0.2])


def test_a_chain_that_is_longer_than_its_period():
    (callback,) = declared_callbacks({"LRVariator": {"relSize": 2, "toVal": 0.1, "periodSteps": 7}})
    with pytest.raises(ConfigError, match=r"lasts 8 iterations.* begins anew after 7 \(an epoch has 4\)"):
        curve_of(callback, 4)


CYCLES = {
    "triangular": [0.1, 0.3, 0.5, 0.3, 0.1, 0.3, 0.5, 0.3, 0.1],
    "triangular2": [0.1, 0.3, 0.5, 0.3, 0.1, 0.2, 0.3, 0.2, 0.1],
    "exp_range": [0.1] + [0.1 + 0.4 * x * 0.9**i for i, x in enumerate([0.5, 1, 0.5, 0, 0.5, 1, 0.5, 0], 1)],
}


@pytest.mark.parametrize("mode", CYCLES)
def test_a_mode_of_cycles(mode):
    gamma = {"gamma": 0.9} if mode == "exp_range" else {}
    declared = {"CyclicLR": {"base_lr": 0.1, "max_lr": 0.5, "step_size": 2, "mode": mode, **gamma}}
    assert rates(declared, 9) == pytest.approx(CYCLES[mode])


def test_cycles_of_a_long_training():
    declared = {"CyclicLR": {"base_lr": 0.1, "max_lr": 0.5, "step_size": 1, "mode": "triangular2"}}
    (callback,) = declared_callbacks(declared)
    assert curve_of(callback, 4).at(10**7 + 1, 0.2) == 0.1
