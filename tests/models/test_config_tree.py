"""Finding one's way in native configs: plain ones, MMEngine's, and those in the new style."""

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.optim import LinearLR

from instance_segmentation_pipeline.models.config_tree import is_pretrained, type_name, value_at, walk

TREE = {"a": {"b": [{"c": 1}, {"d": {"type": "mmdet.RTMDet"}}]}, "e": ({"f": 2},), "g": 3}


def test_mappings_are_found_the_outermost_first():
    assert [path for path, _ in walk(TREE)] == ["", "a", "a.b.0", "a.b.1", "a.b.1.d", "e.0"]
    assert [path for path, _ in walk(TREE["a"], "model")][:2] == ["model", "model.b.0"]


def test_what_is_found_is_the_config_itself():
    config = ConfigDict(TREE)
    for _, node in walk(config):
        if "c" in node:
            node["c"] = 9
    assert value_at(config, "a.b.0.c") == 9


@pytest.mark.parametrize("make", [dict, ConfigDict, Config])
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("g", 3),
        ("a.b.0.c", 1),
        ("e.0.f", 2),
        ("a.b.7", None),
        ("a.b.x", None),
        ("a.b.-1", None),
        ("g.h", None),
        ("x.y", None),
    ],
)
def test_a_value_by_its_path(make, path, found):
    assert value_at(make(TREE), path) == found


@pytest.mark.parametrize(
    ("kind", "name"), [("mmdet.RTMDet", "RTMDet"), ("RTMDet", "RTMDet"), (LinearLR, "LinearLR"), (None, "None")]
)
def test_a_type_by_its_name(kind, name):
    assert type_name({"type": kind}) == name


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        (None, False),
        ([{"type": "Pretrained"}], False),
        ({"type": "Xavier"}, False),
        ({"type": "Pretrained", "checkpoint": "x"}, True),
        ({"type": "mmengine.PretrainedInit", "checkpoint": "x"}, True),
    ],
)
def test_parts_that_start_from_weights(init, expected):
    assert is_pretrained({"init_cfg": init}) is expected
