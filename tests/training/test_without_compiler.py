"""A machine without a compiler trains, and says nothing of the compiler."""

import logging
import sysconfig
from types import SimpleNamespace

from mmengine.config import Config

from instance_segmentation_pipeline.training.runner import StageRunner


def test_a_missing_compiler_is_logged_and_not_printed(capfd, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    command = sysconfig.get_config_var("CC")
    runner = object.__new__(StageRunner)
    runner._randomness_cfg, runner._seed = {}, 0
    runner._launcher, runner._distributed, runner._world_size = "none", False, 1
    runner.logger, runner.cfg = logging.getLogger("environment"), Config({})
    with caplog.at_level(logging.INFO, "environment"):
        runner._log_env({})
    assert "GCC: n/a" in caplog.text
    assert capfd.readouterr().err == ""
    assert sysconfig.get_config_var("CC") == command


def test_a_compiler_that_is_there_is_logged(monkeypatch, tmp_path):
    from instance_segmentation_pipeline.training import runner

    monkeypatch.setattr(runner, "shutil", SimpleNamespace(which=lambda name: f"/usr/bin/{name}"))
    command = sysconfig.get_config_var("CC")
    with runner._quiet_without_compiler():
        assert sysconfig.get_config_var("CC") == command
