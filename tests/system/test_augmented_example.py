"""The example that augments photographs of coins, run small."""

import shutil

import pytest
import yaml

from tests.support.project import REPOSITORY

pytestmark = pytest.mark.slow


def test_the_augmented_coins_train_and_are_drawn(tmp_path, musket):
    project = tmp_path / "coins"
    shutil.copytree(REPOSITORY / "examples" / "coins" / "modules", project / "modules")
    source = REPOSITORY / "examples" / "coins" / "experiments" / "augmented" / "config.yaml"
    header, _, text = source.read_text().partition("\n")
    content = yaml.safe_load(text)
    content["dataset"]["get_coins"]["train_crops"] = 8
    content["stages"] = [{"epochs": 1, "lr": 0.004}]
    path = project / "experiments" / "augmented" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"{header}\n{yaml.safe_dump(content, sort_keys=False)}")
    done = musket("fit", "--project", project, "--name", "augmented")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    parameters = "{dataset: train0, count: 2, augmented: 3}"
    drawn = musket(
        "task", "--project", project, "--name", "augmented", "--task", "draw_dataset", "--parameters", parameters
    )
    assert drawn.returncode == 0, drawn.stderr
    assert len(list((path.parent / "draw_dataset").glob("*.jpg"))) == 2
