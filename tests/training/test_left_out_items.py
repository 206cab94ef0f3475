"""A validation pipeline that leaves an item out is told with the item's name; training takes another item instead."""

import pytest

from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.errors import DatasetError
from instance_segmentation_pipeline.training.detection_dataset import MusketDetectionDataset
from tests.support.datasets import shapes

PIPELINE = [{"type": "FilterAnnotations", "min_gt_bbox_wh": (1000, 1000)}, {"type": "PackDetInputs", "meta_keys": ()}]


def dataset(training):
    reader = ItemReader(classes=3, bbox_order="yxyx", bbox_source="dataset", needs_masks=True)
    return MusketDetectionDataset(shapes(6), range(6), reader, PIPELINE, ["a", "b", "c"], training=training)


def test_validation_names_the_item():
    with pytest.raises(DatasetError, match="item 'shape0' is left out by the validation pipeline"):
        [dataset(training=False)[number] for number in range(6)]


def test_training_tells_that_all_are_left_out():
    shown = dataset(training=True)
    shown.indices = [0]
    with pytest.raises(DatasetError, match="rejected 1000 items in a row"):
        shown[0]
