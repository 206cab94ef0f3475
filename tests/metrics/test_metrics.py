"""COCO metrics against pycocotools, and what they say where there is nothing to count."""

import contextlib
import io
import math
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
from mmdet.evaluation import eval_map
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from instance_segmentation_pipeline.detection.boxes import boxes_of_masks
from instance_segmentation_pipeline.detection.detections import Detections, from_arrays, none_found
from instance_segmentation_pipeline.detection.masks import decode_masks, encode_masks
from instance_segmentation_pipeline.detection.matching import confusion, curve, match
from instance_segmentation_pipeline.metrics.coco import coco_evaluation, coco_metrics, metric_names
from instance_segmentation_pipeline.metrics.instance_metrics import final_metric_names, final_metrics

SIZE = 160
DOT = np.zeros((1, SIZE, SIZE), np.uint8)
DOT[0, -1, 0] = 1


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
    from instance_segmentation_pipeline.metrics.coco import _detections, _ground_truth, _of_kind

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = _ground_truth(truths, classes, True)
        truth.createIndex()
        found = truth.loadRes([_of_kind(entry, kind) for entry in _detections(predictions, True)])
        evaluation = COCOeval(truth, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    per_class = [part[part > -1].mean() if (part > -1).any() else -1.0 for part in precision.transpose(2, 0, 1)]
    return evaluation.stats, per_class


CASES = {
    **{f"random {seed}": {"seed": seed} for seed in range(8)},
    "crowded": {"seed": 20, "images": 2, "objects": 160},
    "one class missing": {"seed": 21, "classes": 2},
    "many empty images": {"seed": 22, "images": 12, "objects": 1},
}


@pytest.mark.parametrize("case", CASES)
def test_equal_to_pycocotools(case):
    truths, predictions = scene(**CASES[case])
    results = coco_metrics(truths, predictions, 3, True)
    whole = coco_evaluation(truths, predictions, 3, True)
    for kind in ("bbox", "segm"):
        expected, per_class = reference(truths, predictions, 3, kind)
        names = [name for name in metric_names(True) if kind in name]
        got = [-1.0 if math.isnan(results[name]) else results[name] for name in names]
        np.testing.assert_allclose(got, expected[:6], atol=1e-6)
        np.testing.assert_allclose(whole[kind].statistics, expected, atol=1e-6)
        np.testing.assert_allclose(whole[kind].per_class, per_class, atol=1e-6)


def test_degenerate_predictions_count_like_pycocotools():
    """Empty masks, boxes without area and two equal scores."""
    truths, predictions = scene(23)
    empty = encode_masks(np.zeros((2, SIZE, SIZE), np.uint8))
    for one in predictions:
        one["labels"] = np.append(one["labels"], [0, 1])
        one["scores"] = np.append(one["scores"], [0.5, 0.5]).astype(np.float32)
        one["bboxes"] = np.concatenate([one["bboxes"], [[5, 5, 5, 5], [0, 0, 0, 9]]])
        one["masks"] = [*one["masks"], *empty]
    whole = coco_evaluation(truths, predictions, 3, True)
    for kind in ("bbox", "segm"):
        np.testing.assert_allclose(whole[kind].statistics, reference(truths, predictions, 3, kind)[0], atol=1e-6)


def test_nothing_found_is_what_pycocotools_would_say():
    truths, _ = scene(24)
    nothing = [{"labels": [], "scores": [], "bboxes": np.zeros((0, 4)), "masks": []} for _ in truths]
    far = [{"labels": [0], "scores": [0.1], "bboxes": [[0, 0, 1, 1]], "masks": encode_masks(DOT)} for _ in truths]
    whole = coco_evaluation(truths, nothing, 3, True)
    for kind in ("bbox", "segm"):
        expected, per_class = reference(truths, far, 3, kind)
        np.testing.assert_allclose(whole[kind].statistics, expected, atol=1e-6)
        np.testing.assert_allclose(whole[kind].per_class, per_class, atol=1e-6)


# -- beyond COCO -----------------------------------------------------------------------------------------------


def detections(*objects):
    """Return detections of ``(label, score, top, left, side)`` squares."""
    masks = np.zeros((len(objects), SIZE, SIZE), np.uint8)
    for mask, (_, _, top, left, side) in zip(masks, objects, strict=True):
        mask[top : top + side, left : left + side] = 1
    labels, scores = np.array([o[0] for o in objects], int), np.array([o[1] for o in objects], np.float32)
    return Detections(SIZE, SIZE, labels, scores, boxes_of_masks(masks), encode_masks(masks))


TRUTH = detections((0, 1, 10, 10, 20), (1, 1, 60, 60, 20), (1, 1, 100, 100, 20))
FOUND = detections((0, 0.9, 10, 10, 20), (0, 0.8, 60, 62, 20), (1, 0.7, 100, 100, 19), (0, 0.6, 0, 130, 9))


def test_f1_and_the_threshold_that_reaches_it():
    """By falling score: hit, miss, hit, miss; best is 2 of 3 found with one wrong, at 0.7."""
    best, threshold = curve(match([TRUTH], [FOUND], 2)).best_f1()
    assert best == pytest.approx(2 * 2 / (3 + 3))
    assert threshold == pytest.approx(0.7)


def test_confusion_has_background_row_and_column():
    table = confusion([TRUTH], [FOUND], 2, 0.5)
    assert table.tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert confusion([TRUTH], [FOUND], 2, 0.75).tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 0]]
    nothing = none_found(SIZE, SIZE, True)
    assert confusion([TRUTH, nothing], [nothing, FOUND], 2, 0.5).tolist() == [[0, 0, 1], [0, 0, 2], [3, 1, 0]]


def test_names_of_2019_have_right_values():
    truths = [record(decode_masks(TRUTH.masks, SIZE, SIZE), TRUTH.labels)]
    values = final_metrics(truths, [FOUND], ["a", "b"], True)
    assert values["mAP_masks"] == pytest.approx((1 + 0.5) / 2)  # class a: found at once; class b: one of two
    assert values["mmdet_mAP_bbox"] == pytest.approx((1 + 0.5) / 2)
    assert values["mask_IoU"] == pytest.approx((1 + 361 / 400) / 2)
    assert values["coco_segm_mAP_class_a"] == pytest.approx(1, abs=1e-6)
    assert set(final_metric_names(True)) <= set(values)


@pytest.mark.parametrize("seed", range(4))
def test_mmdet_map_is_mmdetections(seed, monkeypatch):
    # its pool of processes is forked from one with other tests' threads, and stood still for minutes
    monkeypatch.setitem(eval_map.__globals__, "Pool", ThreadPool)
    truths, predictions = scene(seed)
    found = [from_arrays(one, SIZE, SIZE) for one in predictions]
    results = [[np.column_stack([one.bboxes, one.scores])[one.labels == label] for label in range(3)] for one in found]
    annotations = [{"bboxes": truth["ann"]["bboxes"], "labels": truth["ann"]["labels"]} for truth in truths]
    expected, _ = eval_map(results, annotations, iou_thr=0.5, logger="silent")
    got = final_metrics(truths, found, ["a", "b", "c"], True)["mmdet_mAP_bbox"]
    assert got == pytest.approx(expected, abs=0.02)  # MMDetection gives an object to the first of highest IoU only


def test_perfect_and_empty():
    truths = [record(decode_masks(TRUTH.masks, SIZE, SIZE), TRUTH.labels)]
    values = final_metrics(truths, [TRUTH], ["a", "b"], True)
    for name in ("mmdet_mAP_bbox", "mAP_masks", "segm_F1", "mask_IoU", "coco_segm_AR"):
        assert values[name] == pytest.approx(1), name
    values = final_metrics(truths, [none_found(SIZE, SIZE, True)], ["a", "b"], True)
    for name in ("mmdet_mAP_bbox", "mAP_masks", "segm_F1", "mask_IoU", "coco_segm_mAP", "coco_segm_mAP_class_b"):
        assert values[name] == 0, name
    nothing = [record(np.zeros((0, SIZE, SIZE), np.uint8), np.zeros(0, int))]
    assert all(math.isnan(value) for value in final_metrics(nothing, [FOUND], ["a", "b"], True).values())


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
