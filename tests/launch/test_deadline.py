"""When a run ends before its work is done: known to all its processes, whoever was told."""

import os
import time

import pytest
from musket_core import generic

from instance_segmentation_pipeline.launch.deadline import Deadline
from instance_segmentation_pipeline.launch.executors import InProcessExecutor
from instance_segmentation_pipeline.launch.jobs import Job
from instance_segmentation_pipeline.launch.process_pool import ProcessPool
from instance_segmentation_pipeline.launch.ray_cluster import RunClock
from instance_segmentation_pipeline.launch.scheduler import InTurn
from instance_segmentation_pipeline.storage.metrics_csv import read_rows


def test_a_run_does_some_work_however_late_it_is():
    late = Deadline(time.monotonic() - 1)
    assert not late()
    late.begin()
    assert late()
    assert late.left() == 0


def test_once_over_it_stays_so():
    words = iter([False, True, False])
    stop = Deadline(cancelled=lambda: next(words))
    stop.begin()
    assert [stop() for _ in range(4)] == [False, True, True, True]
    assert stop.left() is None


def test_a_process_that_is_forked_shares_it():
    stop = Deadline(cancelled=lambda: False)
    if os.fork() == 0:
        stop.begin()
        stop.end()
        os._exit(0)
    os.wait()
    assert stop.has_begun
    assert stop()


def job(label, ends):
    def work(executor, stop):
        stop.begin()
        if ends:
            stop.end()
        return stop()

    return Job(label, work)


@pytest.mark.parametrize(
    "scheduler", [InTurn(InProcessExecutor("cpu")), ProcessPool([["cpu"]])], ids=["in turn", "pool"]
)
def test_no_job_begins_after_the_end(scheduler):
    outcomes = scheduler.run([job("a", False), job("b", True), job("c", False), job("d", False)], Deadline())
    assert [(one.label, one.began, one.result) for one in outcomes] == [
        ("a", True, False),
        ("b", True, True),
        ("c", False, None),
        ("d", False, None),
    ]


class Reporter:
    """Musket's reporter, told in the process that began the run that it is cancelled, when an epoch is done."""

    def __init__(self, folder):
        self.folder, self.process = folder, os.getpid()

    def isCanceled(self):
        return os.getpid() == self.process and any(self.folder.glob("metrics/*.csv"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked", [{}, {"gpus": 2}, {"num_gpus": 2, "num_workers": 2}], ids=["in turn", "group", "pool"]
)
def test_a_reporter_ends_all_processes(add_experiment, asked):
    path = add_experiment(extra="folds_count: 3\n", replace=[("  - epochs: 1\n", "  - epochs: 60\n")])
    cfg = generic.parse(str(path))
    for name, value in {**asked, "_reporter": Reporter(path.parent)}.items():
        setattr(cfg, name, value)
    cfg.fit()
    assert cfg.canceled_by_timer
    assert not cfg.files.summary.exists()
    rows = [len(read_rows(file)) for file in (path.parent / "metrics").glob("*.csv")]
    assert 1 <= len(rows) <= max(1, asked.get("num_workers", 1))
    assert all(1 <= count < 60 for count in rows)


def test_the_clock_of_a_cluster_tells_nodes_and_the_run_of_each_other():
    clock = RunClock(None)
    assert clock.look(False) == (False, False, None)
    assert not clock.is_over(False)
    assert clock.look(True) == (True, False, None)
    assert clock.is_over(True), "a node has begun, which the run hears"
    assert clock.look(False) == (True, True, None), "the run has ended, which all nodes hear"
    late = RunClock(time.monotonic() - 1)
    assert late.look(False) == (False, False, 0.0)
    assert late.look(True) == (True, True, 0.0)
