"""Folds and stages really trained on tiny images: files, summary, resuming, failures. One process, real Runner."""

import hashlib
import math
import re

import cv2
import numpy as np
import pytest
import yaml
from mmengine.logging import MessageHub, MMLogger
from musket_core import generic
from musket_core.experiment import Experiment

from instance_segmentation_pipeline.errors import ConfigError, TrainingError, UserError, WeightsError
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint, state_of
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from tests.support.datasets import Items, shapes, square
from tests.support.small_models import SLIM, SLIM_MASK, two_stage

pytestmark = pytest.mark.slow


def test_the_documented_files_are_there(trained):
    root = trained.parent
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    for fold in (0, 1):
        for stage, epochs in ((0, 2), (1, 1)):
            assert f"weights/best-{fold}.{stage}.weights" in names
            assert f"weights/last-{fold}.{stage}.weights" in names
            assert f"weights/config-{fold}.{stage}.py" in names
            assert f"metrics/metrics-{fold}.{stage}.csv" in names
            assert {f"examples/{fold}/{stage}/{epoch}.jpg" for epoch in range(epochs)} <= names
    assert {"summary.yaml", "config.yaml.folds_split", "config.yaml.holdout_split"} <= names
    assert not {"error.yaml", "inProgress.yaml"} & names
    assert not [name for name in names if ".tmp" in name]


def test_one_csv_row_an_epoch(trained):
    rows = read_rows(trained.parent / "metrics" / "metrics-0.0.csv")
    header = (trained.parent / "metrics" / "metrics-0.0.csv").read_text().splitlines()[0].split(",")
    assert header[:2] == ["epoch", "lr"]
    assert [row["epoch"] for row in rows] == [0, 1]
    wanted = {"loss", "loss_cls", "loss_bbox", "loss_mask", "val_loss", "val_coco_bbox_mAP", "val_coco_segm_mAP"}
    assert wanted <= set(header)
    assert all(math.isfinite(row["loss"]) and math.isfinite(row["val_loss"]) for row in rows)
    parts = sum(rows[0][name] for name in ("loss_cls", "loss_bbox", "loss_mask"))
    assert parts == pytest.approx(rows[0]["loss"], rel=1e-4)


def test_musket_core_reads_the_metrics(trained):
    from musket_core.generic_config import maxEpoch

    assert maxEpoch(str(trained.parent / "metrics" / "metrics-0.0.csv")) == 2
    info = generic.parse(str(trained)).info("val_coco_segm_mAP")
    assert [(entry.fold, entry.stage) for entry in info] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_summary_in_musket_cores_layout(trained):
    summary = yaml.safe_load((trained.parent / "summary.yaml").read_text())
    assert summary["completed"] is True
    assert (summary["cfgName"], summary["folds"], summary["subsample"]) == ("config.yaml", [0, 1], 1.0)
    assert len(summary["stages"]) == 2
    for metrics in [*summary["stages"], summary["allStages"]]:
        assert set(metrics["coco_segm_mAP"]) == {"mean", "max", "min", "std", "pooled"}
        assert isinstance(metrics["coco_segm_mAP_holdout"], float)
    rows = [read_rows(trained.parent / "metrics" / f"metrics-{fold}.1.csv")[0] for fold in (0, 1)]
    mean = np.mean([row["val_loss"] for row in rows])
    assert summary["stages"][1]["loss"]["mean"] == pytest.approx(mean, rel=1e-4)


def test_result_is_a_float(trained):
    assert isinstance(Experiment(str(trained.parent)).result(), float)


@pytest.mark.parametrize("metric", ["coco_bbox_mAP_50", "val_coco_bbox_mAP_50"])
def test_experiment_result_without_holdout_keeps_the_summary(trained, tmp_path, metric):
    folder = tmp_path / "experiments" / "e"
    folder.mkdir(parents=True)
    summary = {
        "completed": True,
        "stages": [],
        "allStages": {"coco_bbox_mAP_50": {"mean": 0.5, "max": 1, "min": 0, "std": 0}},
    }
    (folder / "summary.yaml").write_text(yaml.safe_dump(summary))
    lines = trained.read_text() + f"primary_metric: val_coco_segm_mAP\nexperiment_result: {metric}\n"
    (folder / "config.yaml").write_text(lines)
    (tmp_path / "modules").symlink_to(trained.parents[2] / "modules")
    assert Experiment(str(folder)).result() == 0.5
    assert yaml.safe_load((folder / "summary.yaml").read_text()) == summary


def test_the_second_stage_starts_from_the_best_of_the_first(trained):
    first = state_of(read_checkpoint(trained.parent / "weights" / "best-0.0.weights"))
    log = next((trained.parent / "logs" / "0.1").rglob("*.log")).read_text()
    assert f"{trained.parent / 'weights' / 'best-0.0.weights'}: {len(first)} of {len(first)} tensors loaded" in log


def test_weights_know_their_classes_and_load_safely(trained):
    checkpoint = read_checkpoint(trained.parent / "weights" / "best-0.1.weights")
    assert checkpoint["meta"]["dataset_meta"]["classes"] == ("disc", "square", "triangle")
    assert checkpoint["meta"]["epoch"] == 1
    assert "optimizer" not in checkpoint
    assert "optimizer" in read_checkpoint(trained.parent / "weights" / "last-0.1.weights")


def test_pictures_can_be_looked_at(trained):
    picture = cv2.imread(str(trained.parent / "examples" / "0" / "0" / "0.jpg"))
    assert picture.shape[1] > 2 * 384
    assert picture.std() > 10


def test_splits_do_not_overlap(trained):
    folds = yaml.safe_load((trained.parent / "config.yaml.folds_split").read_text())
    train, held = yaml.safe_load((trained.parent / "config.yaml.holdout_split").read_text())
    assert sorted(train + held) == list(range(12))
    assert sorted(folds[0][1] + folds[1][1]) == list(range(len(train)))


def test_runners_leave_nothing_behind(trained):
    assert not [name for owner in (MMLogger, MessageHub) for name in owner._instance_dict if name.startswith("musket-")]


def test_the_finished_config_can_be_read_by_mmdetection(trained):
    from mmengine.config import Config

    config = Config.fromfile(trained.parent / "weights" / "config-0.0.py")
    assert config.model.bbox_head.num_classes == 3
    kept = read_checkpoint(trained.parent / "weights" / "best-0.0.weights")["meta"]["cfg"]
    assert Config.fromstring(kept, ".py").model == config.model


def test_a_finished_experiment_is_not_trained_over_by_a_script(trained):
    before = fingerprints(trained.parent)
    with pytest.raises(ConfigError, match="is finished"):
        generic.parse(str(trained)).fit()
    assert fingerprints(trained.parent) == before


def fingerprints(root):
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# -- trained in the tests themselves -------------------------------------------------------------------------


def test_the_five_line_script(add_experiment, tmp_path, monkeypatch):
    """``generic.parse("config.yaml").fit(ds)`` beside a config.yaml that lies in no project."""
    config = add_experiment()
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "config.yaml").write_text(re.sub(r"dataset:\n.*\n", "", config.read_text()))
    monkeypatch.chdir(tmp_path / "script")
    cfg = generic.parse("config.yaml")
    cfg.fit(shapes())
    assert (tmp_path / "script" / "weights" / "best-0.0.weights").exists()
    assert (tmp_path / "script" / "summary.yaml").exists()


def test_refitting_keeps_the_earlier_run(add_experiment):
    experiment = Experiment(str(add_experiment().parent))
    experiment.fit()
    first = fingerprints(experiment.files.root)
    Experiment(str(experiment.path)).fit()
    (kept,) = (experiment.files.root / "previous").iterdir()
    archived = fingerprints(kept)
    assert archived["weights/best-0.0.weights"] == first["weights/best-0.0.weights"]
    assert archived["summary.yaml"] == first["summary.yaml"]
    assert experiment.isCompleted()


def test_resuming_trains_only_what_is_left(add_experiment, capfd):
    path = add_experiment(extra="folds_count: 2\n", replace=[("epochs: 1", "epochs: 2")])
    whole = Experiment(str(path.parent))
    whole.fit()
    finished = fingerprints(path.parent)
    for name in ("summary.yaml", "weights/best-1.0.weights", "weights/last-1.0.weights", "metrics/metrics-1.0.csv"):
        (path.parent / name).unlink()
    capfd.readouterr()
    Experiment(str(path.parent), allowResume=True).fit()
    assert "fold 0" not in capfd.readouterr().err
    now = fingerprints(path.parent)
    same = {name for name in finished if name.startswith(("weights/best-0", "weights/last-0", "metrics/metrics-0"))}
    assert {name: now[name] for name in same} == {name: finished[name] for name in same}
    assert len(read_rows(path.parent / "metrics" / "metrics-1.0.csv")) == 2
    assert whole.isCompleted()


def test_resuming_goes_on_within_a_stage(add_experiment):
    path = add_experiment(replace=[("epochs: 1", "epochs: 3")])
    cfg = generic.parse(str(path))
    cfg.expires = 0.0
    cfg.fit()
    assert [row["epoch"] for row in read_rows(cfg.files.stage(0, 0).metrics)] == [0]
    assert not cfg.files.summary.exists()
    again = generic.parse(str(path))
    again.setAllowResume(True)
    again.fit()
    rows = read_rows(again.files.stage(0, 0).metrics)
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert again.files.summary.exists()


def test_resuming_with_other_folds_is_refused(add_experiment):
    path = add_experiment(extra="folds_count: 2\n")
    generic.parse(str(path)).fit(foldsToExecute=[0])
    (path.parent / "summary.yaml").unlink()
    path.write_text(path.read_text().replace("folds_count: 2", "folds_count: 3"))
    cfg = generic.parse(str(path))
    cfg.setAllowResume(True)
    before = fingerprints(path.parent)
    with pytest.raises(ConfigError, match="was made for another dataset, folds_count"):
        cfg.fit()
    assert fingerprints(path.parent) == before


def test_a_failed_experiment_is_an_error_and_not_completed(add_experiment):
    path = add_experiment(replace=[("count: 12", "count: 0")])
    experiment = Experiment(str(path.parent))
    with pytest.raises(UserError, match="the dataset is empty"):
        experiment.fit()
    assert not experiment.isCompleted()
    assert not experiment.isInProgress()
    assert not (path.parent / "summary.yaml").exists()
    (error,) = yaml.safe_load((path.parent / "error.yaml").read_text())["errors"]
    assert "the dataset is empty" in error["value"]
    assert "Traceback" in error["trace"]


def test_a_failure_leaves_the_earlier_run_alone(add_experiment):
    path = add_experiment()
    Experiment(str(path.parent)).fit()
    before = fingerprints(path.parent)
    text = path.read_text()
    path.write_text(text + "weightsPath: nowhere.pth\n")
    with pytest.raises(WeightsError):
        Experiment(str(path.parent)).fit()
    (path.parent / "error.yaml").unlink()
    path.write_text(text)
    assert fingerprints(path.parent) == before


def test_a_loss_that_is_not_finite_stops_the_run(add_experiment):
    weight = "configOptions:\n  model.bbox_head.loss_cls.loss_weight: 1.0e+39\n"
    path = add_experiment(replace=[("configOptions:\n", weight)])
    with pytest.raises(
        TrainingError, match=r"fold 0 stage 0, epoch \d, iteration \d: the loss is not finite \(.*loss_cls"
    ):
        generic.parse(str(path)).fit()


def test_a_bad_item_late_in_training_is_one_sentence(add_experiment):
    """Beyond the sample that is checked before training, in a worker process."""
    pairs = [(item.x, item.y) for item in (shapes(100)[number] for number in range(100))]
    checked = set(np.unique(np.linspace(0, 99, 32).round().astype(int)))
    bad = next(number for number in range(100) if number not in checked and len(pairs[number][1][0]))
    image, (labels, bboxes, masks) = pairs[bad]
    pairs[bad] = (image, (labels * 0, bboxes, masks))
    path = add_experiment(extra="workersPerGpu: 1\nvalidationSplit: 0.1\nrandom_state: 1\n")
    with pytest.raises(UserError) as caught:
        generic.parse(str(path)).fit(Items(pairs))
    assert f"item 'item{bad}': label 0 found" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_without_objects_train(add_experiment):
    image, _ = square(64, 64)
    nothing = (np.array([], int), np.zeros((0, 4)), np.zeros((0, 64, 64), bool))
    path = add_experiment(extra="folds_count: 2\n")
    generic.parse(str(path)).fit(Items([(image, nothing)] * 4 + [square(64, 64)] * 2))
    assert (path.parent / "summary.yaml").exists()


def test_min_mode_chooses_the_lowest(add_experiment):
    path = add_experiment(extra="primary_metric: val_loss\n", replace=[("epochs: 1", "epochs: 3")])
    cfg = generic.parse(str(path))
    cfg.fit()
    rows = read_rows(cfg.files.stage(0, 0).metrics)
    best = min(rows, key=lambda row: row["val_loss"])
    assert read_checkpoint(cfg.files.stage(0, 0).best_weights)["meta"]["epoch"] == best["epoch"] + 1


def test_training_learns(add_experiment):
    """Enough epochs for a small net to find shapes: what goes in is what is measured."""
    path = add_experiment(
        extra="random_state: 3\n",
        replace=[("epochs: 1", "epochs: 12"), ("count: 12", "count: 64"), ("stages:", "lr: 0.004\nstages:")],
    )
    cfg = generic.parse(str(path))
    cfg.fit()
    rows = read_rows(cfg.files.stage(0, 0).metrics)
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert max(row["val_coco_segm_mAP_50"] for row in rows) > 0.05


# -- other models --------------------------------------------------------------------------------------------


def test_mask_rcnn_of_the_zoo(add_experiment):
    text = two_stage("mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", {**SLIM, **SLIM_MASK})
    cfg = generic.parse(str(add_experiment(text=text)))
    cfg.fit()
    (row,) = read_rows(cfg.files.stage(0, 0).metrics)
    assert math.isfinite(row["val_loss"])
    assert {"loss_rpn_cls", "loss_mask", "val_coco_segm_mAP"} <= set(row)


def test_faster_rcnn_trains_boxes_alone(add_experiment):
    class Boxes(Items):
        def __getitem__(self, item):
            found = super().__getitem__(item)
            found.y = found.y[:2]
            return found

    source = shapes(8)
    path = add_experiment(text=two_stage("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", SLIM))
    cfg = generic.parse(str(path))
    cfg.fit(Boxes([(source[number].x, source[number].y) for number in range(8)]))
    (row,) = read_rows(cfg.files.stage(0, 0).metrics)
    assert str(cfg.primary()) == "val_coco_bbox_mAP"
    assert "val_coco_segm_mAP" not in row


def test_rtmdet_of_the_zoo_with_its_own_pipeline(add_experiment):
    """Cached mosaic and mix-up, EMA weights and a pipeline switch, as published."""
    path = add_experiment(replace=[("epochs: 1", "epochs: 2"), ("count: 12", "count: 16")])
    lines = path.read_text().splitlines()
    lines[1] = "configPath: mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py"
    path.write_text("\n".join(lines) + "\n")
    cfg = generic.parse(str(path))
    cfg.fit()
    assert len(read_rows(cfg.files.stage(0, 0).metrics)) == 2


@pytest.mark.gpu
def test_one_cuda_device_with_mixed_precision(add_experiment):
    cfg = generic.parse(str(add_experiment(extra="amp: true\n")))
    cfg.fit()
    assert cfg.device == "cuda:0"
    assert len(read_rows(cfg.files.stage(0, 0).metrics)) == 1


def test_folds_trained_one_by_one_do_not_push_each_other_aside(add_experiment):
    path = add_experiment(extra="folds_count: 2\n")
    for fold in (0, 1):
        experiment = Experiment(str(path.parent))
        experiment.folds = [fold]
        experiment.fit()
    assert (path.parent / "weights" / "best-0.0.weights").exists()
    assert (path.parent / "weights" / "best-1.0.weights").exists()
    assert not (path.parent / "previous").exists()
    experiment = Experiment(str(path.parent))
    experiment.onlyReports = True
    experiment.fit()
    assert experiment.metrics()["folds"] == [0, 1]


def test_folds_of_a_dataset_can_be_trained_one_by_one(add_experiment):
    """The dataset's own folds decide, whatever folds_count the YAML says."""
    path = add_experiment()
    for fold in (0, 1):
        dataset = shapes(8)
        dataset.folds = [([0, 1, 2, 3], [4, 5, 6, 7]), ([4, 5, 6, 7], [0, 1, 2, 3])]
        generic.parse(str(path)).fit(dataset, foldsToExecute=[fold])
        (path.parent / "summary.yaml").unlink()
    assert (path.parent / "weights" / "best-0.0.weights").exists()
    assert (path.parent / "weights" / "best-1.0.weights").exists()
