"""From a folder of images to pictures of predictions by four commands; what each format becomes can be trained."""

import json

import pytest
from musket_core import generic

from instance_segmentation_pipeline.checking.experiment_check import check_experiment
from instance_segmentation_pipeline.checking.findings import FAULT
from instance_segmentation_pipeline.cli import main
from tests.support.annotated_folders import FORMATS, two_folders


def test_two_folders_of_jpeg_and_png_become_predictions(tmp_path, musket):
    two_folders(tmp_path / "data")
    done = musket("new", "p", "--from", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    commands = [line.split()[1:] for line in done.stdout.split("\n") if line.startswith("  musket ")]
    assert [command[0] for command in commands] == ["check", "fit", "predict"]
    config = tmp_path / "p" / "experiments" / "first" / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("epochs: 100", "epochs: 1", 1))
    assert config.read_text() != text
    for command in commands:
        done = musket(*command, cwd=tmp_path)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        if command[0] == "check":
            assert "an epoch takes about" in done.stdout
            assert sorted(path.name for path in config.parent.iterdir()) == ["check.html", "config.yaml"]
    whole = json.loads((tmp_path / "p" / "predictions" / "predictions.json").read_text())
    assert len(whole["images"]) == 6
    assert len(list((tmp_path / "p" / "predictions").glob("*.jpg"))) == 6


@pytest.mark.parametrize("name", FORMATS)
def test_what_each_format_becomes_has_no_fault(tmp_path, name):
    FORMATS[name](tmp_path / "data")
    assert main(["new", str(tmp_path / "p"), "--from", str(tmp_path / "data")]) == 0
    cfg = generic.parse(str(tmp_path / "p" / "experiments" / "first" / "config.yaml"))
    found = check_experiment(cfg, 0, with_step=False)
    faults = [finding.text for section in found.sections for finding in section.findings if finding.kind == FAULT]
    assert not faults
