"""``dumpPredictionsToCSV``: tables by musket_core's names, made again only where what they are made of has changed."""

import os
import shutil
from pathlib import Path

import pandas
import pytest
from musket_core import generic
from musket_core.generic_config import ExecutionConfig

from instance_segmentation_pipeline.storage.run_manifest import RunManifest

pytestmark = pytest.mark.slow


def test_tables_of_folds_and_holdout(trained, tmp_path, monkeypatch):
    root = tmp_path / "project"
    shutil.copytree(trained.parents[2], root)
    path = root / "experiments" / "exp01" / "config.yaml"
    cfg = generic.parse(str(path))
    cfg.dumpPredictionsToCSV, cfg.threshold = True, 0.0
    cfg.generateReports()
    places = [ExecutionConfig(fold, 1, dr=str(path.parent)) for fold in (0, 1)]
    whole = ExecutionConfig([0, 1], 1, dr=str(path.parent))
    found = [one.predictions_dump(truth) for one in places for truth in (False, True)]
    found += [whole.predictions_holdout(truth) for truth in (False, True)]
    assert all(os.path.exists(one) for one in found)
    table = pandas.read_csv(found[0])
    store = cfg.predictions("validation", 0, 1)
    assert len(table) == sum(max(len(store.detections(number)), 1) for number in range(len(store)))
    owned = RunManifest(cfg.files).owned()
    assert {os.path.relpath(one, path.parent) for one in found} <= set(owned)
    before = {one: os.stat(one).st_mtime_ns for one in found}
    cfg.generateReports()
    assert {one: os.stat(one).st_mtime_ns for one in found} == before
    os.remove(found[1])
    with open(found[2], "a") as file:
        file.write("edited\n")
    cfg.generateReports()
    after = {one: os.stat(one).st_mtime_ns for one in found}
    assert [one for one in found if after[one] != before[one]] == [found[1], found[2]]
    assert "edited" not in Path(found[2]).read_text()
    shutil.copy(path.parent / "weights" / "best-1.1.weights", path.parent / "weights" / "best-0.1.weights")
    other = generic.parse(str(path))
    other.dumpPredictionsToCSV, other.threshold = True, 0.0
    other.generateReports()
    last = {one: os.stat(one).st_mtime_ns for one in found}
    assert [one for one in found if last[one] != after[one]] == [found[0], found[1], found[4], found[5]]
