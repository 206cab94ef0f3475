"""``verbose``: a bar and lines of epochs, the lines alone, or neither; what is wrong is told in any case."""

import math
import sys
from types import SimpleNamespace

import pytest

from instance_segmentation_pipeline.metrics.metric_name import MetricName
from instance_segmentation_pipeline.training.hooks.progress import ProgressLine


class Shown:
    def __init__(self):
        self.lines, self.bars = [], 0

    def line(self, text):
        self.lines.append(text)

    def bar(self, total, done):
        self.bars += 1
        return SimpleNamespace(close=lambda: None)


@pytest.mark.parametrize("tty", [True, False])
@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_what_is_shown(monkeypatch, verbose, tty):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: tty, raising=False)
    row = {"epoch": 0, "loss": 0.5, "val_loss": 0.4, "val_coco_segm_mAP": math.nan}
    shown, keeper, log = Shown(), SimpleNamespace(improved=True), SimpleNamespace(rows=[row])
    hook = ProgressLine("fold 0 stage 0", MetricName("val_coco_segm_mAP"), keeper, log, shown, verbose)
    loop = SimpleNamespace(objects=5, vanished=0)
    runner = SimpleNamespace(epoch=0, max_epochs=3, iter=0, max_iters=9, val_loop=loop)
    hook.before_train(runner)
    runner.epoch = 1
    hook.note("the learning rate falls")
    hook.after_val_epoch(runner)
    hook.after_train(runner)
    assert shown.bars == (verbose == 1 and tty)
    assert any("epoch 1/3" in line for line in shown.lines) is (verbose > 0)
    assert any("has no value" in line for line in shown.lines)
    assert any("the learning rate falls" in line for line in shown.lines)
