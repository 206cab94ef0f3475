"""Data workers that cannot go on: training ends with one sentence, and does not wait for them."""

import os
import pickle
import shutil
import signal
import subprocess

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.errors import TrainingError
from instance_segmentation_pipeline.training import worker_memory
from instance_segmentation_pipeline.training.worker_memory import handed_over
from tests.support.processes import PATIENCE, PROGRAM
from tests.support.project import FAST, SMALL_CONFIG

pytestmark = pytest.mark.slow


class Handed(Dataset):
    """Items as ours are: tensors in objects in lists, and arrays."""

    def __len__(self):
        return 4

    def __getitem__(self, position):
        return handed_over({"inputs": torch.full((3, 50, 50), position), "more": [np.ones(9), (torch.ones(2),)]})


def _first(batch):
    return batch[0]


def test_tensors_are_moved_in_the_worker_and_arrive_whole():
    items = list(DataLoader(Handed(), num_workers=2, collate_fn=_first))
    assert [int(item["inputs"][0, 0, 0]) for item in items] == [0, 1, 2, 3]
    assert all(item["inputs"].is_shared() and item["more"][1][0].is_shared() for item in items)
    assert items[0]["more"][0].tolist() == [1] * 9
    assert not Handed()[0]["inputs"].is_shared()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unable to allocate shared memory(shm) for file </torch_1_2_0>: No space left on device (28)"),
        RuntimeError("unable to resize file </torch_1> to the right size: shared memory is full"),
    ],
)
def test_a_full_memory_is_told_by_the_worker(error, monkeypatch):
    def fail(self):
        raise error

    monkeypatch.setattr(torch.Tensor, "share_memory_", fail)
    loader = iter(DataLoader(Handed(), num_workers=1, collate_fn=_first, timeout=PATIENCE))
    with pytest.raises(TrainingError, match="ran out of shared memory.*lower workersPerGpu"):
        next(loader)


def test_other_errors_stay_what_they_are(monkeypatch):
    def fail(self):
        raise RuntimeError("something else")

    monkeypatch.setattr(torch.Tensor, "share_memory_", fail)
    monkeypatch.setattr(worker_memory, "get_worker_info", lambda: object())
    with pytest.raises(RuntimeError, match="something else"):
        handed_over([torch.ones(1)])
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        handed_over([lambda: None])


def _in_small_memory(kilobytes, command, cwd):
    """Run a command with a /dev/shm of this size, in a mount namespace of its own."""
    script = f"mount -t tmpfs -o size={kilobytes}k tmpfs /dev/shm || exit 99; exec {command}"
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode == 99 or "unshare" in done.stderr[:20]:
        pytest.skip("a /dev/shm of its own cannot be mounted here")
    return done


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="needs root and unshare")
@pytest.mark.parametrize("kilobytes", [4, 64])
def test_a_small_dev_shm_ends_in_one_sentence(kilobytes, project, add_experiment):
    add_experiment(text=FAST.format(config=SMALL_CONFIG, extra="workersPerGpu: 2\n"))
    done = _in_small_memory(kilobytes, f"{PROGRAM} fit --project {project}", project)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 2, done.stderr
    assert "ran out of shared memory, /dev/shm has 0." in lines[0]
    assert "lower workersPerGpu" in lines[0]
    assert "--shm-size" in lines[0]


BROKEN = """
import os, signal
import numpy as np
from musket_core import datasets
from musket_core.datasets import PredictionItem
from shapes import get_shapes
from torch.utils.data import get_worker_info

class Broken(datasets.DataSet):
    def __init__(self, how, inner):
        self.how, self.inner = how, inner

    def meta(self):
        return self.inner.meta()

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, item):
        if get_worker_info() is not None and item == 2:
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "exits":
                os._exit(3)
            if self.how == "raises":
                raise RuntimeError("a line\\nanother line \\x1b[31m")
            if self.how == "nothing":
                return None
        return self.inner[item]

@datasets.dataset_provider
def get_broken(how):
    return Broken(how, get_shapes(12, 64))
"""


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("killed", "a data worker is gone"),
        ("exits", "a data worker is gone"),
        ("raises", r"item 2 of the dataset cannot be read: RuntimeError: a line"),
        ("nothing", "item 2 of the dataset is a NoneType, expected a PredictionItem."),
    ],
)
def test_a_worker_that_dies_or_raises(how, words, project, add_experiment, capsys):
    (project / "modules" / f"broken_{how}.py").write_text(BROKEN)
    text = FAST.format(config=SMALL_CONFIG, extra="workersPerGpu: 2\n")
    path = add_experiment(text=text.replace("get_shapes: {count: 12, size: 64}", f"get_broken: {{how: {how}}}"))
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["fit", "--project", str(project)]) == 1
    finally:
        signal.signal(signal.SIGTERM, handler)
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 2
    assert len(error.splitlines()[0]) < 900
    assert (path.parent / "error.yaml").exists()
