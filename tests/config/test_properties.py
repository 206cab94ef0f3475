"""The table of properties: types, ranges, unknown keys."""

import pytest

from instance_segmentation_pipeline.config.schema import PROPERTIES, check_properties
from instance_segmentation_pipeline.errors import ConfigError

LEAST = {"configPath": "a.py", "stages": [{"epochs": 1}]}


def test_defaults():
    checked = check_properties(LEAST)
    assert checked["folds_count"] == 1
    assert checked["resetHeads"] is True
    assert checked["pretrained"] is True
    assert set(checked) == {entry.name for entry in PROPERTIES}


@pytest.mark.parametrize("text", ["1e-3", 0.001, "0.001"])
def test_numbers_that_yaml_reads_as_text(text):
    assert check_properties({**LEAST, "lr": text})["lr"] == 0.001


@pytest.mark.parametrize("shape", [[800, 1333], [800, 1333, 3]])
def test_shape_may_name_the_channels(shape):
    assert check_properties({**LEAST, "shape": shape})["shape"] == [800, 1333]


BAD = [
    ({"clases": 3}, "clases is not a property of the MMDetection dialect (did you mean 'classes'?)"),
    ({"imagesPerGPU": 1}, "did you mean 'imagesPerGpu'?"),
    ({"backbone": {}}, "backbone is a Musket property that the MMDetection dialect does not have"),
    ({"callbacks": 5}, "callbacks is 5, but it must be a callback's name, a mapping of callbacks"),
    ({"augmentation": 5}, "augmentation is 5, but it must be a mapping of imgaug's augmenters"),
    ({"classes": "many"}, "classes is 'many', but it must be a whole number from 1 to 100000"),
    ({"classes": True}, "classes is True"),
    ({"classes": 0}, "classes is 0"),
    ({"shape": [800]}, "shape is [800], but it must be [height, width]"),
    ({"shape": [800, 1333, 1]}, "shape is [800, 1333, 1]"),
    ({"testSplit": 1}, "testSplit is 1"),
    ({"validationSplit": 0}, "validationSplit is 0"),
    ({"resetHeads": "yes please"}, "resetHeads is 'yes please', but it must be true or false"),
    ({"bboxOrder": "xywh"}, "bboxOrder is 'xywh', but it must be yxyx or xyxy"),
    ({"lr": -1}, "lr is -1"),
    ({"stages": []}, "stages is []"),
    ({"stages": [{"lr": 1}]}, "stages[0].epochs is missing"),
    ({"stages": [{"epochs": 1, "lrr": 1}]}, "stages[0].lrr is not a property"),
    ({"stages": [{"epochs": 1.5}]}, "stages[0].epochs is 1.5"),
    ({"configOptions": ["a"]}, "configOptions is ['a']"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[str(change) for change, _ in BAD])
def test_a_wrong_value_is_named(change, message):
    with pytest.raises(ConfigError) as caught:
        check_properties({**LEAST, **change})
    assert message in str(caught.value)


def test_config_path_is_required():
    with pytest.raises(ConfigError, match="configPath is missing"):
        check_properties({"stages": [{"epochs": 1}]})
