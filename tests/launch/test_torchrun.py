"""One net over machines: two agents of torchrun on this one, each with a process of its own."""

import contextlib
import sys

import pytest
import yaml
from musket_core import generic

from instance_segmentation_pipeline.cli import fit
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.experiment.trainer import ExperimentTrainer
from instance_segmentation_pipeline.launch.job_environment import JobEnvironment, job_environment, leads
from instance_segmentation_pipeline.launch.torchrun import TorchrunExecutor
from tests.support.processes import PATIENCE, PROGRAM, free_port, single_threaded, started
from tests.support.warm import started_musket

pytestmark = pytest.mark.slow

TORCHRUN = PROGRAM.with_name("torchrun")
TROUBLE = """
import os
import sys
import signal
from musket_core import datasets
from shapes import Shapes

class Trouble(Shapes):
    def __getitem__(self, item):
        marker = os.path.join(os.path.dirname(__file__), "seen")
        if os.environ.get("RANK") == "1":
            with open(marker, "a") as file:
                file.write("x")
            if {condition}:
                {action}
        return super().__getitem__(item)

@datasets.dataset_provider()
def get_trouble():
    return Trouble(16, 64, 0)
"""


def torchrun(project, name, *extra):
    """Return exit statuses, output and error output of the agents that train an experiment."""
    port = free_port()
    command = [TORCHRUN, "--nnodes", 2, "--nproc_per_node", 1, "--rdzv_backend", "c10d"]
    command += ["--rdzv_endpoint", f"localhost:{port}", "--rdzv_id", name, "--monitor_interval", "0.1", *extra]
    command += ["--no_python", PROGRAM, "fit", "--project", project, "--name", name]
    agents = []
    with contextlib.ExitStack() as stack:  # files, since a pipe would fill while the other agent is waited for
        for number in range(2):
            files = [
                stack.enter_context((project.parent / f"agent{number}.{kind}").open("w")) for kind in ("out", "err")
            ]
            agent = started(*command, env=single_threaded(), stdout=files[0], stderr=files[1])
            agents.append(stack.enter_context(agent))
        statuses = [agent.wait(PATIENCE) for agent in agents]
    out, err = (
        "".join((project.parent / f"agent{number}.{kind}").read_text() for number in range(2))
        for kind in ("out", "err")
    )
    return statuses, out, err


def trouble(project, condition, action):
    (project / "modules" / "trouble.py").write_text(TROUBLE.format(condition=condition, action=action))


def test_two_machines_train_one_net_and_go_on_after_a_death(add_experiment, project):
    """Process 1 is killed in its second epoch; torchrun starts both again, and they end like a group that lived."""
    trouble(project, "os.path.getsize(marker) == 30", "os.kill(os.getpid(), signal.SIGKILL)")
    replace = [("get_shapes: {count: 12, size: 64}", "get_trouble:"), ("  - epochs: 1\n", "  - epochs: 3\n")]
    replace += [("imagesPerGpu: 4", "imagesPerGpu: 2"), ("classes: 3", "classes: 3\nworkersPerGpu: 0")]
    machines = add_experiment("machines", replace=replace)
    statuses, out, err = torchrun(project, "machines", "--max_restarts", 1)
    assert statuses == [0, 0], err
    assert out.count("machines: done in") == 1
    assert (project / "modules" / "seen").stat().st_size > 12
    group = add_experiment("group", replace=replace)
    flags = ["--project", project, "--name", "group", "--num_gpus", "2", "--gpus_per_net", "2"]
    with started_musket("fit", *flags) as process:  # what trained before is not forked
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    one, two = (generic.parse(str(path)).files.stage(0, 0) for path in (machines, group))
    assert one.metrics.read_text() == two.metrics.read_text()
    assert yaml.safe_load((machines.parent / "summary.yaml").read_text())["completed"]
    assert not (machines.parent / "fit.lock").exists()
    assert not (machines.parent / "previous").exists()


def test_the_words_of_the_process_that_failed_are_kept(add_experiment, project):
    trouble(project, "os.path.getsize(marker) > 6", 'raise OSError("the cable is out")')
    path = add_experiment("broken", replace=[("get_shapes: {count: 12, size: 64}", "get_trouble:")])
    statuses, _, err = torchrun(project, "broken")
    assert 0 not in statuses
    assert "cannot be read: OSError: the cable is out" in err
    assert "the cable is out" in yaml.safe_load((path.parent / "error.yaml").read_text())["errors"][0]["value"]
    assert not (path.parent / "summary.yaml").exists()


def test_the_place_among_processes(monkeypatch, add_experiment, capsys):
    assert job_environment() is None
    assert leads()
    numbers = {"RANK": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "WORLD_SIZE": "2"}
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "TORCHELASTIC_RESTART_COUNT": "3", **numbers}.items():
        monkeypatch.setenv(name, value)
    here = job_environment()
    assert (here.rank, here.local_rank, here.local_size, here.size, here.restarts) == (1, 0, 1, 2, 3)
    assert not leads()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "musket-of-our-own")
    assert job_environment() is None


def test_torchrun_decides_how_many(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    cfg.gpus = 4
    with pytest.raises(ConfigError, match="torchrun started 2 processes, which train one net together"):
        ExperimentTrainer(cfg).join(TorchrunExecutor(JobEnvironment(0, 0, 1, 2)))


def test_a_process_that_follows_is_silent_and_keeps_its_output(monkeypatch, add_experiment, project, capsys):
    path = add_experiment()
    (path.parent / "summary.yaml").write_text("completed: true\nfolds: [0]\n")
    before = sys.stdout
    for rank, said in (("0", "nothing to train"), ("1", "")):
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"}
        for name, value in {"TORCHELASTIC_RUN_ID": "x", **numbers}.items():
            monkeypatch.setenv(name, value)
        assert fit.main(["--project", str(project)]) == 0
        assert sys.stdout is before
        out = capsys.readouterr().out
        assert said in out
        assert bool(said) == bool(out)
