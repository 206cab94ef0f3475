"""An augmentation that leaves no object is told before training; one that leaves some is not."""

import numpy as np
import pytest
from imgaug import augmenters as iaa

from instance_segmentation_pipeline.data.augmentation.augmentation import Augmentation
from instance_segmentation_pipeline.data.augmentation.properties import ItemAugmenters
from instance_segmentation_pipeline.data.augmentation.vanishing import notes_on_vanishing
from instance_segmentation_pipeline.data.item_reader import ItemReader
from tests.support.datasets import Items, shapes

READER = ItemReader(3, "yxyx", "dataset", needs_masks=True)


def notes(dataset, *augmenters):
    made = ItemAugmenters(Augmentation(list(augmenters))) if augmenters else ItemAugmenters()
    return notes_on_vanishing(dataset, READER, range(len(dataset)), made)


@pytest.mark.parametrize(
    "augmenter",
    [iaa.Crop(px=400), iaa.Affine(translate_px={"x": 500}), iaa.TotalDropout(1.0)],
    ids=lambda one: one.name,
)
def test_what_takes_all_objects_away_is_told(augmenter):
    (line,) = notes(shapes(12), augmenter)
    assert line.startswith("augmentation leaves none of the ")
    assert "objects of the 8 items that were looked at" in line


@pytest.mark.parametrize("augmenter", [iaa.Crop(px=2), iaa.Fliplr(0.5), iaa.Sometimes(0.5, iaa.Crop(px=400))])
def test_what_leaves_some_is_not(augmenter):
    assert notes(shapes(12), augmenter) == []


def test_without_augmentation_or_objects_there_is_nothing_to_tell():
    assert notes(shapes(3)) == []
    empty = Items(
        [(np.zeros((20, 30, 3), np.uint8), (np.zeros(0, int), np.zeros((0, 4)), np.zeros((0, 20, 30), bool)))]
    )
    assert notes(empty, iaa.Crop(px=400)) == []
