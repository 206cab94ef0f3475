"""Which of two values is better: told by a metric's name as a whole, never by letters in it; NaN is never the best."""

import csv
import math

import numpy as np
import pytest
import yaml
from musket_core import generic

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.metrics.fold_statistics import best_row
from instance_segmentation_pipeline.metrics.metric_name import MetricName
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.reporting.analysis import analyse
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from tests.support.datasets import Items, shapes, square

pytestmark = pytest.mark.slow

NAN = math.nan

LOSSES = [
    "loss", "val_loss", "loss_cls", "val_loss_rpn_bbox", "s0.loss_cls", "val_s2.loss_mask", "d4.loss_dice", "enc_loss_iou",
    "d1.dn_loss_cls", "dn_loss_bbox", "aux_enc_loss_cls", "val_loss_holdout",
]  # fmt: skip
OTHERS = [
    "coco_segm_mAP", "val_coco_segm_mAP_class_blossom", "coco_bbox_mAP_class_glossy", "coco_segm_mAP_class_loss", "blossom",
    "val_glossy_share", "lossless", "flossing", "F1", "segm_F1_threshold", "s0.acc", "objects_lost", "my_loss", "no-loss",
    "coco_segm_mAP_class_val_loss", "coco_segm_mAP_class_s0.loss_x", "", "LOSSY", "closs_1",
]  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_their_parts_are_better_when_lower(name):
    assert MetricName(name).lower_is_better
    assert not MetricName(name, "max").lower_is_better


@pytest.mark.parametrize("name", OTHERS)
def test_all_others_are_better_when_higher(name):
    assert not MetricName(name).lower_is_better
    assert MetricName(name, "min").lower_is_better


SERIES = [
    ("max", [0.1, 0.3, 0.2], 1),
    ("min", [0.3, 0.1, 0.2], 1),
    ("max", [0.3, 0.3, 0.1], 0),
    ("max", [NAN, 0.3, 0.2], 1),
    ("max", [NAN, NAN, 0.0], 2),
    ("min", [NAN, 0.3, NAN], 1),
    ("max", [0.0, NAN, NAN], 0),
    ("max", [NAN, NAN, NAN], 2),
    ("min", [NAN, NAN], 1),
    ("max", [-math.inf, NAN], 0),
    ("min", [math.inf, NAN, 1.0], 2),
]


@pytest.mark.parametrize(("mode", "values", "place"), SERIES)
def test_the_best_of_a_series(mode, values, place):
    metric = MetricName("m", mode)
    assert metric.place_of_best(values) == place
    assert best_row([{"m": value, "n": number} for number, value in enumerate(values)], metric)["n"] == place
    best = metric.best(values)
    assert best == values[place] or (math.isnan(best) and math.isnan(values[place]))


COUNTING = """
from musket_core import metrics
calls = []


@metrics.final_metric
def blossom_count(cfg, predictions):
    calls.append(1)
    return float(len(calls))
"""


def test_a_name_with_loss_inside_keeps_its_highest_epoch(project, add_experiment):
    (project / "modules" / "counting.py").write_text(COUNTING)
    extra = "primary_metric: blossom_count\n"
    path = add_experiment(extra=extra, replace=[("epochs: 1", "epochs: 2")])
    cfg = generic.parse(str(path))
    cfg.fit()
    assert read_checkpoint(cfg.files.stage(0, 0).best_weights)["meta"]["epoch"] == 2
    assert [entry.best for entry in cfg.info()] == [2.0]
    assert "blossom_count" in yaml.safe_load((path.parent / "summary.yaml").read_text())["allStages"]


def test_info_knows_what_is_better_and_what_there_is(trained):
    cfg = generic.parse(str(trained))
    rows = read_rows(cfg.files.stage(1, 0).metrics)
    (found,) = [one for one in cfg.info("val_loss") if (one.fold, one.stage) == (1, 0)]
    assert found.best == min(row["val_loss"] for row in rows)
    assert found.lr == min(row["lr"] for row in rows)
    (plain,) = [one for one in generic.parse(str(trained)).info() if (one.fold, one.stage) == (1, 0)]
    assert plain.best == max(row["val_coco_segm_mAP"] for row in rows)
    with pytest.raises(ConfigError, match="no metrics CSV has 'val_los'"):
        cfg.info("val_los")


def test_validation_without_objects_keeps_the_latest_weights_and_says_why(add_experiment, capsys):
    image, _ = square(64, 64)
    nothing = (np.array([], int), np.zeros((0, 4)), np.zeros((0, 64, 64), bool))
    dataset = Items([square(64, 64, side=20)] * 4 + [(image, nothing)] * 2)
    dataset.folds = [([0, 1, 2, 3], [4, 5])]
    cfg = generic.parse(str(add_experiment(replace=[("epochs: 1", "epochs: 2")])))
    cfg.fit(dataset)
    told = capsys.readouterr().err
    assert read_checkpoint(cfg.files.stage(0, 0).best_weights)["meta"]["epoch"] == 2
    assert "best so far" not in told
    assert "val_coco_segm_mAP none" in told
    assert told.count("val_coco_segm_mAP has no value, since the validation part has no object to find") == 1


def test_objects_that_vanish_are_no_success(add_experiment, capsys):
    dataset = Items([square(256, 256, side=6)] * 6)
    path = add_experiment(extra="primary_metric: val_loss\n", replace=[("shape: [64, 64]", "shape: [32, 32]")])
    cfg = generic.parse(str(path))
    cfg.fit(dataset)
    told = capsys.readouterr().err
    assert "val_loss none" in told
    assert "best so far" not in told
    assert "val_loss has no value: at this shape none of the 2 objects of the validation part is left" in told
    assert math.isnan(read_rows(cfg.files.stage(0, 0).metrics)[0]["val_loss"])


UNDERSTOOD = [
    ("primary_metric: coco_segm_mAP_holdout\ntestSplit: 0.2\n", "val_coco_segm_mAP"),
    ("primary_metric: val_coco_segm_mAP_holdout\ntestSplit: 0.2\n", "val_coco_segm_mAP"),
    ("primary_metric: loss\n", "val_loss"),
    ("final_metrics: [val_coco_segm_mAP, coco_bbox_AR_holdout, loss]\ntestSplit: 0.2\n", "val_coco_segm_mAP"),
    ("experiment_result: val_coco_bbox_mAP_holdout\ntestSplit: 0.2\n", "val_coco_segm_mAP"),
]


@pytest.mark.parametrize(("extra", "primary"), UNDERSTOOD)
def test_names_with_prefix_and_suffix_are_understood(add_experiment, extra, primary):
    cfg = generic.parse(str(add_experiment(extra=extra)))
    cfg.check(shapes())
    assert str(cfg.primary()) == primary
    if cfg.final_metrics is not None:
        assert cfg.wanted_metrics() == ["coco_segm_mAP", "coco_bbox_AR"]


REFUSED = [
    ("primary_metric: coco_segm_mAP_holdout\n", "there is no holdout: name coco_segm_mAP, or set testSplit"),
    ("experiment_result: coco_segm_mAP_holdout\n", "there is no holdout"),
    ("final_metrics: [coco_segm_mAP_holdout]\n", "there is no holdout"),
    ("primary_metric: loss_holdout\ntestSplit: 0.2\n", "losses are those of the validation parts"),
    ("experiment_result: val_loss_holdout\ntestSplit: 0.2\n", "losses are those of the validation parts"),
    ("final_metrics: [val_coco_segm_map]\n", "did you mean 'coco_segm_mAP'"),
]


@pytest.mark.parametrize(("extra", "message"), REFUSED)
def test_names_of_what_is_not_measured_are_refused(add_experiment, extra, message):
    with pytest.raises(ConfigError) as caught:
        generic.parse(str(add_experiment(extra=extra))).check(shapes())
    assert message in str(caught.value)


@pytest.fixture
def finished(add_experiment):
    """Return a function that writes a finished experiment with given numbers, without training."""

    def write(name, values, rows=(), extra=""):
        path = add_experiment(name, extra=extra)
        (path.parent / "metrics").mkdir()
        if rows:
            lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
            (path.parent / "metrics" / "metrics-0.0.csv").write_text("\n".join(lines) + "\n")
        both = {key: {"mean": value, "max": value, "min": value, "std": 0.0} for key, value in values.items()}
        summary = {"completed": True, "folds": [0], "stages": [both], "allStages": both}
        (path.parent / "summary.yaml").write_text(yaml.safe_dump(summary))

    return write


def test_analysis_sorts_by_direction(project, finished):
    for name, value in (("low", 0.2), ("high", 0.7)):
        rows = [
            {"epoch": 0, "lr": 0.1, "loss": value, "val_glossy": value},
            {"epoch": 1, "lr": 0.1, "loss": 9, "val_glossy": 0.1},
        ]
        finished(
            name,
            {"coco_segm_mAP_class_blossom": value, "hausdorff": value},
            rows,
            "primary_metric: hausdorff\nprimary_metric_mode: min\n",
        )
    order = {
        key: [one.name for one in analyse(project, key).experiments]
        for key in ("coco_segm_mAP_class_blossom", "loss", "val_glossy", "hausdorff")
    }
    assert order == {
        "coco_segm_mAP_class_blossom": ["high", "low"],
        "loss": ["low", "high"],
        "val_glossy": ["high", "low"],
        "hausdorff": ["low", "high"],
    }


def _documented():
    names = []
    for kind in ("bbox", "segm"):
        statistics = (
            "mAP",
            "mAP_50",
            "mAP_75",
            "mAP_s",
            "mAP_m",
            "mAP_l",
            "AR",
            "AR_1",
            "AR_10",
            "AR_s",
            "AR_m",
            "AR_l",
            "mAP_class_disc",
        )
        names += [f"coco_{kind}_{name}" for name in statistics] + [f"{kind}_F1", f"{kind}_F1_threshold"]
    return [*names, "mask_IoU", "mmdet_mAP_bbox", "mAP_masks", "loss"]


@pytest.mark.parametrize("form", ["{}", "val_{}", "{}_holdout"])
@pytest.mark.parametrize("name", _documented())
def test_only_metric_takes_every_metric_of_the_reference(project, finished, name, form, tmp_path):
    wanted = form.format(name)
    if name == "loss" and "holdout" in form:
        pytest.skip("losses are not measured there")
    finished("one", {name: 0.5, f"{name}_holdout": 0.4})
    output = tmp_path / "out.csv"
    assert (
        main(
            [
                "analize",
                "--inputFolder",
                str(project),
                "--onlyMetric",
                wanted,
                "--output",
                str(output),
                "--html",
                "false",
            ]
        )
        == 0
    )
    with output.open() as file:
        (row,) = csv.DictReader(file)
    column = wanted.removeprefix("val_")
    assert list(row) == ["path", "experiment", "fold_count", column]
    assert float(row[column]) == (0.4 if "holdout" in form else 0.5)
