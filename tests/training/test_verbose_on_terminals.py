"""``verbose`` on a terminal: folds side by side, and one net on two processes."""

import re
import time
from types import SimpleNamespace

import pytest
import torch

from instance_segmentation_pipeline.launch.jobs import Job
from instance_segmentation_pipeline.launch.multi_bar import Display, terminal
from instance_segmentation_pipeline.launch.process_group import run_group
from instance_segmentation_pipeline.launch.process_pool import ProcessPool
from instance_segmentation_pipeline.metrics.metric_name import MetricName
from instance_segmentation_pipeline.training.hooks.progress import ProgressLine
from tests.support.terminals import shown_on_terminal


def play(label, verbose):
    """Show a training of two epochs of three steps as a runner has it shown, without a net."""
    log = SimpleNamespace(rows=[{"epoch": 0, "loss": 0.5, "val_loss": 0.4, "val_coco_segm_mAP": 0.25}])
    keeper = SimpleNamespace(improved=True)
    hook = ProgressLine(label, MetricName("val_coco_segm_mAP"), keeper, log, terminal(), verbose)
    loop = SimpleNamespace(objects=5, vanished=0)
    runner = SimpleNamespace(epoch=0, max_epochs=2, iter=0, max_iters=6, val_loop=loop, train_dataloader=range(3))
    hook.before_train(runner)
    for _ in range(2):
        for step in range(3):
            time.sleep(0.15)  # a bar is drawn ten times a second
            hook.after_train_iter(runner, step, None, {"loss": torch.tensor(0.5)})
            runner.iter += 1
        runner.epoch += 1
        hook.note("the learning rate falls")
        hook.after_val_epoch(runner)
    hook.after_train(runner)


def side_by_side(verbose):
    jobs = [Job(f"fold {fold}", lambda executor, stop, fold=fold: play(f"fold {fold}", verbose)) for fold in range(2)]
    outcomes = ProcessPool([["cpu"], ["cpu"]], Display(once=True)).run(jobs)
    assert [outcome.error for outcome in outcomes] == ["", ""]


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_folds_side_by_side(verbose):
    text = shown_on_terminal(lambda: side_by_side(verbose))
    for fold in range(2):
        moves = re.findall(rf"fold {fold} epoch \d/2 iteration \d/3 loss 0\.500", text)
        assert bool(moves) is (verbose == 1), text
        assert text.count(f"fold {fold} epoch 2/2: loss 0.500") == (verbose > 0)
        assert f"fold {fold}: the learning rate falls" in text
    assert ("\x1b[A" in text) is (verbose == 1)  # bars below each other


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_one_net_on_two_processes(verbose):
    """The first process alone shows."""
    text = shown_on_terminal(lambda: run_group(lambda device: play("fold 0", verbose), ["cpu", "cpu"]))
    assert bool(re.search(r"fold 0 epoch \d/2 iteration \d/3 loss 0\.500", text)) is (verbose == 1), text
    assert text.count("fold 0 epoch 2/2: loss 0.500") == (verbose > 0)
    assert text.count("fold 0: the learning rate falls") == 2  # once an epoch
