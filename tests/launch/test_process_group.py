"""Several processes that train one net: what they learn, and how one that fails ends all."""

import os
import signal

import numpy as np
import pytest
import torch
from musket_core import generic

from instance_segmentation_pipeline.errors import TrainingError
from instance_segmentation_pipeline.launch import process_group
from instance_segmentation_pipeline.launch.process_group import run_group
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from tests.support.datasets import Items, shapes
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow


def test_two_processes_equal_one_with_twice_the_batch(add_experiment):
    """The same items in the same steps: gradients are averaged, and each of five items is validated once."""
    norms = "".join(
        f"  model.{part}.norm_cfg: {{type: GN, num_groups: 4}}\n" for part in ("backbone", "neck", "bbox_head")
    )
    results = {}
    for gpus, batch in ((1, 4), (2, 2)):
        path = add_experiment(
            f"on{gpus}",
            extra="nativePipeline: false\noptimizer: {type: SGD, lr: 0.001}\n",
            replace=[("imagesPerGpu: 4", f"imagesPerGpu: {batch}"), ("stages:", f"{norms}stages:")],
        )
        cfg = generic.parse(str(path))
        cfg.gpus = gpus
        cfg.fit(shapes(25))
        results[gpus] = cfg.files.stage(0, 0)
    rows = [read_rows(results[gpus].metrics)[0] for gpus in (1, 2)]
    for name in rows[0]:
        if "loss" not in name or name == "loss":
            np.testing.assert_allclose(rows[1][name], rows[0][name], rtol=1e-4, atol=1e-4, err_msg=name)
    states = [read_checkpoint(results[gpus].last_weights)["state_dict"] for gpus in (1, 2)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    assert results[2].example(0).exists()
    assert (results[2].root / "summary.yaml").exists()


def test_a_process_whose_images_are_all_empty_does_not_hang(add_experiment):
    """Every other image has no object, and a batch is one image: one process has nothing to learn from."""
    empty = (np.zeros((64, 64, 3), np.uint8), (np.zeros(0, int), np.zeros((0, 4)), np.zeros((0, 64, 64), bool)))
    items = shapes(12)
    pairs = [(items[number].x, items[number].y) if number < 6 else empty for number in range(12)]
    path = add_experiment(
        replace=[("imagesPerGpu: 4", "imagesPerGpu: 1"), ("classes: 3\n", "classes: 3\nlr: 0.0001\n")]
    )
    cfg = generic.parse(str(path))
    cfg.gpus = 2
    cfg.fit(Items(pairs))
    assert np.isfinite(read_rows(cfg.files.stage(0, 0).metrics)[0]["loss"])


def _ranks(device):
    total = torch.tensor([float(torch.distributed.get_rank() + 1)])
    torch.distributed.all_reduce(total)
    return [device, torch.distributed.get_world_size(), float(total)]


def test_a_group_starts_from_any_function(tmp_path):
    held = open(tmp_path / "not_picklable", "w")  # noqa: SIM115 - stays open on purpose
    assert run_group(lambda device: [*_ranks(device), held.name], ["cpu", "cpu"]) == ["cpu", 2, 3.0, held.name]
    held.close()


def _killed(device):
    if torch.distributed.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    torch.distributed.barrier()


def _raises(device):
    if torch.distributed.get_rank() == 1:
        raise ValueError("the second one's words")
    torch.distributed.barrier()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_killed, "was killed by SIGKILL|died without a word"),
        (_raises, "process 1 failed: ValueError: the second one's words"),
    ],
)
def test_one_death_ends_the_group_with_its_words(function, words, monkeypatch):
    """The other one waits for an hour: were the death not seen, the test would not end in its time."""
    monkeypatch.setenv("MUSKET_MMDETECTION_GROUP_TIMEOUT", "60")
    monkeypatch.setattr(process_group, "GRACE", PATIENCE)
    with pytest.raises(TrainingError, match=words):
        run_group(function, ["cpu", "cpu"])


def test_an_item_that_fails_in_a_group_is_named(add_experiment, capfd):
    path = add_experiment()
    dataset = shapes(12)
    original = type(dataset).__getitem__

    class Torn(type(dataset)):
        def __getitem__(self, item):
            if item == 7 and torch.distributed.is_initialized():
                raise OSError("the disk is gone")
            return original(self, item)

    dataset.__class__ = Torn
    cfg = generic.parse(str(path))
    cfg.gpus = 2
    with pytest.raises(TrainingError, match="item 7 of the dataset cannot be read: OSError: the disk is gone"):
        cfg.fit(dataset)
