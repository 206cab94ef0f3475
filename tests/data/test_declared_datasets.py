"""What ``dataset`` may declare: one provider, or parts; what would be left out is refused."""

import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError

ONE = "get_shapes: {count: 4, size: 64}"


def declared(add_experiment, *lines):
    text = "".join(f"  {line}\n" for line in lines)
    path = add_experiment(replace=[("  get_shapes: {count: 12, size: 64}\n", text)])
    return generic.parse(str(path))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((ONE, "get_other: {count: 2}"), r"names 2 providers \(get_shapes, get_other\), expected one"),
        ((f"train: {{{ONE}}}", ONE), "has train beside get_shapes"),
        (
            (f"train: {{{ONE}}}", f"validaton: {{{ONE}}}"),
            r"has train beside validaton \(did you mean 'validation'\?\)",
        ),
    ],
)
def test_nothing_that_is_declared_is_left_out(add_experiment, lines, message):
    cfg = declared(add_experiment, *lines)
    with pytest.raises(ConfigError, match=message):
        cfg.get_dataset()


def test_several_providers_of_a_part_are_joined(add_experiment):
    cfg = declared(add_experiment, f"train: {{{ONE}}}", f"validation: {{{ONE}}}")
    assert len(cfg.get_dataset()) == 8
