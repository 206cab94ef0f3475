"""What Musket's IDE asks of a trained experiment: the CSVs of its export request."""

import csv
import shutil

import pytest
from musket_core.projects import Workspace
from musket_core.tools import ExportResultsRequest, ProgressMonitor

pytestmark = pytest.mark.slow


def test_results_are_exported_as_tables(trained, tmp_path):
    root = tmp_path / "project"
    shutil.copytree(trained.parents[2], root)
    request = ExportResultsRequest()
    request.spec, request.datasetName, request.exportGroundTruth = (
        {"folds": "MANUAL", "folds_numbers": [0]},
        "holdout",
        True,
    )
    request.experimentPath = str(root / "experiments" / "exp01")
    found, there = request.perform(Workspace(), ProgressMonitor()).split("::::")
    for path in (found, there):
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        assert {"ImageId", "EncodedPixels", "ClassId", "Score"} <= set(rows[0])
    assert all(float(row["Score"]) == 1 for row in rows if row["ClassId"])
    assert any(row["ClassId"] for row in rows)
