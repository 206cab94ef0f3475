"""What data workers draw is decided by the process that trains: workers differ, runs repeat, resumed ones go on."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler

from instance_segmentation_pipeline.data.augmentation.augmentation import Augmentation
from instance_segmentation_pipeline.data.augmentation.declaration import Surroundings, built
from instance_segmentation_pipeline.data.augmentation.properties import ItemAugmenters
from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.training import rng_state
from instance_segmentation_pipeline.training.detection_dataset import MusketDetectionDataset
from instance_segmentation_pipeline.training.item_seeds import (
    SeededPosition,
    SeededSampler,
    draw_apart,
    seed_worker,
    seed_workers,
)
from tests.support.datasets import Items, square


class Draws:
    """A dataset whose items are what is drawn for them."""

    def __len__(self):
        return 12

    def __getitem__(self, position):
        seed_worker(position)
        return int(position), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002


def loader():
    made = DataLoader(Draws(), batch_size=2, sampler=RandomSampler(range(12)), num_workers=2, persistent_workers=True)
    seed_workers(made)
    draw_apart(made)
    return made


def epoch(made):
    return [tuple(tuple(part.tolist()) for part in batch) for batch in made]


def start(seed):
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def test_workers_differ_runs_repeat_and_fresh_workers_go_on():
    start(3)
    whole = loader()
    first, states = epoch(whole), rng_state.take()
    second = epoch(whole)
    after = torch.rand(()), np.random.random()  # noqa: NPY002
    drawn = [value for batch in first + second for value in batch[1]]
    assert len(set(drawn)) == 24
    start(3)
    assert epoch(loader()) == first
    start(99)
    fresh = loader()
    rng_state.put(states)
    assert (epoch(fresh), torch.rand(()), np.random.random()) == (second, *after)  # noqa: NPY002  # persistent workers are gone with the process that was killed
    start(4)
    assert epoch(loader()) != first


def test_a_position_travels_with_its_seed():
    position = SeededPosition(5)
    position.seed = 17
    there = pickle.loads(pickle.dumps(position))
    assert there == 5 and there.seed == 17 and [10, 20, 30, 40, 50, 60][there] == 60
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    seed_worker(position)  # outside of workers the process draws for itself
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    sampler = SeededSampler(RandomSampler(range(3)))
    assert len(sampler) == 3 and sampler.num_samples == 3
    with pytest.raises(AttributeError):
        sampler.nothing_of_that_name  # noqa: B018


def test_an_item_whose_objects_all_left_trains_as_negative():
    away = Augmentation(built({"TranslateX": {"px": 500}}, "augmentation", Surroundings()))
    pipeline = [{"type": "FilterAnnotations", "min_gt_bbox_wh": (1, 1), "keep_empty": True}, {"type": "PackDetInputs"}]
    reader = ItemReader(1, "yxyx", "dataset", True)
    source = Items([square()])
    dataset = MusketDetectionDataset(
        source, [0], reader, pipeline, ("one",), training=True, augmenters=ItemAugmenters(away)
    )
    packed = dataset[0]
    assert len(packed["data_samples"].gt_instances) == 0
    assert int(packed["inputs"].max()) == 0
    shown = MusketDetectionDataset(
        source, [0], reader, pipeline[1:], ("one",), training=False, augmenters=ItemAugmenters(away)
    )
    assert len(shown[0]["data_samples"].gt_instances) == 1  # validation is not augmented
