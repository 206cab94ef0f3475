"""Which scheduler runs jobs, and what becomes of their errors; questions that all processes of a run ask."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from instance_segmentation_pipeline.errors import ConfigError, WeightsError
from instance_segmentation_pipeline.launch.executors import GroupExecutor, InProcessExecutor, executor_for
from instance_segmentation_pipeline.launch.jobs import Job
from instance_segmentation_pipeline.launch.process_group import run_group
from instance_segmentation_pipeline.launch.process_pool import ProcessPool
from instance_segmentation_pipeline.launch.ray_cluster import RayCluster
from instance_segmentation_pipeline.launch.scheduler import InTurn, scheduler_for
from tests.support.processes import PATIENCE

CPU = ["cpu"]
ASK = """
from instance_segmentation_pipeline.launch.torchrun import torchrun_executor
executor = torchrun_executor()
executor.begin()
rank = executor.place.rank
answers = [executor.agree(lambda: rank == asked) for asked in (0, 1, 0)]
open(f"{rank}.txt", "w").write(str(answers))
"""


@pytest.mark.parametrize(
    "slots, jobs, apart, expected",
    [
        ([CPU], 3, False, InTurn),
        ([CPU, CPU], 1, False, InTurn),
        ([CPU, CPU], 2, False, ProcessPool),
        ([CPU], 3, True, ProcessPool),
        ([["cpu", "cpu"]], 3, False, InTurn),
    ],
)
def test_who_runs_jobs(slots, jobs, apart, expected):
    made = scheduler_for(slots, jobs, apart)
    assert type(made) is expected
    if expected is InTurn:
        assert made.executor.devices == slots[0]


def test_what_trains_on_devices():
    assert type(executor_for(CPU)) is InProcessExecutor
    assert type(executor_for(["cpu", "cpu"])) is GroupExecutor


def test_in_turn_the_first_error_ends_it_as_it_is():
    begun = []

    def fails(executor, stop):
        begun.append(executor.devices)
        raise WeightsError("this one")

    with pytest.raises(WeightsError, match="this one"):
        InTurn(InProcessExecutor("cpu")).run([Job("a", fails), Job("b", fails)])
    assert begun == [["cpu"]]


def test_a_cluster_runs_no_job_of_this_machine(tmp_path):
    with pytest.raises(ConfigError, match="predict runs on this machine only"):
        RayCluster("auto", tmp_path, 1, None).run([Job("predict", lambda executor, stop: None)])


@pytest.mark.parametrize("start", [lambda: ProcessPool([["cuda:0"]]).run([]), lambda: run_group(print, ["cuda:0"])])
def test_a_process_that_uses_cuda_is_not_forked(monkeypatch, start):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(ConfigError, match="CUDA is in use in this process already"):
        start()
    assert ProcessPool([CPU]).run([Job("a", lambda executor, stop: 1)])[0].result == 1


@pytest.mark.slow
def test_processes_of_torchrun_agree_on_what_the_first_says(tmp_path):
    (tmp_path / "ask.py").write_text(ASK)
    program = [Path(sys.executable).parent / "torchrun", "--standalone", "--nproc_per_node", "2"]
    subprocess.run([*map(str, program), "ask.py"], cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE)
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)] == ["[True, False, True]"] * 2
