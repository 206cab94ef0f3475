"""The example that adds images without coins and draws its items and shapes anew, run small."""

import re
import shutil

import pytest
import yaml

from tests.support.project import REPOSITORY

pytestmark = pytest.mark.slow


def test_the_coins_train_with_negatives_and_several_shapes(tmp_path, musket):
    project = tmp_path / "coins"
    shutil.copytree(REPOSITORY / "examples" / "coins" / "modules", project / "modules")
    source = REPOSITORY / "examples" / "coins" / "experiments" / "negatives" / "config.yaml"
    header, _, text = source.read_text().partition("\n")
    content = yaml.safe_load(text)
    content["dataset"]["get_coins"]["train_crops"] = 12
    content["extra_train_data"]["get_trays"] = [8]
    content["maxEpochSize"] = 1
    for stage in content["stages"]:
        stage["epochs"] = 1
    path = project / "experiments" / "negatives" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"{header}\n{yaml.safe_dump(content, sort_keys=False)}")
    done = musket("fit", "--project", project, "--name", "negatives", "--folds", "0")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert re.search(r"draws anew \d+ items with objects, 3 of 8 without; 8 items at most", done.stdout)
    assert re.search(r"draws anew \d+ items with objects, 0 of 8 without; 8 items at most", done.stdout)
    assert done.stdout.count("schedule: 1 epochs of 1 iterations") == 2
    assert len(list(path.parent.glob("examples/0/*/train_0.jpg"))) == 2
