"""``logAll`` in a real training: rows of batches that a kill does not double."""

import csv

import pytest
from musket_core import generic

from instance_segmentation_pipeline.storage.metrics_csv import read_rows

pytestmark = pytest.mark.slow

TWO_EPOCHS = [("  - epochs: 1\n", "  - epochs: 2\n")]


def batches(files):
    with files.batches.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_of_batches_are_those_of_the_epochs(add_experiment):
    """Their mean is the epoch's loss; a run that was killed in an epoch, and gone on with, has the same file."""
    extra = "logAll: true\nverbose: 0\nimagesPerGpu: 2\n"
    replace = [*TWO_EPOCHS, ("imagesPerGpu: 4\n", "")]
    whole = generic.parse(str(add_experiment("whole", extra, replace=replace)))
    whole.fit()
    files = whole.files.stage(0, 0)
    rows = batches(files)
    assert [int(row["iteration"]) for row in rows] == list(range(len(rows)))
    for epoch in read_rows(files.metrics):
        of_epoch = [row for row in rows if int(row["epoch"]) == epoch["epoch"]]
        for name in ("loss", "loss_cls", "loss_mask"):
            mean = sum(float(row[name]) for row in of_epoch) / len(of_epoch)
            assert mean == pytest.approx(epoch[name], rel=1e-4)
    cut = generic.parse(str(add_experiment("cut", extra, replace=replace)))
    cut.expires = 0.0
    cut.fit()
    again = cut.files.stage(0, 0)
    assert 0 < len(batches(again)) < len(rows)
    lines = files.batches.read_text().splitlines(keepends=True)
    with again.batches.open("a") as file:  # what a kill in the second epoch leaves
        file.write(lines[len(batches(again)) + 1] + lines[-1][:9])
    cfg = generic.parse(str(cut.files.config))
    cfg.setAllowResume(True)
    cfg.fit()
    assert again.batches.read_text() == files.batches.read_text()
    assert again.metrics.read_text() == files.metrics.read_text()
    cfg = generic.parse(str(cut.files.config))
    cfg.refit = True
    cfg.logAll = False
    cfg.stages = [{"epochs": 1}]
    cfg.fit()  # a new run puts the file aside with the others
    assert not again.batches.exists()
    assert list((again.root / "previous").rglob("metrics-0.0.all.csv"))
