"""A name that is not known is answered with another one only where the two are alike."""

import pytest

from instance_segmentation_pipeline.errors import ConfigError, UserError, nearest, one_line, sentence

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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("no such thing", "no such thing"),
        ("no such thing.", "no such thing"),
        ("and so on...", "and so on..."),
        ("", ""),
        (".", ""),
        ("a. b", "a. b"),
    ],
)
def test_what_is_quoted_has_no_stop_of_its_own(words, told):
    assert one_line(ValueError(words)) == (f"ValueError: {told}" if told else "ValueError")
    assert not sentence(UserError(f"x failed: {one_line(ValueError(words))}.")).endswith("..") or words.endswith("...")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("x failed: y..", "x failed: y."),
        ("x failed: y.", "x failed: y."),
        ("and so on...", "and so on..."),
        ("..", "."),
        ("x", "x"),
    ],
)
def test_two_stops_become_one(given, kept):
    assert str(ConfigError(given)) == kept
    inner = ConfigError("y is wrong.")
    assert str(ConfigError(f"x failed: {inner}.")) == "x failed: y is wrong."
