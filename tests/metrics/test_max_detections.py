"""COCO's numbers with other maxDets than 100, equal to pycocotools' with the same."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.metrics.coco import (
    RECALLS,
    STATISTICS,
    _detections,
    _ground_truth,
    _of_kind,
    coco_evaluation,
    coco_metrics,
    counted,
)
from instance_segmentation_pipeline.metrics.instance_metrics import final_metrics

SIDE = 400


def crowd(count, seed=0):
    """Return a truth with ``count`` boxes of two classes, and detections: the same moved a little, and as many wrong."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, SIDE - 60, (count, 2))
    boxes = np.hstack([corners, corners + random.uniform(12, 60, (count, 2))]).astype(np.float32)
    labels = random.integers(0, 2, count)
    moved = boxes + random.normal(0, 1.5, boxes.shape).astype(np.float32)
    wrong = np.clip(boxes + random.uniform(30, 60, (count, 1)).astype(np.float32), 0, SIDE)
    found = {
        "labels": np.concatenate([labels, labels]),
        "scores": random.uniform(0.05, 1, 2 * count).astype(np.float32),
        "bboxes": np.concatenate([moved, wrong]),
    }
    return {"filename": "a", "height": SIDE, "width": SIDE, "ann": {"labels": labels, "bboxes": boxes}}, found


SCENE = [crowd(count, count) for count in (3, 40, 150)]
TRUTHS, FOUND = [list(each) for each in zip(*SCENE, strict=True)]


def of_pycocotools(most):
    """Return AP, AP at .5, and recall at 1, 10 and ``most``, as pycocotools accumulates them."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = _ground_truth(TRUTHS, 2, False)
        truth.createIndex()
        evaluation = COCOeval(
            truth, truth.loadRes([_of_kind(one, "bbox") for one in _detections(FOUND, False)]), "bbox"
        )
        evaluation.params.maxDets = [1, 10, most]
        evaluation.evaluate()
        evaluation.accumulate()
    place = list(evaluation.params.maxDets).index(most)  # they are sorted
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]

    def mean(values):
        return float(values[values > -1].mean())

    return {
        "mAP": mean(precision[:, :, :, 0, place]),
        "mAP_50": mean(precision[0, :, :, 0, place]),
        "AR_1": mean(recall[:, :, 0, 0]),
        "AR_10": mean(recall[:, :, 0, 1 if most > 10 else place]),
        "AR": mean(recall[:, :, 0, place]),
    }


@pytest.mark.parametrize("most", [11, 20, 50, 100, 150, 300, 1000])
def test_equal_to_pycocotools(most):
    statistics = coco_evaluation(TRUTHS, FOUND, 2, False, most)["bbox"].statistics
    ours = dict(zip((*STATISTICS, *RECALLS), statistics, strict=True))
    wanted = of_pycocotools(most)
    assert {name: ours[name] for name in wanted} == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("most", [1, 2, 5, 9, 10])
def test_fewer_than_ten(most):
    """What is beyond the most counts in none of the numbers."""
    cut = []
    for one in FOUND:
        keep = np.zeros(len(one["scores"]), bool)
        for label in (0, 1):
            rows = np.flatnonzero(one["labels"] == label)
            keep[rows[np.argsort(-one["scores"][rows], kind="stable")[:most]]] = True
        cut.append({name: values[keep] for name, values in one.items()})
    limited = coco_evaluation(TRUTHS, FOUND, 2, False, most)["bbox"].statistics
    assert limited == pytest.approx(coco_evaluation(TRUTHS, cut, 2, False, 100)["bbox"].statistics, abs=1e-9)


def test_by_default_as_many_as_an_image_has_of_a_class():
    assert counted(record["ann"]["labels"] for record in TRUTHS) == 100
    assert counted([np.zeros(130, int), np.ones(7, int)]) == 130
    assert counted([]) == 100
    assert coco_metrics(TRUTHS, FOUND, 2, False) == coco_metrics(TRUTHS, FOUND, 2, False, 100)


def test_more_are_found_where_more_count():
    names = ["a", "b"]
    found = [Detections(SIDE, SIDE, one["labels"], one["scores"], one["bboxes"], None) for one in FOUND]
    recalls = [final_metrics(TRUTHS, found, names, False, most)["coco_bbox_AR"] for most in (5, 20, 60, 300)]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1]
