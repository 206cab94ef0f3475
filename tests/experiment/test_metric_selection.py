"""Metrics are chosen by what the properties are now, which stay as they were written."""

import shutil

import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.experiment.summary import result_of
from tests.support.datasets import shapes


@pytest.mark.parametrize(
    ("written", "primary"),
    [
        (None, "val_coco_segm_mAP"),
        ("coco_bbox_mAP", "val_coco_bbox_mAP"),
        ("val_coco_bbox_mAP", "val_coco_bbox_mAP"),
        ("coco_bbox_mAP_holdout", "val_coco_bbox_mAP"),
    ],
)
def test_properties_stay_as_they_are_written(add_experiment, written, primary):
    extra = "testSplit: 0.25\nfinal_metrics: [val_coco_segm_mAP_50]\n"
    cfg = generic.parse(str(add_experiment(extra=extra + (f"primary_metric: {written}\n" if written else ""))))
    cfg.check(shapes())
    assert str(cfg.primary()) == primary
    assert cfg.wanted_metrics() == list(dict.fromkeys(["coco_segm_mAP_50", primary.removeprefix("val_")]))
    assert cfg.primary_metric == written
    assert cfg.final_metrics == ["val_coco_segm_mAP_50"]


def test_another_choice_takes_effect(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    cfg.check(shapes())
    assert str(cfg.primary()) == "val_coco_segm_mAP"
    cfg.primary_metric = "coco_bbox_mAP_75"
    cfg.primary_metric_mode = "min"
    assert (str(cfg.primary()), cfg.primary().mode) == ("val_coco_bbox_mAP_75", "min")
    cfg.final_metrics = ["coco_bbox_mAP"]
    assert cfg.wanted_metrics() == ["coco_bbox_mAP", "coco_bbox_mAP_75"]
    cfg.primary_metric = "no_such"
    with pytest.raises(ConfigError, match="primary_metric 'no_such' is not known"):
        cfg.primary()


SUMMARY = {
    "stages": [{"coco_segm_mAP": {"mean": 0.1}, "loss": {"mean": 3.0}}],
    "allStages": {"coco_segm_mAP": {"mean": 0.2}, "coco_bbox_mAP": {"mean": 0.3}, "coco_bbox_mAP_holdout": 0.4},
}


@pytest.mark.parametrize(
    ("result", "primary", "value"),
    [
        (None, None, 0.2),
        (None, "val_coco_segm_mAP", 0.2),
        ("coco_bbox_mAP", "val_coco_segm_mAP", 0.4),
        ("coco_bbox_mAP_holdout", None, 0.4),
        ("val_loss", None, 3.0),
    ],
)
def test_the_number_that_stands_for_an_experiment(result, primary, value):
    assert result_of(SUMMARY, result, primary) == value


def test_of_a_model_without_masks():
    assert result_of({"stages": [], "allStages": {"coco_bbox_mAP": {"mean": 0.3}}}, None, None) == 0.3


@pytest.mark.slow
def test_it_asks_for_no_dataset(trained, tmp_path):
    root = tmp_path / "alone" / "experiments" / "exp01"
    root.mkdir(parents=True)
    (root / "config.yaml").write_text(trained.read_text().replace("get_shapes", "get_photos"))
    shutil.copy(trained.parent / "summary.yaml", root)
    cfg = generic.parse(str(root / "config.yaml"))
    from instance_segmentation_pipeline.storage.yaml_files import read_yaml

    assert cfg.result_of(read_yaml(root / "summary.yaml")) >= 0
