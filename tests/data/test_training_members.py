"""What datasets tell for training alone: items to train on, positives, weights; seen through parts, unions, folders."""

import numpy as np
import pytest
from musket_core.datasets import CompositeDataSet, PredictionItem, SubDataSet

from instance_segmentation_pipeline.data.data_folder import DataFolder, FolderDataSet
from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.data.splits import item_labels, stratification_classes
from instance_segmentation_pipeline.data.training_members import Positives, sample_weights, train_item
from instance_segmentation_pipeline.errors import DatasetError
from tests.support.datasets import Items, square


def empty(height=40, width=60):
    image, _ = square(height, width)
    return image, (np.zeros(0, int), np.zeros((0, 4), np.float32), np.zeros((0, height, width), bool))


class Plain(Items):
    """Items of which the odd ones have no object."""

    def __init__(self, count=6, name="plain"):
        super().__init__([empty() if number % 2 else square() for number in range(count)])
        self.called = name
        self.reads = 0

    def __getitem__(self, item):
        self.reads += 1
        found = super().__getitem__(item)
        return PredictionItem(f"{self.called}{item}", found.x, found.y)


class WithTrainItems(Plain):
    def get_train_item(self, item):
        found = self[item]
        return PredictionItem(f"trained {found.id}", found.x, found.y)


class WithItem(WithTrainItems):
    def item(self, item, isTrain):
        found = self[item]
        return PredictionItem(f"{'chosen' if isTrain else 'not'} {found.id}", found.x, found.y)


class WithOtherItem(WithTrainItems):
    def item(self, name):
        raise AssertionError(name)


class Told(Plain):
    def isPositive(self, item):
        return item > 3

    def sample_weight(self, item):
        return item


def in_folder(dataset, tmp_path):
    return FolderDataSet(dataset, DataFolder(tmp_path, tmp_path))


WRAPPED = {
    "itself": lambda one, _: (one, 2),
    "part": lambda one, _: (SubDataSet(one, [4, 2, 1]), 1),
    "part of a part": lambda one, _: (SubDataSet(SubDataSet(one, [4, 2, 1]), [2, 1]), 1),
    "union": lambda one, _: (CompositeDataSet([Plain(3), one]), 5),
    "part of a union": lambda one, _: (SubDataSet(CompositeDataSet([Plain(3), one]), [0, 5]), 1),
    "folder": lambda one, there: (in_folder(one, there), 2),
    "union in a folder": lambda one, there: (in_folder(CompositeDataSet([Plain(3), one]), there), 5),
    "part of a union in a folder": lambda one, there: (SubDataSet(in_folder(CompositeDataSet([one]), there), [2]), 0),
}


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Plain, "plain2"),
        (WithTrainItems, "trained plain2"),
        (WithItem, "chosen plain2"),
        (WithOtherItem, "trained plain2"),
    ],
)
def test_the_item_that_a_dataset_gives_for_training(how, kind, expected, tmp_path):
    source, position = WRAPPED[how](kind(), tmp_path)
    assert train_item(source, position).id == expected
    reader = ItemReader(1, "yxyx", "dataset", True)
    assert reader.read(source, position, training=True)[0] == expected
    assert reader.read(source, position)[0] == "plain2"


def test_a_dataset_that_is_no_subclass_may_have_one_too():
    class Other:
        def __len__(self):
            return 1

        def __getitem__(self, item):
            return PredictionItem("plain", *square())

        def item(self, item, isTrain=False):
            return PredictionItem("train" if isTrain else "plain", *square())

    assert train_item(Other(), 0).id == "train"


def test_a_train_item_that_is_wrong_is_told():
    class Wrong(Plain):
        def get_train_item(self, item):
            return None

    with pytest.raises(DatasetError, match="item 3 of the dataset is a NoneType, expected a PredictionItem"):
        ItemReader(1, "yxyx", "dataset", True).read(Wrong(), 3, training=True)


@pytest.mark.parametrize("how", WRAPPED)
def test_positives_are_what_the_dataset_says(how, tmp_path):
    source, position = WRAPPED[how](Told(), tmp_path)
    assert Positives(item_labels()).of(source, [position]).tolist() == [False]


def test_positives_without_a_word_of_the_dataset_are_items_with_labels():
    plain, told = Plain(), Told()
    union = CompositeDataSet([plain, told])
    positives = Positives(item_labels())
    assert positives.of(union, range(12)).tolist() == [True, False] * 3 + [False] * 4 + [True] * 2
    assert told.reads == 0
    before = plain.reads
    assert positives.of(SubDataSet(union, [2, 3]), [0, 1]).tolist() == [True, False]
    assert plain.reads == before


def test_labels_without_images_are_enough():
    class Targets(Plain):
        def get_target(self, item):
            return self.pairs[item][1]

    source = Targets()
    assert Positives(item_labels()).of(source, [0, 1]).tolist() == [True, False]
    assert source.reads == 0


def test_is_positive_that_fails_is_told():
    class Failing(Plain):
        def isPositive(self, item):
            raise KeyError("column")

    with pytest.raises(DatasetError, match="isPositive of item 2 of the dataset fails: KeyError"):
        Positives(item_labels()).of(Failing(), [2])


def test_weights_are_what_the_dataset_says():
    assert sample_weights(Told(), [1, 5]).tolist() == [1, 5]
    assert sample_weights(Plain(), [1, 5]) is None
    assert sample_weights(CompositeDataSet([Plain(), Told()]), [0, 11]).tolist() == [1, 5]
    assert sample_weights(Told(), [3, 3]) is None


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "much", None, [1, 2]])
def test_weights_that_are_none_are_told(weight):
    class Odd(Plain):
        def sample_weight(self, item):
            return weight if item else 1

    if weight is None:
        assert sample_weights(Odd(), [0, 1]) is None
        return
    with pytest.raises(DatasetError, match=r"sample_weight of item 1 is .*, expected a number of 0 or more"):
        sample_weights(Odd(), [0, 1])


def test_weights_that_are_all_zero_are_told():
    class Zero(Plain):
        def sample_weight(self, item):
            return 0

    with pytest.raises(DatasetError, match="sample_weight is 0 for each item"):
        sample_weights(Zero(), [0, 1])


def test_classes_to_stratify_by_are_told_by_each_part_of_a_union():
    class Classed(Plain):
        def get_stratify_class(self, item):
            return "ab"[item % 2]

    told, plain = Classed(), Plain()
    alone = stratification_classes(told)
    assert alone == [0, 1] * 3
    union = SubDataSet(CompositeDataSet([told, plain]), range(12))
    classes = stratification_classes(union)
    assert classes[:6] == alone
    assert classes[6:] == [2, 3] * 3  # of the others, those with objects and those without
    assert plain.reads > 0
    assert told.reads == 0
