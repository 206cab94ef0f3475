"""Keys that say what is measured and shown of a training: what they take, and what is refused."""

import math

import pytest

from instance_segmentation_pipeline.config.metric_lists import named
from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.errors import ConfigError

LEAST = {"configPath": "a.py", "stages": [{"epochs": 1}]}


def checked(**changes):
    return check_properties({**LEAST, **changes})


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("segm_F1", [("segm_F1", False)]),
        (["a", "b"], [("a", False), ("b", False)]),
        ({"a": {"for_validation": True}, "b": None}, [("a", True), ("b", False)]),
        (["a", {"b": {"for_validation": True}}, {"c": {}}], [("a", False), ("b", True), ("c", False)]),
        ([], []),
    ],
)
def test_forms_of_final_metrics(written, names):
    assert named(checked(final_metrics=written)["final_metrics"]) == names


def test_forms_of_metrics():
    assert checked(metrics="a")["metrics"] == ["a"]
    assert checked(metrics=["a", "b"])["metrics"] == ["a", "b"]
    assert checked()["metrics"] == []


NO_NAMES = [
    0,
    1,
    1.5,
    True,
    {},
    {"a": 1},
    [1],
    [None],
    [["a"]],
    ["a", 2],
    [True],
    [""],
    " ",
    "",
    ["  "],
    "a\0b",
    ["a", "a"],
]
BAD = [
    *[({"metrics": value}, "metrics") for value in NO_NAMES],
    *[({"final_metrics": value}, "final_metrics") for value in NO_NAMES if value != {}],
    *[({"final_metrics": {"a": value}}, "final_metrics.a") for value in (True, 1, "x", ["x"], 1.5, [])],
    *[
        ({"final_metrics": {"a": {"for_validation": value}}}, "final_metrics.a.for_validation")
        for value in (1, 0, "yes", None, [], {}, 1.0)
    ],
    ({"final_metrics": {"a": {"for_validaton": True}}}, "did you mean 'for_validation'"),
    ({"final_metrics": {"a": {"x": True}}}, "final_metrics.a.x is not known"),
    ({"final_metrics": [{"a": {"for_validation": True}, "b": None}]}, "final_metrics is"),
    ({"final_metrics": [{"a": None}, "a"]}, "final_metrics has 'a' 2 times"),
    ({"final_metrics": {"": None}}, "final_metrics"),
    ({"final_metrics": {3: None}}, "final_metrics"),
    *[({"verbose": value}, "verbose is") for value in (-1, 3, 1.0, True, False, "1", "yes", [1], {}, math.nan, 10**30)],
    *[({"logAll": value}, "logAll is") for value in (0, 1, "true", "", [], {}, 1.5, "a.csv")],
    *[
        ({"stages": [{"epochs": 1, "logAll": value}]}, "stages[0].logAll is")
        for value in (0, 1, "true", "", [], {}, 1.5, "a.csv")
    ],
    ({"stages": [{"epochs": 1, "verbose": 2}]}, "stages[0].verbose is not a property"),
    ({"stages": [{"epochs": 1, "metrics": ["segm_F1"]}]}, "stages[0].metrics is not a property"),
    *[
        ({"dumpPredictionsToCSV": value}, "dumpPredictionsToCSV is")
        for value in (0, 1, "true", "", [], {}, 0.5, "a.csv", ["holdout"])
    ],
    ({"log_all": True}, "did you mean 'logAll'"),
    ({"metric": ["segm_F1"]}, "did you mean 'metrics'"),
    ({"verbos": 1}, "did you mean 'verbose'"),
    ({"finalMetrics": ["segm_F1"]}, "finalMetrics is not a property"),
]


@pytest.mark.parametrize(("change", "words"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_a_wrong_value_is_named(change, words):
    with pytest.raises(ConfigError) as caught:
        checked(**change)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 500
