"""How long threads waited for processors, as Linux tells it, and where it does not."""

import pytest

from instance_segmentation_pipeline.training import processor_queue
from instance_segmentation_pipeline.training.processor_queue import ProcessorQueue, waited


@pytest.mark.parametrize(
    ("before", "now", "share"),
    [
        ({"1": (10, 5)}, {"1": (40, 15)}, 0.25),
        ({"1": (10, 5)}, {"1": (10, 5)}, 0.0),
        ({"1": (10, 5)}, {"1": (10, 5), "2": (30, 90)}, 0.75),  # a thread begun since
        ({"1": (10, 5), "2": (99, 99)}, {"1": (20, 15)}, 0.5),  # one that has ended
    ],
)
def test_the_share_is_of_what_passed_since(before, now, share):
    assert waited(before, now) == share


@pytest.mark.parametrize("is_told", [True, False])
def test_it_is_a_share_of_work(monkeypatch, tmp_path, is_told):
    if not is_told:
        monkeypatch.setattr(processor_queue, "TASKS", tmp_path / "none")
    queue = ProcessorQueue()
    sum(range(300_000))
    assert 0 <= queue.share() < 1


def test_files_of_another_form_are_as_none(monkeypatch, tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "schedstat").write_text("none")
    monkeypatch.setattr(processor_queue, "TASKS", tmp_path)
    assert 0 <= ProcessorQueue().share() < 1
