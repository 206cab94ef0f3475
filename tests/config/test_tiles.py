"""``crops`` and ``tiles``: each bad value is named, with what is expected."""

import pytest

from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.config.tiles import grid_of
from instance_segmentation_pipeline.detection.tiles import Grid
from instance_segmentation_pipeline.errors import ConfigError

LEAST = {"configPath": "a.py", "stages": [{"epochs": 1}]}
NO_COUNT = [
    0,
    1,
    -1,
    1.5,
    101,
    "many",
    "2 x 2",
    True,
    False,
    [2],
    [2, 2],
    {"n": 2},
    float("nan"),
    float("inf"),
    "",
    b"2",
]
NO_SIZE = [
    0, -1, 15, 1.5, 32_768, 10**30, "large", "", True, False, [], [64], [64, 64, 3], [64, 8], [64, "x"], [64, None],
    [[64, 64]], {"width": 64}, float("nan"), float("inf"), [64, 1e9], [True, 64],
]  # fmt: skip
NO_SHARE = [-0.1, "much", [0.2], {}, True, False, float("nan"), float("inf"), "20%", "", [0.1, 0.2], 2, 100]
NO_MAPPING = [64, "64", [64], [64, 64], True, 0.5, "", [{"size": 64}], {1: 2}, {None: 1}]
UNKNOWN = [
    "sizes",
    "Size",
    "overlaps",
    "keeps",
    "width",
    "height",
    "n",
    "count",
    "stride",
    "min_area",
    "shape",
    "crops",
]

BAD = [
    *(({"crops": value}, "crops is ") for value in NO_COUNT),
    *(({"tiles": {"size": value}}, "tiles.size is ") for value in NO_SIZE),
    *(({"tiles": {"size": 64, "overlap": value}}, "tiles.overlap is ") for value in [*NO_SHARE, 0.95, 1]),
    *(({"tiles": {"size": 64, "keep": value}}, "tiles.keep is ") for value in [*NO_SHARE, 1.01]),
    *(({"tiles": value}, "tiles") for value in NO_MAPPING),
    *(({"tiles": {"size": 64, name: 1}}, f"tiles.{name} is not known") for name in UNKNOWN),
    ({"tiles": {}}, "tiles.size is missing"),
    ({"tiles": {"overlap": 0.2}}, "tiles.size is missing"),
    ({"tiles": {"size": None}}, "tiles.size is missing"),
    ({"tiles": {"size": 64}, "crops": 2}, "give one of the two"),
    ({"tile": {"size": 64}}, "did you mean 'tiles'?"),
    ({"crop": 2}, "did you mean 'crops'?"),
    ({"stages": [{"epochs": 1, "crops": 2}]}, "stages[0].crops"),
    ({"stages": [{"epochs": 1, "tiles": {"size": 64}}]}, "stages[0].tiles"),
]


def test_there_are_enough_of_them():
    assert len(BAD) > 85


@pytest.mark.parametrize(("change", "message"), BAD, ids=[str(change) for change, _ in BAD])
def test_a_wrong_value_is_named(change, message):
    with pytest.raises(ConfigError) as caught:
        check_properties({**LEAST, **change})
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("given", "grid"),
    [
        ({}, None),
        ({"crops": 3}, Grid(count=3)),
        ({"tiles": {"size": 640}}, Grid(size=(640, 640), overlap=0.2, keep=0.3)),
        ({"tiles": {"size": [512, 640], "overlap": 0, "keep": 1}}, Grid(size=(512, 640), overlap=0, keep=1)),
        ({"tiles": {"size": 640, "overlap": "0.5", "keep": "5e-1"}}, Grid(size=(640, 640), overlap=0.5, keep=0.5)),
    ],
)
def test_what_is_given_is_a_grid(given, grid):
    checked = check_properties({**LEAST, **given})
    assert grid_of(checked["crops"], checked["tiles"]) == grid
    assert check_properties({**LEAST, **{key: checked[key] for key in given}}) == checked
