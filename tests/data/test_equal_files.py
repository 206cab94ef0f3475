"""Files of one content on both sides of a split are told; a dataset without files, and other files, are left alone."""

import shutil

import pytest
from musket_core.datasets import SubDataSet

from instance_segmentation_pipeline.data.annotation_files import labelme
from instance_segmentation_pipeline.data.cross_validation import Split
from instance_segmentation_pipeline.data.equal_files import notes_on_equal_files
from tests.support import annotated_folders
from tests.support.datasets import shapes


@pytest.fixture
def dataset(tmp_path):
    folder = annotated_folders.labelme(tmp_path / "data", 4)
    shutil.copy(folder / "photo0.jpg", folder / "photo3.jpg")
    return labelme(str(folder))


@pytest.mark.parametrize(
    ("folds", "held", "told"),
    [
        ([([0, 1, 2], [3])], [], True),
        ([([1, 2], [3]), ([1, 3], [0, 2])], [], True),
        ([([0, 3], [1, 2])], [], False),
        ([([0, 1], [2])], [3], True),
        ([([0, 1], [2])], [1], True),
    ],
)
def test_files_of_one_content_on_both_sides(dataset, folds, held, told):
    kept = [place for place in range(4) if place not in held]
    train = SubDataSet(dataset, kept) if held else dataset
    notes = notes_on_equal_files(dataset, Split(train, SubDataSet(dataset, held) if held else None, folds))
    assert bool(notes) == told
    assert not told or ("'photo0.jpg'" in notes[0] and "'photo3.jpg'" in notes[0])


def test_a_dataset_without_files_or_whose_files_are_gone(dataset, tmp_path):
    whole = shapes(4)
    assert notes_on_equal_files(whole, Split(whole, None, [([0, 1, 2], [3])])) == []
    shutil.rmtree(tmp_path / "data")
    assert notes_on_equal_files(dataset, Split(dataset, None, [([0, 1, 2], [3])])) == []
