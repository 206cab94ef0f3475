"""The datasets of the examples end: going through one by ``for`` asks for items until there is an ``IndexError``."""

import itertools
from pathlib import Path

import pytest

from instance_segmentation_pipeline.data.providers import Declarations, declared_dataset, project_modules
from tests.support.project import SHAPES


def test_shapes_end():
    given = Declarations(project_modules(SHAPES), Path("config.yaml"))
    dataset = declared_dataset({"get_shapes": {"count": 3, "size": 64}}, given)
    assert [item.id for item in itertools.islice(iter(dataset), 5)] == ["shape0", "shape1", "shape2"]
    with pytest.raises(IndexError):
        dataset[3]
