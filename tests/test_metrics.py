"""COCO metrics against pycocotools, and what they say where there is nothing to count."""

import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from instance_segmentation_pipeline.annotations import boxes_of_masks, encode_masks
from instance_segmentation_pipeline.metrics import coco_metrics, metric_names

SIZE = 160


def blobs(random, count):
    masks = np.zeros((count, SIZE, SIZE), np.uint8)
    for mask in masks:
        y, x = random.integers(0, SIZE - 8, 2)
        h, w = random.integers(4, 120, 2)
        mask[y : y + h, x : x + w] = 1
    return masks


def record(masks, labels):
    annotation = {"labels": labels, "bboxes": boxes_of_masks(masks), "masks": encode_masks(masks)}
    return {"filename": "", "height": SIZE, "width": SIZE, "ann": annotation}


def scene(seed, images=6, classes=3, objects=5):
    """Return truths and predictions: truth moved a little, some left out, some invented."""
    random = np.random.default_rng(seed)
    truths, predictions = [], []
    for _ in range(images):
        count = int(random.integers(0, objects + 1))
        masks, labels = blobs(random, count), random.integers(0, classes, count)
        truths.append(record(masks, labels))
        kept = random.random(count) < 0.8
        moved = np.roll(masks[kept], random.integers(-6, 7), axis=2)
        found = np.concatenate([moved, blobs(random, int(random.integers(0, 4)))])
        found = found[found.any(axis=(1, 2))]
        guess = np.concatenate([labels[kept], random.integers(0, classes, len(found))])[: len(found)]
        predictions.append(
            {
                "labels": guess,
                "scores": random.random(len(found)).astype(np.float32),
                "bboxes": boxes_of_masks(found),
                "masks": encode_masks(found),
            }
        )
    return truths, predictions


def reference(truths, predictions, classes, kind):
    """Evaluate with pycocotools itself."""
    from instance_segmentation_pipeline.metrics import _detections, _ground_truth, _of_kind

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = _ground_truth(truths, classes, True)
        truth.createIndex()
        found = truth.loadRes([_of_kind(entry, kind) for entry in _detections(predictions, True)])
        evaluation = COCOeval(truth, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:6]


@pytest.mark.parametrize("seed", range(8))
def test_equal_to_pycocotools(seed):
    truths, predictions = scene(seed)
    results = coco_metrics(truths, predictions, 3, True)
    for kind in ("bbox", "segm"):
        expected = reference(truths, predictions, 3, kind)
        names = [name for name in metric_names(True) if kind in name]
        got = [-1.0 if math.isnan(results[name]) else results[name] for name in names]
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_perfect_predictions_score_one():
    truths, _ = scene(1)
    perfect = [{**truth["ann"], "scores": np.ones(len(truth["ann"]["labels"]))} for truth in truths]
    results = coco_metrics(truths, perfect, 3, True)
    assert results["coco_segm_mAP"] == pytest.approx(1)
    assert results["coco_bbox_mAP"] == pytest.approx(1)


def test_nothing_found_is_zero_and_nothing_to_find_is_undefined():
    truths, _ = scene(2)
    nothing = [{"labels": [], "scores": [], "bboxes": np.zeros((0, 4)), "masks": []} for _ in truths]
    assert coco_metrics(truths, nothing, 3, True)["coco_segm_mAP"] == 0
    empty = [record(np.zeros((0, SIZE, SIZE), np.uint8), np.zeros(0, int))]
    results = coco_metrics(empty, [scene(2)[1][0]], 3, True)
    assert set(results) == set(metric_names(True))
    assert all(math.isnan(value) for value in results.values())


def test_boxes_alone():
    truths, predictions = scene(3)
    results = coco_metrics(truths, predictions, 3, False)
    assert set(results) == set(metric_names(False))
    assert 0 < results["coco_bbox_mAP"] < 1
