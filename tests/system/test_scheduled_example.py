"""The example whose learning rate follows a chain, and that ends when it is good, run small."""

import shutil

import pytest
import yaml

from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from tests.support.project import REPOSITORY

pytestmark = pytest.mark.slow


def test_the_rate_follows_the_chain_and_events_are_written(tmp_path, musket):
    project = tmp_path / "coins"
    shutil.copytree(REPOSITORY / "examples" / "coins" / "modules", project / "modules")
    source = REPOSITORY / "examples" / "coins" / "experiments" / "scheduled" / "config.yaml"
    header, _, text = source.read_text().partition("\n")
    content = yaml.safe_load(text)
    content["dataset"]["get_coins"]["train_crops"] = 16
    content["stages"] = [{"epochs": 2}]
    path = project / "experiments" / "scheduled" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"{header}\n{yaml.safe_dump(content, sort_keys=False)}")
    done = musket("fit", "--project", project, "--name", "scheduled", "--folds", "0")
    assert done.returncode == 0, done.stderr
    assert "learning rate: set by LRVariator, which has its own rates (lr 0.004 is not used)" in done.stdout
    first, second = read_rows(path.parent / "metrics" / "metrics-0.0.csv")
    assert first["lr"] == 0.004, "half an epoch of two iterations is one, which has the end of its curve"
    assert 0.0039 < second["lr"] < 0.004
    assert list((path.parent / "logs" / "0.0" / "tensorboard").glob("events.out.tfevents.*"))
