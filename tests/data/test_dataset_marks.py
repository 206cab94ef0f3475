"""What tells a dataset from others is computed once for all that a summary asks."""

import shutil
from collections import Counter

import pytest
from musket_core import generic
from musket_core.datasets import CompositeDataSet, SubDataSet

from instance_segmentation_pipeline.data import dataset_marks
from instance_segmentation_pipeline.data.dataset_marks import DatasetMarks
from instance_segmentation_pipeline.data.item_reader import ItemReader
from tests.support.datasets import shapes

READER = ItemReader(3, "yxyx", "dataset", True)


@pytest.fixture
def computed(monkeypatch):
    """Return how often the mark of each dataset was computed, by its items."""
    counts = Counter()

    def mark(dataset, reader, real=dataset_marks.dataset_mark):
        counts[tuple(str(dataset[number].id) for number in range(len(dataset)))] += 1
        return real(dataset, reader)

    monkeypatch.setattr(dataset_marks, "dataset_mark", mark)
    return counts


def test_each_is_computed_once_while_nothing_changes(computed):
    marks, whole = DatasetMarks(), shapes(8)
    parts = lambda: (  # noqa: E731 - made anew each time, as the parts of a fold are
        whole,
        SubDataSet(whole, [1, 2]),
        SubDataSet(whole, [2, 1]),
        SubDataSet(SubDataSet(whole, [1, 2, 3]), [0, 2]),
        CompositeDataSet([SubDataSet(whole, [5]), SubDataSet(whole, [6])]),
    )
    alone = [marks.of(part, READER) for part in parts()]
    computed.clear()
    with marks.kept():
        for _ in range(3):
            assert [marks.of(part, READER) for part in parts()] == alone
        with marks.kept():
            assert [marks.of(part, READER) for part in parts()] == alone
        assert set(computed.values()) == {1}
        assert len(computed) == 5
        marks.of(whole, ItemReader(2, "yxyx", "dataset", True))
        assert max(computed.values()) == 2
    marks.of(whole, READER)
    assert max(computed.values()) == 3


def test_outside_it_is_seen_that_a_dataset_has_changed(computed):
    marks, whole = DatasetMarks(), shapes(4)
    with marks.kept():
        before = marks.of(whole, READER)
    whole.further = 3
    assert marks.of(whole, READER) != before


def test_what_is_kept_is_let_go_after_an_error(computed):
    marks, whole = DatasetMarks(), shapes(4)
    with pytest.raises(ValueError, match="x"), marks.kept():
        marks.of(whole, READER)
        raise ValueError("x")
    marks.of(whole, READER)
    assert set(computed.values()) == {2}


@pytest.mark.slow
def test_a_summary_computes_each_once(trained, tmp_path, computed):
    """Two folds, two stages, a holdout: two validation parts and the holdout, whatever is asked of them."""
    shutil.copytree(trained.parents[2], tmp_path / "project")
    cfg = generic.parse(str(tmp_path / "project" / "experiments" / "exp01" / "config.yaml"))
    cfg.get_dataset()
    cfg.files.summary.unlink()
    cfg.generateReports()
    assert sorted(computed.values()) == [1, 1, 1]
