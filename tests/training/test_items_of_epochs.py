"""Which items epochs really train on: real runs of the command line whose dataset writes down what is read."""

from collections import Counter

import pytest
from musket_core import generic

from instance_segmentation_pipeline.cli import fit
from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.experiment.run_arguments import FoldRequest
from instance_segmentation_pipeline.experiment.stage_work import StageWork
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from tests.support.processes import wait_until
from tests.support.warm import started_musket
from tests.support.weights import weights_of

pytestmark = pytest.mark.slow

COUNT = 16
MODULE = """
import os
from pathlib import Path

from musket_core.datasets import dataset_provider
from shapes import Shapes

HERE = Path(__file__).parent.parent


class Marked(Shapes):
    def get_train_item(self, item):
        with open(HERE / "trained.txt", "a") as file:
            file.write(f"{os.getpid()} {item}\\n")
        return self[item]

    def isPositive(self, item):
        return item % 4 == 0


class Weighted(Marked):
    def sample_weight(self, item):
        return 0 if item % 4 else 1 + item


@dataset_provider
def get_marked(count=16):
    return Marked(count, 64, 0)


@dataset_provider
def get_weighted(count=16):
    return Weighted(count, 64, 0)
"""
PLAIN = ("shape:", "nativePipeline: false\nshape:")
DATASET = ("  get_shapes: {count: 12, size: 64}\n", "  get_marked: [16]\n")


@pytest.fixture
def marked(project, add_experiment):
    """Return a function that adds an experiment on the dataset that writes down its training items."""
    (project / "modules" / "marked.py").write_text(MODULE)

    def add(name, stages, extra="", *replace):
        stages = ("  - epochs: 1\n", stages)
        changes = [PLAIN, DATASET, ("imagesPerGpu: 4", "imagesPerGpu: 2"), stages, *replace]
        return add_experiment(name, extra=extra, replace=changes)

    return add


def fitted(path, *arguments):
    assert fit.main(["--project", str(path.parents[2]), "--name", path.parent.name, *arguments]) == 0
    return generic.parse(str(path))


def train_part(cfg):
    return list(cfg.kfold().indexes(0, True))


def read_by(path):
    """Return the items that each process read to train on; the first one of all was read by the check before."""
    lines = [line.split() for line in (path.parents[2] / "trained.txt").read_text().splitlines()]
    found = {}
    for process, item in lines[1:]:
        found.setdefault(process, []).append(int(item))
    return list(found.values())


def cut(items, length):
    assert len(items) % length == 0
    return [items[start : start + length] for start in range(0, len(items), length)]


def test_negatives_by_stage_drawn_anew_each_epoch(marked, capsys):
    path = marked("by_stage", "  - {epochs: 4, negatives: 1}\n  - {epochs: 1, negatives: none}\n  - epochs: 1\n")
    cfg = fitted(path)
    there = set(train_part(cfg))
    positive = {item for item in there if item % 4 == 0}
    (read,) = read_by(path)
    count = 2 * len(positive)
    epochs = cut(read[: 4 * count], count)
    for shown in epochs:
        assert len(set(shown)) == count
        assert positive <= set(shown) <= there
    assert len({frozenset(shown) for shown in epochs}) > 1
    rest = read[4 * count :]
    assert set(rest[: len(positive)]) == positive
    assert set(rest[len(positive) :]) == there
    out = capsys.readouterr().out
    assert (
        f"stage 0: schedule of items: an epoch draws anew {len(positive)} items with objects, {len(positive)} of" in out
    )
    assert f"schedule: 4 epochs of {-(-count // 2)} iterations" in out


def test_without_negatives_none_is_left_to_take_the_place_of_another_image(marked):
    cfg = generic.parse(
        str(marked("none", "  - {epochs: 1, negatives: none}\n  - {epochs: 1, negatives: 1}\n", "maxEpochSize: 1\n"))
    )
    none, some = (StageWork(cfg, cfg.kfold(), FoldRequest(0), number)._items() for number in (0, 1))
    assert all(item % 4 == 0 for item in none.train)
    assert none.per_epoch() == some.per_epoch() == 2
    assert any(item % 4 for item in some.train)


def test_an_epoch_of_fewer_iterations_and_its_schedule(marked, capsys):
    path = marked("short", "  - epochs: 3\n", "maxEpochSize: 2\n")
    cfg = fitted(path)
    (read,) = read_by(path)
    epochs = cut(read, 4)
    assert len(epochs) == 3
    assert all(len(set(shown)) == 4 for shown in epochs)
    assert len({frozenset(shown) for shown in epochs}) > 1
    assert set(read) <= set(train_part(cfg))
    assert "schedule: 3 epochs of 2 iterations" in capsys.readouterr().out
    assert len(read_rows(cfg.files.stage(0, 0).metrics)) == 3


def test_items_are_drawn_by_their_weights(marked):
    path = marked("weighted", "  - epochs: 3\n", "", ("get_marked", "get_weighted"))
    fitted(path)
    (read,) = read_by(path)
    assert all(item % 4 == 0 for item in read)
    assert max(Counter(read).values()) > 3


def test_validation_negatives_are_left_out_of_the_epochs_and_not_of_the_summary(marked, capsys):
    path = marked("validated", "  - {epochs: 1, validation_negatives: none}\n", "validationSplit: 0.5\n")
    cfg = fitted(path)
    validation = cfg.kfold().indexes(0, False)
    kept = [item for item in validation if item % 4 == 0]
    assert 0 < len(kept) < len(validation)
    assert f"validation after each epoch on {len(kept)} of {len(validation)} items" in capsys.readouterr().out
    assert len(cfg.predictions("validation0")) == len(validation)


def test_two_devices_share_what_an_epoch_draws(marked):
    path = marked("group", "  - {epochs: 2, negatives: 1}\n", "maxEpochSize: 2\n")
    cfg = fitted(path, "--gpus_per_net", "2")
    positive = {item for item in train_part(cfg) if item % 4 == 0}
    count = min(8, 2 * len(positive))  # of 2 iterations of 2 items on each device
    one, two = read_by(path)[-2:]
    half = count // 2
    epochs = [one[start : start + half] + two[start : start + half] for start in (0, half)]
    assert [len(set(shown)) for shown in epochs] == [count] * 2
    assert set.union(*map(set, epochs)) <= set(train_part(cfg))
    assert count == 8 or all(positive <= set(shown) for shown in epochs)


def test_workers_read_what_the_process_alone_would(marked):
    alone = marked("alone", "  - {epochs: 2, negatives: 1}\n")
    fitted(alone)
    (expected,) = read_by(alone)
    (alone.parents[2] / "trained.txt").unlink()
    workers = marked("workers", "  - {epochs: 2, negatives: 1}\n", "workersPerGpu: 2\n")
    fitted(workers)
    found = [item for items in read_by(workers) for item in items]
    assert Counter(found) == Counter(expected)


KILLED = "  - {epochs: 3, negatives: 1}\n  - {epochs: 2, negatives: none}\n"


@pytest.mark.parametrize("more", [(), ("--gpus_per_net", "2")], ids=["one device", "two devices"])
def test_a_killed_run_goes_on_with_the_same_items_and_ends_with_the_same_bits(marked, more):
    """Of several shapes, too."""
    extra, shapes = "maxEpochSize: 3\n", ("shape: [64, 64]", "shape: [[64, 64], [96, 64]]\nmultiscaleMode: range")
    whole = marked("whole", KILLED, extra, shapes)
    fitted(whole, *more)
    wanted = [weights_of(generic.parse(str(whole)).files.stage(0, stage).last_weights) for stage in (0, 1)]
    path = marked("killed", KILLED, extra, shapes)
    flags = ["--project", path.parents[2], "--name", "killed", *more]
    with started_musket("fit", *flags) as process:
        wait_until((path.parent / "weights" / "last-0.0.weights").exists, process)
    assert not (path.parent / "summary.yaml").exists()
    cfg = fitted(path, "--allow_resume", "true", *more)
    assert [weights_of(cfg.files.stage(0, stage).last_weights) for stage in (0, 1)] == wanted


CHANGES = {
    "negatives": ("negatives: 1", "negatives: 2", "negatives 1.0 there, 2.0 now"),
    "validation_negatives": ("negatives: 1", "negatives: 1, validation_negatives: all", "validation_negatives None"),
    "maxEpochSize": ("maxEpochSize: 3", "maxEpochSize: 4", "maxEpochSize 3 there, 4 now"),
    "steps_per_epoch": ("maxEpochSize: 3", "steps_per_epoch: 4", "maxEpochSize 3 there, 4 now"),
    "sample_weight": ("get_marked", "get_weighted", "sample_weight None there"),
}


def test_a_resume_names_what_was_changed(marked):
    path = marked("changed", "  - {epochs: 1, negatives: 1}\n", "maxEpochSize: 3\n")
    fitted(path)
    text = path.read_text()
    for old, new, message in CHANGES.values():
        assert old in text
        path.write_text(text.replace(old, new))
        cfg = generic.parse(str(path))
        cfg.setAllowResume(True)
        with pytest.raises(WeightsError) as caught:
            cfg.fit()
        assert message in str(caught.value)
    path.write_text(text.replace("maxEpochSize", "steps_per_epoch"))
    cfg = generic.parse(str(path))
    cfg.setAllowResume(True)
    cfg.fit()


WRONG = {
    "nothing left": ("  - {epochs: 1}\n  - {epochs: 1, negatives: none}\n", "", "negatives is none, and none of the"),
    "sampler": (
        "  - {epochs: 1}\n",
        "maxEpochSize: 1\n",
        "train_dataloader.sampler is {'shuffle': False, 'type': 'DefaultSampler'}",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_told_before_the_first_stage_trains(marked, name, capfd):
    stages, extra, message = WRONG[name]
    replace = [("get_marked: [16]", "get_marked: [3]\nvalidationSplit: 0.34")] if name == "nothing left" else []
    if name == "sampler":
        replace = [("configOptions:\n", "configOptions:\n  train_dataloader.sampler.shuffle: false\n")]
    path = marked("wrong", stages, extra, *replace)
    if name == "nothing left":
        module = path.parents[2] / "modules" / "marked.py"
        module.write_text(module.read_text().replace("item % 4 == 0", "False"))
    assert fit.main(["--project", str(path.parents[2]), "--name", "wrong"]) != 0
    assert message in capfd.readouterr().err
    assert not list(path.parent.glob("weights/*.weights"))
