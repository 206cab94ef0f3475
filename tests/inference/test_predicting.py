"""What trained folds answer: stores, blends, augmentation, folders, summaries. One experiment, trained once."""

import json
import math
import shutil

import cv2
import numpy as np
import pytest
import yaml
from mmdet.apis import inference_detector
from musket_core import generic, predictions
from musket_core.datasets import SubDataSet
from musket_core.model import AverageBlend, FoldsAndStages
from musket_core.tools import ModelSpec

from instance_segmentation_pipeline.errors import ConfigError, DatasetError, WeightsError
from instance_segmentation_pipeline.inference.detector import Detector, Ensemble
from tests.support.datasets import Items, shapes
from tests.support.project import FAST, SHAPES, SMALL_CONFIG

pytestmark = pytest.mark.slow

EXTRA = """folds_count: 2
testSplit: 0.2
lr: 0.004
storage_threshold: 0.001
channelsLast: false
datasets:
  others: {get_shapes: {count: 6, size: 64, seed: 9}}
"""
METRIC = """
from musket_core import metrics

@metrics.final_metric
def objects_an_image(m, predictions):
    return sum(len(item.prediction[0]) for item in predictions) / len(predictions)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the config file of an experiment of two folds and two stages with a holdout, trained a little."""
    root = tmp_path_factory.mktemp("trained") / "project"
    shutil.copytree(SHAPES / "modules", root / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "modules" / "measures.py").write_text(METRIC)
    folder = root / "experiments" / "exp01"
    folder.mkdir(parents=True)
    text = FAST.format(config=SMALL_CONFIG, extra=EXTRA)
    for old, new in (
        ("- epochs: 1", "- epochs: 2\n  - epochs: 1"),
        ("count: 12", "count: 40"),
        ("configOptions:", "configOptions:\n  model.test_cfg.score_thr: 0.001\n  model.test_cfg.max_per_img: 12"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "config.yaml").write_text(text)
    generic.parse(str(folder / "config.yaml")).fit()
    return folder / "config.yaml"


@pytest.fixture
def cfg(trained):
    """Return the experiment, read anew."""
    return generic.parse(str(trained))


def same(first, second):
    for one, two in zip(first, second, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)


def test_predictions_are_the_documented_tuple(cfg):
    store = cfg.predictions("validation", 0, 1)
    item = store[0]
    labels, scores, bboxes, masks = item.prediction
    count = len(labels)
    assert count
    assert ((labels >= 1) & (labels <= 3)).all()
    assert scores.shape == (count,)
    assert (scores >= 0.001).all()
    assert (np.diff(scores) <= 0).all()
    assert bboxes.shape == (count, 4)
    assert masks.shape == (count, *item.x.shape[:2])
    assert masks.dtype == bool
    for bbox, mask in zip(bboxes, masks, strict=True):  # rows first
        rows, columns = np.nonzero(mask)
        if len(rows) > 30:
            assert bbox[0] - 4 <= rows.mean() <= bbox[2] + 4
            assert bbox[1] - 4 <= columns.mean() <= bbox[3] + 4


def test_every_validation_item_is_answered_by_the_net_that_has_not_seen_it(cfg):
    both = cfg.predictions("validation")
    assert len(both) == 32
    ids = [both[number].id for number in range(32)]
    parts = [cfg.validation(None, fold) for fold in (0, 1)]
    assert ids == [part[number].id for part in parts for number in range(len(part))]
    alone = cfg.predictions("validation1", stage=[0, 1])
    same(both[len(parts[0])].prediction, alone[0].prediction)


def test_results_do_not_depend_on_the_batch(cfg):
    images = [shapes(1, size, seed)[0].x for seed, size in enumerate((64, 48, 96, 64, 80))]
    images[2] = images[2][:60]
    items = Items([(image, None) for image in images])
    one = cfg.predict_all_to_array(items, 0, 1, batch_size=1)
    cfg.predictions(items, 0, 1).path.unlink()
    five = cfg.predict_all_to_array(items, 0, 1, batch_size=5)
    assert sum(len(found[0]) for found in one) > 3
    for first, second in zip(one, five, strict=True):
        same(first, second)
    batches = list(cfg.predict_on_dataset(items, fold=0, stage=1, batch_size=2))
    assert [len(batch.data) for batch in batches] == [2, 2, 1]
    assert batches[0].data == ["item0", "item1"]
    same(batches[1].results[0], one[2])
    assert len(list(cfg.predict_on_dataset(items, limit=3, batch_size=2))) == 2


def test_a_store_is_used_again_and_never_for_something_else(cfg, trained):
    path = cfg.predictions("holdout", 0, 0).path
    before = path.stat().st_mtime_ns
    assert generic.parse(str(trained)).predictions("holdout", 0, 0).path.stat().st_mtime_ns == before
    weights = cfg.files.stage(0, 0).best_weights
    kept = weights.read_bytes()
    try:
        weights.write_bytes(cfg.files.stage(1, 0).best_weights.read_bytes())
        other = generic.parse(str(trained)).predictions("holdout", 0, 0)
        assert other.path.stat().st_mtime_ns != before
        same(other[0].prediction, cfg.predictions("holdout", 1, 0)[0].prediction)
    finally:
        weights.write_bytes(kept)
    held = cfg.holdout()
    changed = SubDataSet(held, list(range(len(held)))[::-1])
    changed.name = "holdout"
    again = cfg.predictions(changed, 0, 0)
    same(again[0].prediction, cfg.predictions("holdout", 0, 0)[len(held) - 1].prediction)
    text = trained.read_text()
    try:
        trained.write_text(text.replace("storage_threshold: 0.001", "storage_threshold: 0.5"))
        strict = generic.parse(str(trained)).predictions("holdout", 0, 0)
        assert all((strict[number].prediction[1] >= 0.5).all() for number in range(len(strict)))
    finally:
        trained.write_text(text)


def test_folds_stages_and_experiments_blend(cfg):
    folds = cfg.predictions("holdout", [0, 1], 1)
    members = [cfg.predictions("holdout", fold, 1) for fold in (0, 1)]
    assert len(folds) == len(members[0])
    scores = [folds[0].prediction[1].sum(), *(member[0].prediction[1].sum() for member in members)]
    assert scores[0] == pytest.approx(sum(scores[1:]) / 2, rel=0.02)
    ensemble = cfg.load_model([0, 1], 1)
    assert isinstance(ensemble, Ensemble)
    same(ensemble.predict([folds[0].x])[0][:2], folds[0].prediction[:2])
    assert isinstance(cfg.load_model(0), Detector)
    joined = cfg.createAnsambleModel([cfg.load_model(0, 1), cfg.load_model(1, 1)])
    same(joined.predict([folds[0].x])[0], ensemble.predict([folds[0].x])[0])
    average = AverageBlend([FoldsAndStages(cfg, 0, 1), FoldsAndStages(cfg, 1, 1)]).predictions("holdout")
    same(average[0].prediction[:2], folds[0].prediction[:2])
    half = members[0].blend(members[1])
    same(half[0].prediction[:2], folds[0].prediction[:2])


def test_muskets_own_functions_ask_the_experiment(cfg):
    same(
        predictions.get_validation_prediction(cfg, 1, 1)[0].prediction,
        cfg.predictions("validation", 1, 1)[0].prediction,
    )
    same(
        predictions.get_holdout_prediction(cfg, [0, 1], 1)[0].prediction,
        cfg.predictions("holdout", [0, 1], 1)[0].prediction,
    )
    spec = ModelSpec(folds="MANUAL", folds_numbers=[1], stages="MANUAL", stages_numbers=[0])
    wrapped = spec.wrap(cfg, None if cfg is None else _Alone())
    assert (wrapped.folds, wrapped.stages) == ([1], [0])
    assert ModelSpec(stages="ALL").wrap(cfg, _Alone()).stages == [0, 1]
    assert ModelSpec().wrap(cfg, _Alone()).folds == [0, 1]


class _Alone:
    """An experiment without seeds."""

    def concrete(self):
        return [self]


def test_augmentation_at_test_time(cfg, trained):
    held = cfg.holdout()
    plain = cfg.predict_all_to_array(held, 0, 1)
    flipped = cfg.predict_all_to_array(held, 0, 1, ttflips="Horizontal")
    turned = list(cfg.predict_on_dataset(held, 0, 1, ttflips=True, batch_size=20))
    assert len(turned[0].results) == len(held)
    assert any(
        len(one[0]) != len(two[0]) or not np.allclose(one[1], two[1]) for one, two in zip(plain, flipped, strict=True)
    )
    mirrored = Items([(np.ascontiguousarray(held[n].x[:, ::-1]), None) for n in range(len(held))])
    for one, two in zip(flipped, cfg.predict_all_to_array(mirrored, 0, 1, ttflips="Horizontal"), strict=True):
        np.testing.assert_allclose(np.sort(one[1]), np.sort(two[1]), atol=1e-3)  # the same views, the other way round
    scaled = list(cfg.predict_on_dataset(held, 0, 1, ttflips={"scales": [1.0, 1.5]}, limit=2))
    assert len(scaled[0].results) == 2
    with pytest.raises(ConfigError, match="'Diagonal' is not known"):
        list(cfg.predict_on_dataset(held, 0, 1, ttflips="Diagonal"))


def test_named_datasets_and_train(cfg):
    assert len(cfg.predictions("others", 0, 0)) == 6
    assert len(cfg.predictions("train", 0, 0)) == 16
    assert len(cfg.predictions("train0", stage=0)) == 16
    assert len(cfg.predictions("train", [0, 1], 0)) == 32
    with pytest.raises(ConfigError, match="there is no dataset 'other'"):
        cfg.predictions("other")


def test_what_is_not_trained_is_told(cfg, tmp_path):
    with pytest.raises(ConfigError, match="fold 5 was asked for, but there are folds 0 to 1"):
        cfg.load_model(5)
    with pytest.raises(ConfigError, match="stage 2 was asked for, but there are stages 0 to 1"):
        cfg.predictions("holdout", 0, 2)
    weights = cfg.files.stage(1, 1).best_weights
    weights.rename(tmp_path / "away")
    try:
        with pytest.raises(
            WeightsError, match=r"fold 1 stage 1 is not trained.*trained are \(fold.stage\) 0.0, 0.1, 1.0"
        ):
            cfg.load_model(1, 1)
    finally:
        (tmp_path / "away").rename(weights)


def test_an_unreadable_item_stops_with_its_name(cfg):
    """Upstream skips it, and all later predictions shift by one."""
    images = [shapes(1, 64, seed)[0].x for seed in range(3)]
    items = Items([(images[0], None), (None, None), (images[2], None)])
    with pytest.raises(DatasetError, match="item 'item1': x is nothing"):
        list(cfg.predict_on_dataset(items, 0, 0, batch_size=1))
    assert not list((cfg.files.root / "predictions").glob(".*"))


def test_folders(cfg, tmp_path, capsys):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), shapes(1, 64, number)[0].x[:, :, ::-1])
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image either")
    batches = list(cfg.predict_on_directory(str(tmp_path), 0, 1, batch_size=2))
    assert [batch.data for batch in batches] == [["0.png", "1.png"], ["2.png"]]
    assert "1 of 4 files in" in capsys.readouterr().err
    same(batches[0].results[1], cfg.load_model(0, 1).predict([shapes(1, 64, 1)[0].x])[0])
    seen = []
    skipped = cfg.predict_in_directory(str(tmp_path), 0, 1, lambda name, found, data: data.append((name, found)), seen)
    assert skipped == ["broken.jpg"]
    assert [name for name, _ in seen] == ["0.png", "1.png", "2.png"]
    target = tmp_path / "out"
    cfg.predict_to_directory(str(tmp_path), str(target), [0, 1], 1)
    written = json.loads((target / "predictions.json").read_text())
    assert [image["file_name"] for image in written["images"]] == ["0.png", "1.png", "2.png"]
    assert {"score", "segmentation", "bbox", "category_id"} <= set(written["annotations"][0])
    assert cv2.imread(str(target / "0.png.jpg")) is not None
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="has no image"):
        cfg.predict_on_directory(str(tmp_path / "empty"))


def test_evaluating(cfg):
    values = cfg.evaluate("validation", 0, 1)
    assert 0 <= values["coco_segm_mAP"] <= 1
    assert "coco_segm_mAP_class_disc" in values
    batches = list(cfg.evaluateAll(None, 0, 1))
    assert sum(len(batch.results) for batch in batches) == 16
    assert len(batches[0].ground_truth[0]) == 3


def test_mmdetections_own_inference(cfg):
    image = cfg.holdout()[0].x
    instances = inference_detector(cfg.createNetForInference(0, 1), image[:, :, ::-1]).pred_instances
    expected = cfg.load_model(0, 1).predict([image])[0]
    scores = np.sort(instances.scores[instances.scores >= 0.001].numpy())[::-1]
    np.testing.assert_allclose(scores, expected[1], atol=1e-4)


def test_the_summary(cfg, trained):
    summary = yaml.safe_load((trained.parent / "summary.yaml").read_text())
    assert len(summary["stages"]) == 2
    for part in (*summary["stages"], summary["allStages"]):
        metric = part["coco_segm_mAP"]
        assert metric["min"] <= metric["mean"] <= metric["max"]
        assert 0 <= metric["pooled"] <= 1
        assert isinstance(part["mAP_masks_holdout"], float)
        assert set(part["segm_F1_holdout_folds"]) == {"mean", "max", "min", "std"}
    assert "loss" in summary["stages"][1]
    assert "objects_an_image" not in summary["allStages"]
    values = cfg.evaluate("holdout", [0, 1], [0, 1])
    assert summary["allStages"]["coco_segm_mAP_holdout"] == pytest.approx(values["coco_segm_mAP"], abs=1e-5)


def test_metrics_of_users_and_chosen_ones(cfg, trained):
    text = trained.read_text()
    try:
        trained.write_text(text + "final_metrics: [objects_an_image, mAP_masks]\nexperiment_result: objects_an_image\n")
        chosen = generic.parse(str(trained))
        chosen.check()
        summary = chosen.createSummary([0, 1], 1.0)
        assert set(summary["allStages"]) == {
            name + suffix
            for name in ("objects_an_image", "mAP_masks", "coco_segm_mAP")
            for suffix in ("", "_holdout", "_holdout_folds")
        }
        assert summary["allStages"]["objects_an_image"]["mean"] > 0
        assert chosen.result_of(summary) == summary["allStages"]["objects_an_image_holdout"]
        trained.write_text(text + "final_metrics: mAP_mask\n")
        with pytest.raises(ConfigError, match="final_metrics 'mAP_mask' is not known .did you mean 'mAP_masks'"):
            generic.parse(str(trained)).check()
    finally:
        trained.write_text(text)


@pytest.mark.parametrize("name", ["segm_F1", "objects_an_image", "mmdet_mAP_bbox"])
def test_any_metric_chooses_the_best_weights(name, tmp_path, trained):
    path = tmp_path / "config.yaml"
    path.write_text(FAST.format(config=SMALL_CONFIG, extra=f"primary_metric: {name}\n"))
    cfg = generic.parse(str(path))
    cfg.imports.append("measures")
    cfg.fit(shapes(12))
    header, row = (cfg.files.stage(0, 0).metrics).read_text().splitlines()
    value = float(dict(zip(header.split(","), row.split(","), strict=True))[f"val_{name}"])
    assert not math.isnan(value)
    assert name in yaml.safe_load((tmp_path / "summary.yaml").read_text())["allStages"]


def test_faults_of_upstream_do_not_come_back(cfg, trained, tmp_path):
    """Fault 10: holdout metrics of --folds 1; fault 11: a half-written store counts as complete."""
    summary = cfg.createSummary([1], 1.0)
    alone = cfg.evaluate("holdout", 1, 1)["coco_segm_mAP"]
    assert summary["stages"][1]["coco_segm_mAP_holdout"] == pytest.approx(alone, abs=1e-6)
    assert "coco_segm_mAP_holdout_folds" not in summary["stages"][1]
    store = cfg.predictions("holdout", 1, 1)
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[: len(whole) // 2])
    again = generic.parse(str(trained)).predictions("holdout", 1, 1)
    assert len(again.path.read_bytes()) == len(whole)
