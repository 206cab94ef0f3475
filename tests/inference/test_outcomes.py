"""What comes out of a trained experiment: thresholds, arrays of masks, evaluation by hand. One experiment, trained once."""

import json
import shutil

import cv2
import numpy as np
import pytest
from musket_core import generic
from pycocotools import mask as coco_mask

from instance_segmentation_pipeline.detection.detections import truth_of
from instance_segmentation_pipeline.detection.matching import curve, match
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.metrics.score_threshold import best_f1
from tests.support.datasets import shapes
from tests.support.project import FAST, SHAPES, SMALL_CONFIG

pytestmark = pytest.mark.slow

EXTRA = """folds_count: 2
testSplit: 0.2
lr: 0.004
storage_threshold: 0.001
"""
METRIC = """
from musket_core import metrics

@metrics.final_metric
def two_an_image(m, predictions):
    return -abs(sum(len(item.prediction[0]) for item in predictions) / len(predictions) - 2)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("outcomes") / "project"
    shutil.copytree(SHAPES / "modules", root / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "modules" / "measures.py").write_text(METRIC)
    folder = root / "experiments" / "exp01"
    folder.mkdir(parents=True)
    text = FAST.format(config=SMALL_CONFIG, extra=EXTRA).replace("count: 12", "count: 15")
    low = "configOptions:\n  model.test_cfg.score_thr: 0.001\n  model.test_cfg.max_per_img: 8"
    (folder / "config.yaml").write_text(text.replace("configOptions:", low))
    generic.parse(str(folder / "config.yaml")).fit()
    return folder / "config.yaml"


@pytest.fixture(scope="module")
def cfg(trained):
    return generic.parse(str(trained))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for seed, size in enumerate((64, 48)):
        image = shapes(1, size, seed)[0].x
        cv2.imwrite(str(folder / f"{seed}.png"), image[:50, :, ::-1])
    return folder


def both(cfg, name, fold=None, stage=None):
    found = cfg.predictions(name, fold, stage)
    return [truth_of(record) for record in cfg.truths(found)], [found.detections(n) for n in range(len(found))]


def test_the_default_threshold_is_that_of_the_best_f1(cfg):
    truths, found = both(cfg, "holdout", 0, 0)
    best = cfg.find_treshold("holdout", 0, None)
    assert (best.score, best.treshold) == best_f1(truths, found, 3)
    assert best.score == pytest.approx(cfg.evaluate("holdout", 0, 0)["segm_F1"])
    whole = curve(match(truths, found, 3))
    shares = [2 * p * r / (p + r) if p + r else 0 for p, r in zip(whole.precision, whole.recall, strict=True)]
    assert best.score == pytest.approx(max(shares))


def test_a_function_of_truths_and_detections_is_maximised(cfg):
    truths, found = both(cfg, "validation", 1, [0])

    def three(there, sure):
        assert [len(one) for one in there] == [len(one) for one in truths]
        return -abs(sum(map(len, sure)) - 3)

    best = cfg.find_treshold(cfg.validation(None, 1), 1, three, [0])
    scores = np.sort(np.concatenate([one.scores for one in found]))[::-1]
    tried = [round(0.01 * n, 2) for n in range(100)]
    by_hand = [-abs(int((scores >= step).sum()) - 3) for step in tried]
    assert best.score == max(by_hand)
    assert best.treshold == tried[by_hand.index(max(by_hand))]


def test_thresholds_of_all_folds_and_of_the_holdout(cfg):
    each = [cfg.find_treshold("validation", fold, None, None).treshold for fold in (0, 1)]
    assert cfg.find_optimal_treshold_by_validation() == pytest.approx(np.mean(each))
    assert cfg.find_optimal_treshold_by_validation(None, 0) == pytest.approx(np.mean(each))
    blended = both(cfg, "holdout")
    assert cfg.find_optimal_treshold_by_holdout(None) == best_f1(*blended, 3).threshold


def test_metrics_by_name(cfg):
    named = cfg.find_treshold("holdout", 0, "val_two_an_image")
    by_hand = cfg.find_treshold("holdout", 0, lambda there, sure: -abs(sum(map(len, sure)) / len(sure) - 2))
    assert (named.score, named.treshold) == pytest.approx((by_hand.score, by_hand.treshold))
    boxes = cfg.find_treshold("holdout", 0, "bbox_F1")
    assert boxes.score == pytest.approx(cfg.evaluate("holdout", 0, 0)["bbox_F1"])
    quality = cfg.find_treshold("holdout", 0, "mAP_masks_holdout")
    assert quality.treshold == 0
    assert quality.score == pytest.approx(cfg.evaluate("holdout", 0, 0)["mAP_masks"])


def test_masks_are_written_as_arrays(cfg, images, tmp_path):
    assert cfg.predict_to_directory(str(images), str(tmp_path / "out"), 0, 0, -1, 1, True) == []
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png.npy", "1.png.npy", "predictions.json"]
    for image in written["images"]:
        masks = np.load(tmp_path / "out" / f"{image['file_name']}.npy")
        own = [one["segmentation"] for one in written["annotations"] if one["image_id"] == image["id"]]
        assert masks.dtype == bool
        assert masks.shape == (len(own), image["height"], image["width"])
        assert len(own)
        np.testing.assert_array_equal(masks, [coco_mask.decode(one).astype(bool) for one in own])


def test_arguments_of_musket_act(cfg, images, tmp_path):
    seen = []
    cfg.predict_in_directory(str(images), 0, 0, lambda name, found, data: seen.append(name), None, 1, 1, True)
    assert seen == ["0.png"]
    cfg.predict_to_directory(str(images), str(tmp_path / "out"), limit=1, batchSize=2, binaryArray=False, ttflips="All")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png.jpg", "predictions.json"]


class EveryThird:
    """Says that every third item has objects."""

    def of(self, dataset, positions):
        return np.array(positions) % 3 == 0


def test_negatives_of_evaluation_by_hand(trained):
    cfg = generic.parse(str(trained))
    cfg.positives = EveryThird
    ids = [item.id for item in cfg.validation(None, 0)]
    assert [name for batch in cfg.evaluateAll(None, 0, batchSize=4) for name in batch.data] == ids
    assert [name for batch in cfg.evaluateAll(None, 0, negatives="none") for name in batch.data] == ids[::3]
    (one,) = ([name for batch in cfg.evaluateAll(None, 0, negatives=0.5, batchSize=8) for name in batch.data],)
    assert len(one) == len(ids[::3]) + round(0.5 * len(ids[::3]))
    assert set(ids[::3]) < set(one)


BAD = [
    ("a func that is none", lambda cfg: cfg.find_treshold("holdout", 0, 3), "func is 3, expected a function"),
    ("a metric that is none", lambda cfg: cfg.find_treshold("holdout", 0, "segm_F2"), "is no metric .did you mean 'segm_F1'"),
    ("the threshold itself", lambda cfg: cfg.find_treshold("holdout", 0, "segm_F1_threshold"), "is itself a threshold"),
    ("a func that fails", lambda cfg: cfg.find_treshold("holdout", 0, lambda a, b: 1 / 0), "fails on truths and detections"),
    ("a func of one", lambda cfg: cfg.find_treshold("holdout", 0, lambda a: 1), "fails on truths and detections: TypeError"),
    ("a func without answer", lambda cfg: cfg.find_treshold("holdout", 0, lambda a, b: None), "gave None, expected a number"),
    ("a func of words", lambda cfg: cfg.find_treshold("holdout", 0, lambda a, b: "x"), "gave 'x', expected a number"),
    ("a func of nothing", lambda cfg: cfg.find_treshold("holdout", 0, lambda a, b: []), "expected a number"),
    ("NaN", lambda cfg: cfg.find_treshold("holdout", 0, lambda a, b: float("nan")), "nothing to measure"),
    ("NaN in each fold", lambda cfg: cfg.find_optimal_treshold_by_validation(lambda a, b: float("nan")), "of 2 folds have"),
    ("no such fold", lambda cfg: cfg.find_treshold("holdout", 5, None), "fold 5"),
    ("no such stage", lambda cfg: cfg.find_optimal_treshold_by_holdout(None, 4), "stage 4"),
    ("no such dataset", lambda cfg: cfg.find_treshold("holdoutt", 0, None), "no dataset 'holdoutt'"),
    ("negatives of words", lambda cfg: cfg.evaluateAll(None, 0, negatives="some"), "negatives is 'some'"),
    ("negatives below 0", lambda cfg: cfg.evaluateAll(None, 0, negatives=-1), "negatives is -1"),
    ("a batch of 0", lambda cfg: cfg.evaluateAll(None, 0, batchSize=0), "batch size is 0"),
    ("a batch of 1.5", lambda cfg: cfg.predict_on_dataset("holdout", batch_size=1.5), "batch size is 1.5"),
    ("a batch of True", lambda cfg: cfg.predict_all_to_array("holdout", batch_size=True), "batch size is True"),
    ("two batches", lambda cfg: cfg.predict_to_directory("a", "b", batchSize=1, batch_size=1), "mean the same"),
    ("a flag of 1", lambda cfg: cfg.predict_to_directory("a", "b", binaryArray=1), "binaryArray is 1, expected True"),
    ("a flag of words", lambda cfg: cfg.predict_to_directory("a", "b", binaryArray="no"), "binaryArray is 'no'"),
    ("a limit of words", lambda cfg: cfg.predict_to_directory("a", "b", limit="all"), "limit is 'all'"),
    ("a limit below", lambda cfg: cfg.predict_all_to_array("holdout", limit=-2), "limit is -2"),
    ("a limit of 1.5", lambda cfg: cfg.predict_in_dataset("holdout", 0, 0, print, None, limit=1.5), "limit is 1.5"),
    ("no function", lambda cfg: cfg.predict_in_dataset("holdout", 0, 0, None, None), "cb is None, expected a function"),
    ("no function for folders", lambda cfg: cfg.predict_in_directory("a", 0, 0, 3, None), "cb is 3, expected a function"),
    ("info of what is not there", lambda cfg: cfg.info("val_segm"), "no metrics CSV has 'val_segm'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_means_nothing_is_refused(cfg, call, words):
    with pytest.raises(ConfigError, match=words):
        list(call(cfg) or ())
