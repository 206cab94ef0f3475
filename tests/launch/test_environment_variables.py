"""Environment variables that PyTorch and MMEngine read: what is no number is named, whichever of them is there."""

import pytest

from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.launch.job_environment import VARIABLES, job_environment


@pytest.mark.parametrize("value", ["x", "-1", "nan", "1e300", "0x1", "\x1b[31m"])
@pytest.mark.parametrize("name", VARIABLES[1:])
def test_one_that_is_no_number_is_named(name, value, monkeypatch):
    for other in VARIABLES:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"the environment variable {name} is ") as caught:
        job_environment()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", VARIABLES[1:])
def test_a_single_one_makes_no_group(name, monkeypatch):
    for other in VARIABLES:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "1")
    assert job_environment() is None
