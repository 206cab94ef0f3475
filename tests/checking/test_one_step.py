"""One step, in a process of its own: what it took is told, and what ended it, too."""

import os
import signal
import time

import pytest
from musket_core import generic

from instance_segmentation_pipeline.checking import step_cost
from instance_segmentation_pipeline.checking.findings import FAULT, NOTE, WARNING
from instance_segmentation_pipeline.checking.step_cost import StepProbe
from instance_segmentation_pipeline.errors import DatasetError
from instance_segmentation_pipeline.training.step_probe import StepCost

COST = StepCost("cpu", 4, 10, 6, 0.5, 2.0, 0.25, 2 << 30, 0, 3.5)


def _raising(error):
    def fails(*_):
        raise error

    return fails


ENDS = {
    "killed": (lambda *_: os.kill(os.getpid(), signal.SIGKILL), FAULT, "killed by SIGKILL: often memory ran out"),
    "leaves": (lambda *_: os._exit(9), FAULT, "ended with status 9"),
    "no memory": (_raising(MemoryError()), FAULT, "memory ran out in one step"),
    "allocator": (_raising(RuntimeError("DefaultCPUAllocator: can't allocate memory")), FAULT, "memory ran out"),
    "batch norm": (
        _raising(ValueError("Expected more than 1 value per channel when training")),
        FAULT,
        "set imagesPerGpu to 2",
    ),
    "an item": (_raising(DatasetError("item 'a' is wrong.")), FAULT, "item 'a' is wrong"),
    "a defect": (_raising(KeyError("gt_masks")), FAULT, "one step fails"),
    "infinite loss": (lambda *_: StepCost(**{**vars(COST), "loss": float("inf")}), FAULT, "lower lr"),
    "no number": (lambda *_: StepCost(**{**vars(COST), "loss": float("nan")}), FAULT, "lower lr"),
    "all is well": (lambda *_: COST, NOTE, "an epoch takes about 0:26"),
    "busy": (
        lambda *_: StepCost(**{**vars(COST), "waiting": 0.5}),
        WARNING,
        "the machine was busy: threads waited 50% of the step for a processor that others used: these times are too "
        "long; alone, an epoch would take nearer to 0:13",
    ),
    "too slow": (lambda *_: time.sleep(60), WARNING, "was given up"),
}


@pytest.fixture
def cfg(add_experiment):
    return generic.parse(str(add_experiment()))


@pytest.mark.parametrize("kind", ENDS)
def test_what_ends_a_step_is_told(cfg, monkeypatch, kind):
    measure, wanted, words = ENDS[kind]
    monkeypatch.setattr(step_cost, "measure_step", measure)
    if kind == "too slow":
        monkeypatch.setattr(step_cost, "PATIENCE", 0.3)
    section = StepProbe(cfg).measured()
    assert words in next(finding.text for finding in section.findings if finding.kind == wanted)
    assert [path.name for path in cfg.files.root.iterdir()] == ["config.yaml"]


def test_the_time_of_an_epoch_counts_loading_and_validation():
    assert COST.epoch_seconds() == 10 * (2.0 + 0.5) + 6 * 0.25
    assert StepCost(**{**vars(COST), "workers": 2}).epoch_seconds() == 10 * 2.0 + 6 * 0.25
    assert StepCost(**{**vars(COST), "workers": 2, "load_seconds": 8.0}).epoch_seconds() == 10 * 4.0 + 6 * 0.25


def test_a_probe_that_is_not_needed_ends(cfg):
    probe = StepProbe(cfg)
    probe.close()
    assert not probe._forked.process.is_alive()
