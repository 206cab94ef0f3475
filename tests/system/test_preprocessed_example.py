"""The example that evens the light of its photographs and keeps what it has made, run small."""

import shutil

import pytest
import yaml

from tests.support.project import REPOSITORY

pytestmark = pytest.mark.slow


def test_the_coins_are_preprocessed_and_kept(tmp_path, musket):
    project = tmp_path / "coins"
    shutil.copytree(REPOSITORY / "examples" / "coins" / "modules", project / "modules")
    source = REPOSITORY / "examples" / "coins" / "experiments" / "preprocessed" / "config.yaml"
    header, _, text = source.read_text().partition("\n")
    content = yaml.safe_load(text)
    content["dataset"]["get_coins"]["train_crops"] = 8
    content["stages"] = [{"epochs": 1, "lr": 0.004}]
    path = project / "experiments" / "preprocessed" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"{header}\n{yaml.safe_dump(content, sort_keys=False)}")
    done = musket("fit", "--project", project, "--name", "preprocessed", "--folds", "0")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    (kept,) = (project / ".cache").glob("*.sqlite")
    assert kept.stat().st_size > 20 * 160 * 160 * 3
