"""What callbacks decide from epoch to epoch, against decisions made by hand; and that a state is all that they know."""

import json
import math
import os
import random
import subprocess
import sys

import pytest

from instance_segmentation_pipeline.config.callbacks import declared_callbacks
from instance_segmentation_pipeline.errors import TrainingError
from instance_segmentation_pipeline.metrics.metric_name import MetricName
from instance_segmentation_pipeline.training.callbacks.base import LearningRates, RunningStage
from instance_segmentation_pipeline.training.callbacks.making import plan_of
from instance_segmentation_pipeline.training.callbacks.monitor import Measured
from instance_segmentation_pipeline.training.hooks.stage_end import StageEnd

PRIMARY = MetricName("val_coco_segm_mAP")
NAN = math.nan


class Run:
    """A stage of four iterations an epoch, whose metric is given; ``cut`` makes a callback anew from its state."""

    def __init__(self, declared, lr=0.8):
        self.declared, self.said = declared, []
        self.groups = [{"lr": lr}, {"lr": lr / 10}]
        self.rates, self.seen = LearningRates(lr), []
        self.rates.begin(self.groups)
        self.end = StageEnd()
        self.callback = self.make()

    def make(self):
        plan = plan_of(declared_callbacks(self.declared), {}.get, [], Measured(["coco_segm_mAP"]), PRIMARY)
        ((callback,), _) = plan.make(None)
        stage = RunningStage("fold 0 stage 0", 100, self.rates, self.end, self.said.append, iterations=4)
        callback.on_train_begin(stage)
        return callback

    def epochs(self, values, cut=None, name="val_coco_segm_mAP"):
        """Train an epoch for each value; return after how many it was asked to end."""
        for epoch, value in enumerate(values):
            if epoch == cut:
                state = self.callback.state()
                self.rates = LearningRates(self.rates.base)
                self.rates.begin([{"lr": self.rates.base}, {"lr": self.rates.base / 10}])
                self.rates.take(self.groups)
                self.callback = self.make()
                self.callback.restore(state)
            stage = self.callback.stage
            stage.iteration = 4 * epoch
            self.callback.on_epoch_begin(epoch)
            self.seen.append(self.rates.now)
            for batch in range(4 if self.callback.follows_batches else 0):
                stage.iteration = 4 * epoch + batch
                self.callback.on_batch_begin(batch)
            stage.iteration = 4 * epoch + 4
            self.callback.on_epoch_end(epoch, {"epoch": epoch, "loss": 1.0, "lr": self.rates.now, name: value})
            assert self.groups[1]["lr"] == pytest.approx(self.groups[0]["lr"] / 10)
            if self.end.reason is not None:
                return epoch + 1
        return None


UP = {"monitor": "val_coco_segm_mAP"}
STOPS = [
    ({"patience": 2, **UP}, [0.1, 0.2, 0.2, 0.19, 0.3], 4),
    ({"patience": 2, **UP}, [0.1, 0.2, 0.2, 0.21, 0.2, 0.1], 6),
    ({"patience": 1, **UP, "monitor": "coco_segm_mAP"}, [0.1, 0.1], 2),
    ({"patience": 0, **UP}, [0.1, 0.2, 0.2], 3),
    ({"patience": 1, **UP, "min_delta": 0.05}, [0.1, 0.14, 0.2], 2),
    ({"patience": 1, **UP, "min_delta": 0.05}, [0.1, 0.16, 0.22, 0.26, 0.9], 4),
    ({"patience": 2, **UP, "baseline": 0.5}, [0.1, 0.2, 0.3, 0.2], 4),
    ({"patience": 2, **UP, "baseline": 0.5}, [0.1, 0.6, 0.5, 0.4], 4),
    ({"patience": 1, **UP, "start_from_epoch": 3}, [0.9, 0.1, 0.1, 0.2, 0.2], 5),
    ({"patience": 2, **UP}, [NAN, NAN, NAN, 0.1, NAN, 0.1, NAN, 0.1], 8),
    ({"patience": 1, **UP, "mode": "min"}, [0.3, 0.2, 0.2], 3),
    ({"patience": 2, **UP}, [0.123456, 0.1234561, 0.1234562], 3),
    ({"patience": 5, **UP}, [0.1, 0.1, 0.1, 0.1, 0.1], None),
    ({"patience": 1, **UP}, [0.1], None),
]


@pytest.mark.parametrize("cut", [None, 1, 2, 3])
@pytest.mark.parametrize(("arguments", "values", "ends"), STOPS)
def test_early_stopping_ends_after_the_epoch_that_keras_ends_after(arguments, values, ends, cut):
    run = Run({"EarlyStopping": arguments})
    assert run.epochs(values, cut) == ends
    assert len(run.said) == (ends is not None)


def test_early_stopping_on_a_loss_takes_the_lower_value_and_may_keep_quiet():
    run = Run({"EarlyStopping": {"patience": 1, "verbose": 0}})
    assert run.epochs([3.0, 2.0, 2.5], name="val_loss") == 3
    assert run.said == []
    assert run.end.reason == "EarlyStopping: val_loss was best in epoch 2 (2) and no better for 1 epoch"


PLATEAUS = [
    ({"patience": 1, "factor": 0.5}, [3, 3, 2, 2, 2], [0.8, 0.8, 0.4, 0.4, 0.2]),
    ({"patience": 2, "factor": 0.5}, [3, 3, 3, 2, 2, 2], [0.8, 0.8, 0.8, 0.4, 0.4, 0.4]),
    ({"patience": 1, "factor": 0.5, "cooldown": 2}, [3, 3, 3, 3, 3, 3], [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]),
    ({"patience": 1, "factor": 0.1, "min_lr": 0.05}, [3, 3, 3, 3], [0.8, 0.8, 0.08, 0.05]),
    ({"patience": 1, "factor": 0.5, "min_delta": 0.5}, [3, 2.6, 2.4, 2.3], [0.8, 0.8, 0.4, 0.4]),
    ({"patience": 1, "factor": 0.5}, [3, NAN, NAN, 3, 3], [0.8, 0.8, 0.8, 0.8, 0.4]),
    ({"patience": 1, "factor": 0.5, "mode": "max"}, [3, 4, 4, 4], [0.8, 0.8, 0.8, 0.4]),
]


@pytest.mark.parametrize("cut", [None, 1, 2, 3, 4])
@pytest.mark.parametrize(("arguments", "values", "expected"), PLATEAUS)
def test_a_plateau_lowers_the_rate_as_keras_does(arguments, values, expected, cut):
    run = Run({"ReduceLROnPlateau": arguments})
    assert run.epochs(values, cut, name="val_loss") is None
    assert run.seen == pytest.approx(expected)


@pytest.mark.parametrize("cut", [None, 1, 2, 3, 4, 5])
def test_a_plateau_behind_a_chain(cut):
    """Six iterations end within the second epoch, whose end is the first that the plateau looks at."""
    then = {"ReduceLROnPlateau": {"patience": 1, "factor": 0.5}}
    run = Run({"LRVariator": {"absSize": 6, "toVal": 0.3, "then": then}})
    run.epochs([9, 3, 3, 2, 2, 2], cut, name="val_loss")
    assert run.seen == pytest.approx([0.8, 0.4, 0.3, 0.15, 0.15, 0.075])


def test_a_column_that_is_not_there_is_told_with_those_that_are():
    run = Run({"EarlyStopping": {"monitor": "val_loss_mask"}})
    with pytest.raises(TrainingError, match=r"no column 'val_loss_mask'.*loss, lr, val_coco_segm_mAP"):
        run.epochs([0.5])


KERAS = """
import json, random, sys
from types import SimpleNamespace
from keras.callbacks import EarlyStopping, ReduceLROnPlateau

answers = []
for kind, arguments, values in json.load(sys.stdin):
    rate = SimpleNamespace(learning_rate=0.8)
    model = SimpleNamespace(stop_training=False, optimizer=rate, metrics=[])
    callback = {"EarlyStopping": EarlyStopping, "ReduceLROnPlateau": ReduceLROnPlateau}[kind](**arguments)
    callback.set_model(model)
    callback.on_train_begin()
    ended, rates = None, []
    for epoch, value in enumerate(values):
        rates.append(rate.learning_rate)
        callback.on_epoch_end(epoch, {arguments["monitor"]: value})
        if model.stop_training:
            ended = epoch + 1
            break
    answers.append([ended, rates])
print(json.dumps(answers))
"""


def test_kerass_own_callbacks_decide_the_same():
    """Drawn values and arguments: the epoch that ends the stage, and the rate of each epoch."""
    draw = random.Random(7)
    asked = []
    for _ in range(300):
        values = [round(draw.uniform(0, 1), draw.choice([1, 2, 5])) for _ in range(draw.randint(1, 15))]
        common = {"monitor": "val_coco_segm_mAP", "mode": draw.choice(["min", "max"]), "patience": draw.randint(0, 4)}
        common["min_delta"] = draw.choice([0, 0.01, 0.2])
        stops = {**common, "baseline": draw.choice([None, 0.5]), "start_from_epoch": draw.choice([0, 0, 3])}
        lowers = {**common, "factor": draw.choice([0.1, 0.5]), "cooldown": draw.randint(0, 3)}
        lowers["min_lr"] = draw.choice([0, 0.05])
        asked += [("EarlyStopping", stops, values), ("ReduceLROnPlateau", lowers, values)]
    code = [sys.executable, "-c", KERAS]
    answered = subprocess.run(
        code, input=json.dumps(asked), capture_output=True, text=True, env={**os.environ, "KERAS_BACKEND": "torch"}
    )
    assert answered.returncode == 0, answered.stderr[-2000:]
    ended = set()
    for (kind, arguments, values), (ends, rates) in zip(asked, json.loads(answered.stdout), strict=True):
        ours = Run({kind: arguments})
        assert ours.epochs(values) == ends, (kind, arguments, values)
        assert ours.seen == pytest.approx(rates), (kind, arguments, values)
        ended.add(ends)
    assert len(ended) > 8
