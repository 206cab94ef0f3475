"""What comes out of a trained experiment: thresholds, arrays of masks, evaluation by hand. One experiment, trained once."""

import csv
import io
import json
import shutil
import sys

import cv2
import numpy as np
import pytest
from musket_core import generic
from musket_core.generic_config import ansemblePredictions
from pycocotools import mask as coco_mask

from instance_segmentation_pipeline.cli.predict import main as predict
from instance_segmentation_pipeline.data.formats.run_length_text import mask_from_text
from instance_segmentation_pipeline.detection.detections import Detections, truth_of
from instance_segmentation_pipeline.detection.fusion import fuse
from instance_segmentation_pipeline.detection.mask_crops import MaskCrops
from instance_segmentation_pipeline.detection.masks import decode_masks, encode_masks
from instance_segmentation_pipeline.detection.matching import curve, match
from instance_segmentation_pipeline.detection.tta import View
from instance_segmentation_pipeline.errors import ConfigError, DatasetError
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
import numpy as np
from musket_core import metrics

PAD = 8

def mirrored_and_padded():
    return [(np.fliplr, np.fliplr), (padded, cut)]

def padded(image):
    return np.pad(image, ((PAD, PAD), (PAD, PAD), (0, 0)))

def cut(array):
    return array[PAD:-PAD, PAD:-PAD]

def lost():
    return [(np.fliplr, lambda array: array)]

def nothing():
    return None

def fails():
    raise RuntimeError("no views")

def wants(image):
    return []

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


def test_views_of_the_project_are_fused(cfg):
    """What is found is what the image, and each view brought back by hand, give, fused."""
    image = cfg.holdout()[0].x
    plain = cfg.load_model(0, 0)
    height, width = image.shape[:2]
    (flipped,) = plain.detect([np.ascontiguousarray(image[:, ::-1])])
    (larger,) = plain.detect([np.pad(image, ((8, 8), (8, 8), (0, 0)))])
    moved = View(flip=True).back(flipped)
    boxes = (larger.bboxes - 8).clip(0, [width, height] * 2)
    inside = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    masks = decode_masks(larger.masks, height + 16, width + 16)[:, 8:-8, 8:-8]
    kept = [number for number in inside if masks[number].any()]
    back = Detections(height, width, larger.labels, larger.scores, boxes, encode_masks(masks))[np.array(kept, int)]
    by_hand = fuse([*plain.detect([image]), moved, back]).above(0.001)
    (batch,) = cfg.predict_on_dataset("holdout", 0, 0, limit=1, ttflips="mirrored_and_padded")
    for one, two in zip(batch.results[0], by_hand.to_musket(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)


def test_stored_predictions_know_the_code_of_the_views(cfg, trained):
    module = trained.parents[2] / "modules" / "measures.py"
    store = cfg.predict_all_to_dataset("holdout", 0, 0, ttflips="mirrored_and_padded")
    assert store.path != cfg.predict_all_to_dataset("holdout", 0, 0).path
    assert "mirrored_and_padded" in store.fingerprint
    text = module.read_text()
    try:
        module.write_text(text.replace("PAD = 8", "PAD = 12"))
        sys.modules.pop("measures")
        again = generic.parse(str(trained)).predict_all_to_dataset("holdout", 0, 0, ttflips="mirrored_and_padded")
        assert again.path == store.path
        assert again.fingerprint != store.fingerprint
    finally:
        module.write_text(text)
        sys.modules.pop("measures")


def test_the_property_and_the_flag_take_the_function(trained, images, tmp_path):
    text = trained.read_text()
    try:
        trained.write_text(text + "testTimeAugmentation: mirrored_and_padded\n")
        assert len(generic.parse(str(trained)).load_model(0).views) == 3
        for name, words in (
            ("lost", "does not come back: a mark"),
            ("mirrored", "is not known: expected Horizontal, .* or the name of a function"),
        ):
            trained.write_text(text + f"testTimeAugmentation: {name}\n")
            with pytest.raises(ConfigError, match=words):
                generic.parse(str(trained))
    finally:
        trained.write_text(text)
    flags = ["--project", str(trained.parents[2]), "--name", "exp01", "--input", str(images), "--output"]
    assert predict([*flags, str(tmp_path / "a"), "--tta", "mirrored_and_padded"]) == 0
    assert predict([*flags, str(tmp_path / "b"), "--tta", "lost"]) == 2


def test_predictions_are_dumped(cfg, tmp_path):
    found = cfg.predictions("holdout", 0, 0)
    found.dump(tmp_path / "found.csv", 0.002)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "found.csv").read_text())))
    sure = [found.detections(number).above(0.002) for number in range(len(found))]
    assert len([row for row in rows if row["ClassId"]]) == sum(map(len, sure))
    first = [row for row in rows if row["ImageId"] == found[0].id and row["ClassId"]]
    names = cfg.class_names()
    assert [(row["ClassId"], float(row["Score"])) for row in first] == [
        (names[label], pytest.approx(float(score), abs=1e-6))
        for label, score in zip(sure[0].labels, sure[0].scores, strict=True)
    ]
    for row, mask in zip(first, decode_masks(sure[0].masks, sure[0].height, sure[0].width), strict=True):
        plain = mask_from_text(row["EncodedPixels"], sure[0].height, sure[0].width)
        (read,) = MaskCrops.from_rles([plain], sure[0].height, sure[0].width).to_dense()
        np.testing.assert_array_equal(read, mask)
    cfg.predictions("validation").dump(tmp_path / "there.csv", encode_y=True)
    assert len((tmp_path / "there.csv").read_text().splitlines()) > 12


def test_two_experiments_are_fused_from_their_folders(cfg, images, tmp_path):
    for fold in (0, 1):
        cfg.predict_to_directory(str(images), str(tmp_path / str(fold)), fold, 0, binaryArray=True)
    seen = {}
    folders = [str(tmp_path / "0"), str(tmp_path / "1")]
    assert ansemblePredictions(str(images), folders, lambda name, one, data: seen.update({name: one}), None) == []
    cfg.predict_in_directory(str(images), [0, 1], 0, lambda name, one, data: data.update({name: one}), both := {})
    for name, (labels, scores, _, masks) in both.items():
        assert list(seen[name][0]) == list(labels)
        np.testing.assert_allclose(seen[name][1], scores, atol=1e-5)
        np.testing.assert_array_equal(seen[name][3], masks)


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
    ("a view that is lost", lambda cfg: cfg.predict_on_dataset("holdout", ttflips="lost"), "does not come back: a mark"),
    ("no views", lambda cfg: cfg.predict_on_dataset("holdout", ttflips="nothing"), "gave None, expected a list"),
    ("views that fail", lambda cfg: cfg.predict_on_dataset("holdout", ttflips="fails"), "the function fails fails, called"),
    ("views of an image", lambda cfg: cfg.predict_on_dataset("holdout", ttflips="wants"), "called without arguments"),
    ("no such function", lambda cfg: cfg.predict_on_dataset("holdout", ttflips="Horizontall"), "did you mean 'Horizontal'"),
    ("views of numbers", lambda cfg: cfg.predict_on_dataset("holdout", ttflips=3), "3 is no test-time augmentation"),
    ("a threshold of words", lambda cfg: cfg.predictions("holdout", 0, 0).dump("x.csv", "low"), "treshold is 'low'"),
    ("an attribute of views", lambda cfg: setattr(cfg, "testTimeAugmentation", "lost"), "does not come back"),
    ("info of a number", lambda cfg: cfg.info(5), "metric is 5, expected the name of a column"),
    ("info of a list", lambda cfg: cfg.info(["loss"]), "expected the name of a column"),
    ("a threshold on nothing", lambda cfg: cfg.find_treshold(None, 0, None), "None is no dataset"),
    ("predictions on a number", lambda cfg: cfg.predictions(5), "5 is no dataset"),
    ("arrays of nothing", lambda cfg: cfg.predict_all_to_array(None), "None is no dataset"),
    ("numbers of nothing", lambda cfg: cfg.evaluate(None), "None is no dataset"),
    ("a fold by half", lambda cfg: cfg.predictions("holdout", 0.5), "0.5 is no choice of folds"),
    ("a fold of True", lambda cfg: cfg.predictions("holdout", True), "True is no choice of folds"),
    ("by hand on no fold", lambda cfg: cfg.evaluateAll(None, 5), "5 is no fold of the validation parts"),
    ("by hand on several folds", lambda cfg: cfg.evaluateAll(None, [0, 1]), "is no fold of the validation parts"),
    ("by hand on a fold of words", lambda cfg: cfg.evaluateAll(None, "x"), "'x' is no fold"),
    ("a fold from behind", lambda cfg: cfg.validation(None, -1), "-1 is no fold of the validation parts"),
    ("training of no fold", lambda cfg: cfg.train(7), "7 is no fold of the train parts: expected a number from 0 to 1"),
    ("a folder of nothing to write to", lambda cfg: cfg.predict_to_directory("a", None), "tpath is None, expected the path"),
    ("a table of a number", lambda cfg: cfg.predictions("holdout", 0, 0).encode(5), "encode was given 5"),
    ("a flag of a table", lambda cfg: cfg.predictions("holdout", 0, 0).encode(None, "yes"), "encode_y is 'yes'"),
    ("info of what is not there", lambda cfg: cfg.info("val_segm"), "no metrics CSV has 'val_segm'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_means_nothing_is_refused(cfg, call, words):
    with pytest.raises(ConfigError, match=words):
        list(call(cfg) or ())


@pytest.mark.parametrize("folder", [None, 5, ["a"], b"a"])
def test_a_folder_that_is_no_path_is_refused(cfg, folder):
    with pytest.raises(DatasetError, match="is no path: give a folder of images"):
        cfg.predict_to_directory(folder, "b")


def test_a_dataset_without_predictions_is_encoded_as_what_is_there(cfg):
    """Nothing has to be found in a dataset to write down what is there."""
    found = cfg.predictions("holdout", 0, 0)
    assert found.encode(cfg.holdout(), encode_y=True).equals(found.encode(found, encode_y=True))
