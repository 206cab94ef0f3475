"""Who takes part in a run trains on the split that the run has made, or is refused; it writes nothing."""

from dataclasses import replace

import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError
from tests.support.datasets import shapes
from tests.support.folders import snapshot

EXTRA = "folds_count: 3\ntestSplit: 0.2\n"


@pytest.fixture
def path(add_experiment):
    """Return the YAML of an experiment with folds and a holdout."""
    return add_experiment(extra=EXTRA)


def part(path):
    """Return the config as another process of a run has it."""
    cfg = generic.parse(str(path))
    cfg.run = replace(cfg.run, is_part=True)
    return cfg


def fewer(path):
    return shapes(11)


def other_order(path):
    items = shapes(12)
    return type("Turned", (), {"__len__": lambda _: 12, "__getitem__": lambda _, index: items[11 - index]})()


def other_yaml(path):
    path.write_text(path.read_text().replace("folds_count: 3", "folds_count: 4"))
    return shapes(12)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("other", [fewer, other_order, other_yaml], ids=lambda one: one.__name__)
def test_another_dataset_is_told(path, other, trained):
    generic.parse(str(path)).kfold(shapes(12))
    if trained:
        (path.parent / "weights").mkdir()
        (path.parent / "weights" / "best-0.0.weights").write_bytes(b"trained")
    dataset = other(path)
    before = snapshot(path.parent)
    with pytest.raises(ConfigError, match="was not made for the dataset that is found on .*the same on all machines"):
        part(path).kfold(dataset)
    assert snapshot(path.parent) == before


def test_no_split_is_made(path):
    before = snapshot(path.parent)
    with pytest.raises(ConfigError, match="was not made for the dataset"):
        part(path).kfold(shapes(12))
    assert snapshot(path.parent) == before


def test_the_same_dataset_has_the_same_split(path):
    made = generic.parse(str(path)).kfold(shapes(12))
    before = snapshot(path.parent)
    found = part(path).kfold(shapes(12))
    for fold in range(3):
        assert [list(found.indexes(fold, kind)) for kind in (True, False)] == [
            list(made.indexes(fold, kind)) for kind in (True, False)
        ]
    assert snapshot(path.parent) == before
