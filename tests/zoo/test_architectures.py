"""Every architecture of the zoo, shrunken, through the whole way: YAML, training, weights, loading, predicting."""

import math
import sys

import pytest
from musket_core import generic

from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from tests.support.datasets import shapes
from tests.support.project import REPOSITORY
from tests.support.small_models import shrunken

sys.path.insert(0, str(REPOSITORY / "tools"))
from zoo_check import BOXES, INSTANCES

pytestmark = pytest.mark.zoo

LARGE = {"dino/dino-4scale_r50_8xb2-12e_coco.py": 320, "ssd/ssd300_coco.py": 300}
"""Sizes of those that need many places to look at."""


@pytest.mark.parametrize("name", INSTANCES + BOXES)
def test_trains_validates_saves_loads_and_predicts(name, tmp_path):
    size = LARGE.get(name, 96)
    shrunken(name).dump(str(tmp_path / "native.py"))
    (tmp_path / "config.yaml").write_text(
        "#%Musket MMDetection 1.0\nconfigPath: native.py\npretrained: false\nclasses: 46\nlr: 1.0e-4\n"
        f"shape: [{size}, {size}]\nimagesPerGpu: 2\nstorage_threshold: 0.0\nstages:\n  - epochs: 1\n"
    )
    dataset = shapes(6, 96, 1)
    dataset.meta = dict
    dataset.folds = [([0, 1, 2, 3], [4, 5])]
    cfg = generic.parse(str(tmp_path / "config.yaml"))
    cfg.fit(dataset)
    (row,) = read_rows(cfg.files.stage(0, 0).metrics)
    assert math.isfinite(row["loss"])
    assert math.isfinite(row["val_loss"])
    assert cfg.finished().needs_masks is (name in INSTANCES)
    kind = "segm" if name in INSTANCES else "bbox"
    metrics = cfg.evaluate("validation", 0, 0)
    assert metrics[f"coco_{kind}_mAP"] == pytest.approx(row[f"val_coco_{kind}_mAP"], abs=1e-4)
    for labels, *_ in cfg.load_model().predict([dataset[0].x, dataset[1].x]):
        assert ((labels >= 1) & (labels <= 46)).all()
