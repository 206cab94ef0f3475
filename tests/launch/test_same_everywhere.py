"""Folds, stages, share of the items and time mean the same in turn, in a group, in a pool, under torchrun and on Ray."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from musket_core import generic

from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from tests.support.ray_nodes import local_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCRIPT = """
import json, os, sys

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def told(event, arguments):
    if os.environ.get("RANK", "0") == "0":
        return
    if event in ("os.rename", "os.remove", "os.mkdir", "os.link", "os.truncate"):
        changed = [one for one in arguments[:2] if isinstance(one, str)]
    elif event == "open" and (arguments[2] or 0) & WRITING:
        changed = [arguments[0]]
    else:
        return
    for name in changed:
        if str(name).startswith(sys.argv[1]):
            os.write(notes, f"{event} {name}\\n".encode())

notes = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
sys.addaudithook(told)
from musket_core import generic
from instance_segmentation_pipeline.launch import ray_cluster

def made(name, **more):
    cfg = generic.parse(f"{sys.argv[1]}/experiments/{name}/config.yaml")
    for key, value in {**json.loads(sys.argv[2]), **more}.items():
        setattr(cfg, key, value)
    return cfg

if json.loads(sys.argv[2]).get("cache"):
    ray_cluster._lock_of = lambda config: ""  # for the nodes the folder is another than that of this run
    made = lambda name, made=made, **more: made(name, cache=None, **more)
made("some").fit(foldsToExecute=[0, 1], subsample=0.5)
made("some", refit=True).fit(foldsToExecute=[0, 1], start_from_stage=1)
made("late", expires=0.0).fit()
"""

COUNTED = """
from musket_core import datasets
from shapes import Shapes

class Counted(Shapes):
    def __getitem__(self, item):
        assert open("examples/count.txt").read() == "12"
        return super().__getitem__(item)

@datasets.dataset_provider()
def get_counted():
    return Counted(int(open("examples/count.txt").read()), 64, 0)
"""

WAYS = {
    "in_turn": ({}, []),
    "group": ({"gpus": 2}, []),
    "pool": ({"num_gpus": 2, "num_workers": 2}, []),
    "torchrun": ({}, ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]),
    "ray": ({"cluster": "auto"}, []),
    "ray_copied": ({"cluster": "auto", "cache": True}, []),
}


@pytest.fixture
def ways(request):
    """Return the attributes and the program of a way to run; Ray's with a cluster of two nodes that train."""
    attributes, program = WAYS[request.param]
    if "cluster" not in attributes:
        yield attributes, program
        return
    with local_cluster() as cluster:
        cluster.add_node(num_cpus=2, object_store_memory=80_000_000)
        yield {**attributes, "cluster": cluster.address}, program


@pytest.mark.parametrize(
    "ways", [pytest.param(way, marks=pytest.mark.cluster if "ray" in way else ()) for way in WAYS], indirect=True
)
def test_a_run_means_the_same(ways, add_experiment, project, tmp_path):
    attributes, program = ways
    (project / "modules" / "counted.py").write_text(COUNTED)
    (project / "data" / "examples").mkdir(parents=True)
    (project / "data" / "examples" / "count.txt").write_text("12")
    for name, epochs in (("some", 2), ("late", 1)):  # late: time is over with the last epoch of a stage
        add_experiment(
            name,
            extra="folds_count: 3\n",
            replace=[
                ("  - epochs: 1\n", f"  - epochs: {epochs}\n  - epochs: 1\n"),
                ("imagesPerGpu: 4", "imagesPerGpu: 2"),
                ("get_shapes: {count: 12, size: 64}", "get_counted:"),
            ],
        )
    script, notes = tmp_path / "script.py", tmp_path / "notes"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, *program, str(script), str(project), json.dumps(attributes), str(notes)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr
    files = generic.parse(str(project / "experiments" / "some" / "config.yaml")).files
    summary = yaml.safe_load(files.summary.read_text())
    assert summary["folds"] == [0, 1]
    assert not summary["completed"]
    for fold in (0, 1):
        assert items(files.stage(fold, 0)) == 4, "subsample"
        assert items(files.stage(fold, 1)) == 8, "the second run has all items, in the stage that it trains"
        assert [len(read_rows(files.stage(fold, stage).metrics)) for stage in (0, 1)] == [2, 1]
    assert not files.stage(2, 0).metrics.exists()
    (kept,) = (files.root / "previous").iterdir()
    moved = {path.name for path in kept.rglob("*.weights")}
    assert {f"{kind}-{fold}.1.weights" for kind in ("best", "last") for fold in (0, 1)} <= moved
    assert not any(".0." in name for name in moved)
    late = generic.parse(str(project / "experiments" / "late" / "config.yaml")).files
    began = list((late.root / "metrics").glob("*.csv"))
    assert 1 <= len(began) <= (2 if "num_workers" in attributes or "cluster" in attributes else 1)
    assert all(path.stem.endswith(".0") and len(read_rows(path)) == 1 for path in began)
    assert not late.summary.exists()
    assert not list(project.rglob("fit.lock"))
    others = [line for line in notes.read_text().splitlines() if "/logs" not in line]  # MMEngine exchanges parts there
    assert not others, "the first process of a net alone writes"


def items(stage):
    """Return how many items a stage says that it was trained with."""
    (settings,) = (entry for entry in read_checkpoint(stage.last_weights)["meta"].values() if is_settings(entry))
    return settings["training items"]


def is_settings(entry):
    return isinstance(entry, dict) and "training items" in entry
