"""Objects that no augmented image has any more, told before training."""

from collections.abc import Sequence

from ..item_reader import ItemReader
from ..protocols import Dataset
from .properties import ItemAugmenters

MOST_ITEMS = 8
SEEDS = (0, 1, 2)
"""Each item is augmented once with each."""


def notes_on_vanishing(
    dataset: Dataset, reader: ItemReader, positions: Sequence[int], augmenters: ItemAugmenters
) -> list[str]:
    """Return a line where augmentation leaves none of the objects of some items, such as a crop larger than images.

    Args:
        dataset: The dataset.
        reader: How its items are read.
        positions: Items that can be read; the first eight with objects are looked at.
        augmenters: What items go through.

    Raises:
        DatasetError: An augmenter fails at one.
    """
    if augmenters.augmentation is None:
        return []
    items = objects = 0
    for position in positions:
        item_id, image, instances = reader.read(dataset, position, training=True)
        if not len(instances):
            continue
        for seed in SEEDS:
            if len(augmenters.training_item(image, instances, item_id, seed)[1]):
                return []
        items, objects = items + 1, objects + len(instances)
        if items == MOST_ITEMS:
            break
    if not items:
        return []
    return [
        f"augmentation leaves none of the {objects} objects of the {items} items that were looked at: nothing would be "
        "learned of them: crop or move less"
    ]
