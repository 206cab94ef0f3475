"""``trackers``, ``description`` and ``tags``: what they take, and what is refused."""

import math

import pytest
from musket_core import generic

from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.config.trackers import tags_by_name
from instance_segmentation_pipeline.errors import ConfigError

LEAST = {"configPath": "a.py", "stages": [{"epochs": 1}]}


def checked(**changes):
    return check_properties({**LEAST, **changes})


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("tensorboard", [{"tensorboard": {}}]),
        (["tensorboard", "mlflow"], [{"tensorboard": {}}, {"mlflow": {}}]),
        ([{"mlflow": {"tracking_uri": "http://a"}}], [{"mlflow": {"tracking_uri": "http://a"}}]),
        ({"mlflow": None, "tensorboard": {}}, [{"mlflow": {}}, {"tensorboard": {}}]),
        ({"wandb": {"mode": "offline", "project": "a"}}, [{"wandb": {"mode": "offline", "project": "a"}}]),
        ([], []),
    ],
)
def test_forms(written, names):
    assert checked(trackers=written)["trackers"] == names


def test_tags():
    assert tags_by_name(checked(tags=["a", 2])["tags"]) == {"a": "true", "2": "true"}
    assert tags_by_name(checked(tags={"a": 1.5})["tags"]) == {"a": "1.5"}
    assert tags_by_name(checked(tags="a")["tags"]) == {"a": "true"}
    assert checked(description="two\nlines")["description"] == "two\nlines"


ODD = [0, 1, 1.5, True, math.nan]
BAD = [
    *[({"trackers": value}, "trackers is") for value in ODD],
    *[({"trackers": [value]}, "trackers is") for value in (*ODD, None, [], ["mlflow"], {}, "", " ", "a\0")],
    *[({"trackers": {value: None}}, "trackers is") for value in (1, None, "", True)],
    ({"trackers": [{"mlflow": None, "tensorboard": None}]}, "trackers is"),
    ({"trackers": ["mlflow", "mlflow"]}, "mlflow 2 times"),
    ({"trackers": ["mlflow", {"mlflow": {}}]}, "mlflow 2 times"),
    ({"trackers": "tensorbord"}, "did you mean 'tensorboard'"),
    ({"trackers": "MLflow"}, "use tensorboard, mlflow or wandb"),
    *[({"trackers": name}, "use tensorboard, mlflow or wandb") for name in ("aim", "clearml", "neptune", "dvclive")],
    *[({"trackers": [{name: {"a": 1}}]}, "use tensorboard, mlflow or wandb") for name in ("csv", "local")],
    *[({"trackers": {"mlflow": value}}, "trackers.mlflow is") for value in (*ODD, "x", [], ["x"])],
    *[({"trackers": {"tensorboard": value}}, "trackers.tensorboard is") for value in (*ODD, "x", [])],
    *[
        ({"trackers": {"mlflow": {key: value}}}, f"trackers.mlflow.{key} is")
        for key in ("tracking_uri", "experiment")
        for value in (*ODD, "", " ", "\0", [], {}, None)
    ],
    *[
        ({"trackers": {"wandb": {key: value}}}, f"trackers.wandb.{key} is")
        for key in ("project", "entity", "mode")
        for value in (*ODD, "", " ", "\0", [], {}, None)
    ],
    *[
        ({"trackers": {"wandb": {"mode": value}}}, "must be online or offline")
        for value in ("disabled", "Offline", "shared", True)
    ],
    ({"trackers": {"wandb": {"id": "x"}}}, "it has project, entity, mode"),
    ({"trackers": {"mlflow": {"uri": "x"}}}, "trackers.mlflow has no argument 'uri'"),
    ({"trackers": {"mlflow": {"trackinguri": "x"}}}, "did you mean 'tracking_uri'"),
    ({"trackers": {"mlflow": {3: "x"}}}, "has no argument 3"),
    ({"trackers": {"tensorboard": {"log_dir": "x"}}}, "it has none"),
    *[({"description": value}, "description is") for value in (*ODD, "", " ", [], ["a"], {}, {"a": "b"}, "\0")],
    *[({"tags": value}, "tags is") for value in (*ODD, "", " ")],
    *[({"tags": [value]}, "tags is") for value in (True, None, "", " ", [], {}, ["a"], {"a": 1}, "\0")],
    *[({"tags": {"a": value}}, "tags is") for value in (True, None, "", [], {}, ["a"])],
    *[({"tags": {value: "a"}}, "tags is") for value in (1, None, "", True)],
    ({"tracker": "mlflow"}, "did you mean 'trackers'"),
    ({"tag": ["a"]}, "did you mean 'tags'"),
    ({"stages": [{"epochs": 1, "trackers": "mlflow"}]}, "stages[0].trackers is not a property"),
    ({"stages": [{"epochs": 1, "description": "a"}]}, "stages[0].description is not a property"),
]


@pytest.mark.parametrize(("change", "words"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_a_wrong_value_is_named(change, words):
    with pytest.raises(ConfigError) as caught:
        checked(**change)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 500


def test_attributes_act(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    cfg.trackers, cfg.description, cfg.tags = "mlflow", "of shapes", ["a"]
    assert cfg.parts.settings.tracking.trackers == [{"mlflow": {}}]
    assert (cfg.parts.settings.tracking.description, cfg.parts.settings.tracking.tags) == ("of shapes", ["a"])
    with pytest.raises(ConfigError, match="use tensorboard, mlflow or wandb"):
        cfg.trackers = ["aim"]
