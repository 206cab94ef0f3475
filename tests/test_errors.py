"""A name that is not known is answered with another one only where the two are alike."""

import pytest

from instance_segmentation_pipeline.errors import nearest

HEADS = ["DINOHead", "BBoxHead", "SOLOHead", "RPNHead", "FCNMaskHead", "num_outs", "out_channels", "lr", "BN"]


@pytest.mark.parametrize("name", ["Nope", "x", "abc", "none", "in", ""])
def test_nothing_alike(name):
    assert nearest(name, HEADS) == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DINOhed", "DINOHead"),
        ("num_out", "num_outs"),
        ("BBoxHeads", "BBoxHead"),
        ("lrr", "lr"),
        ("BNorm", "BN"),
        ("SoloHead", "SOLOHead"),
    ],
)
def test_a_slip(name, expected):
    assert nearest(name, HEADS) == f" (did you mean {expected!r}?)"
