"""Arguments of ``fit`` that musket_core has and that mean nothing here are refused, and change nothing."""

import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError
from tests.support.folders import snapshot


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"parallel": True}, "would train without the experiment's lock: set num_gpus and num_workers"),
        ({"drawingFunction": print}, "the task draw_dataset draws more"),
    ],
)
def test_what_has_no_meaning_is_refused_with_what_does_its_job(add_experiment, arguments, words):
    path = add_experiment()
    before = snapshot(path.parent)
    with pytest.raises(ConfigError, match=words):
        generic.parse(str(path)).fit(**arguments)
    assert snapshot(path.parent) == before
