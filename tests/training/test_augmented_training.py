"""Experiments whose items are augmented: really trained, resumed, refused where the augmentation was changed."""

import pytest
from musket_core import generic

pytestmark = pytest.mark.slow


def test_the_augmentation_of_2019_trains(add_experiment):
    cfg = generic.parse(str(add_experiment(extra="augmentation: {Fliplr: 0.5}\n")))
    cfg.fit()
    assert (cfg.files.base / "summary.yaml").exists()
