"""Which devices a training gets, and how they are shared out."""

import pytest

from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.launch.devices import devices_for, leases


def test_leases():
    assert leases(4, 2, 1) == [["cpu", "cpu"]]
    assert leases(4, 2, 8) == [["cpu", "cpu"], ["cpu", "cpu"]]
    assert leases(1, 1, 3) == [["cpu"]]
    with pytest.raises(ConfigError, match="num_gpus is 1, less than gpus_per_net 2"):
        leases(1, 2, 1)
    with pytest.raises(ConfigError, match="gpus_per_net is 0"):
        devices_for(0)
