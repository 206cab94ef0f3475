"""``metrics`` and ``final_metrics``: which are computed each epoch, which in the summary, and what cannot be had."""

import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError, UserError
from instance_segmentation_pipeline.experiment.fold_trainer import FoldTrainer
from instance_segmentation_pipeline.experiment.run_arguments import FoldRequest
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from instance_segmentation_pipeline.storage.yaml_files import read_yaml
from tests.support.datasets import shapes

MODULE = """
from musket_core import metrics

@metrics.final_metric
def objects_an_image(model, predictions):
    return sum(len(item.prediction[0]) for item in predictions) / len(predictions)

@metrics.final_metric
def counts(model, predictions):
    return {"items": len(predictions), "twice": 2 * len(predictions)}

@metrics.final_metric
def broken(model, predictions):
    raise KeyError("no such thing")
"""


@pytest.fixture
def with_functions(project):
    (project / "modules" / "counting.py").write_text(MODULE)


def parsed(path):
    cfg = generic.parse(str(path))
    cfg.get_dataset()
    return cfg


@pytest.mark.parametrize(
    ("extra", "each_epoch", "wanted"),
    [
        ("metrics: [segm_F1, val_coco_segm_AR]\nfinal_metrics: mAP_masks\n", ("segm_F1", "coco_segm_AR"), "mAP_masks"),
        ("final_metrics: {segm_F1: {for_validation: true}, mAP_masks: }\n", ("segm_F1",), "mAP_masks"),
        ("metrics: loss\n", (), "coco_bbox_mAP"),
        ("metrics: objects_an_image\nimports: counting\n", ("objects_an_image",), "coco_bbox_mAP"),
    ],
)
@pytest.mark.usefixtures("with_functions")
def test_what_is_measured_when(add_experiment, extra, each_epoch, wanted):
    selection = parsed(add_experiment(extra=extra)).metric_selection()
    assert selection.each_epoch == ("coco_segm_mAP", *each_epoch)
    assert {*each_epoch, wanted} <= set(selection.wanted)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("metrics: segm_F2\n", "metrics 'segm_F2' is not known .did you mean 'segm_F1'"),
        ("metrics: val_binary_accuracy\n", "metrics 'val_binary_accuracy' is not known.*use one of"),
        ("metrics: dice\n", "marked @metrics.final_metric"),
        ("metrics: segm_F1_holdout\n", "measured on the validation part"),
        ("testSplit: 0.2\nmetrics: segm_F1_holdout\n", "name segm_F1, and segm_F1_holdout in final_metrics"),
        ("final_metrics: segm_F1_holdout\n", "there is no holdout"),
        ("final_metrics: {segm_F1_holdout: {for_validation: true}}\n", "there is no holdout"),
        ("final_metrics: {segm_f1: {for_validation: true}}\n", "did you mean 'segm_F1'"),
        ("final_metrics: loss_holdout\ntestSplit: 0.2\n", "losses are those of the validation parts"),
        ("experiment_result: segm_F1_holdout\n", "there is no holdout"),
        ("primary_metric: segm_F1_holdout\n", "there is no holdout"),
        ("metrics: shapes\n", "is not known"),
    ],
)
def test_what_cannot_be_had_is_told_before_training(add_experiment, extra, words):
    with pytest.raises(ConfigError, match=words):
        parsed(add_experiment(extra=extra)).check(shapes())


def test_an_attribute_acts(add_experiment):
    cfg = parsed(add_experiment())
    assert cfg.metric_selection().each_epoch == ("coco_segm_mAP",)
    cfg.metrics = ["segm_F1"]
    assert cfg.metric_selection().each_epoch == ("coco_segm_mAP", "segm_F1")
    cfg.metrics = "mask_IoU"
    assert cfg.metric_selection().each_epoch == ("coco_segm_mAP", "mask_IoU")
    with pytest.raises(ConfigError, match="metrics is 5"):
        cfg.metrics = 5


def test_a_callback_can_go_by_them(add_experiment):
    callbacks = "callbacks: {EarlyStopping: {monitor: val_segm_F1, patience: 1}}\n"
    parsed(add_experiment("one", f"metrics: segm_F1\n{callbacks}")).check(shapes())
    with pytest.raises(ConfigError, match="val_segm_F1"):
        parsed(add_experiment("other", callbacks)).check(shapes())


@pytest.mark.slow
@pytest.mark.usefixtures("with_functions")
def test_they_are_columns_of_the_csv_and_in_the_summary(add_experiment):
    extra = (
        "imports: counting\nmetrics: [objects_an_image, segm_F1, counts]\nfinal_metrics: [coco_segm_AR]\n"
        "primary_metric: objects_an_image\nstorage_threshold: 0\n"
    )
    path = add_experiment(extra=extra)
    cfg = generic.parse(str(path))
    cfg.fit()
    (row,) = read_rows(cfg.files.stage(0, 0).metrics)
    summary = read_yaml(path.parent / "summary.yaml")["allStages"]
    assert row["val_items"] == len(cfg.validation(0)) == summary["items"]["mean"]
    assert row["val_twice"] == 2 * row["val_items"]
    # at a threshold of 0 the summary is measured on what the epoch was
    assert row["val_objects_an_image"] == pytest.approx(summary["objects_an_image"]["mean"], rel=1e-5)
    assert row["val_segm_F1"] == pytest.approx(summary["segm_F1"]["mean"], abs=1e-5)
    assert "coco_segm_AR" in summary
    assert "mask_IoU" not in summary


@pytest.mark.slow
@pytest.mark.usefixtures("with_functions")
def test_a_function_that_fails_is_named(add_experiment):
    cfg = parsed(add_experiment(extra="imports: counting\nmetrics: broken\n"))
    with pytest.raises(UserError, match="broken.*KeyError.*no such thing"):
        FoldTrainer(cfg).train(FoldRequest(0), cfg.executor(), cfg.run.deadline())
