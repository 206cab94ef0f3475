"""Evaluating a dataset: our COCO metrics beside pycocotools' own, on the same random scenes.

Prints seconds, their ratio, and the largest difference between the twelve statistics. Usage:

    python benchmarks/evaluation.py [--images 2000] [--objects 8] [--size 320]
"""

import argparse
import contextlib
import io
import time

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from instance_segmentation_pipeline.detection.boxes import boxes_of_masks
from instance_segmentation_pipeline.detection.masks import encode_masks
from instance_segmentation_pipeline.metrics.coco import _detections, _ground_truth, _of_kind, coco_evaluation


def scene(random: np.random.Generator, size: int, objects: int, classes: int) -> tuple[dict, dict]:
    """Return the truth of an image, and predictions that are the truth moved, with some left out and some invented."""
    count = int(random.integers(1, 2 * objects))
    masks = np.zeros((count, size, size), np.uint8)
    for mask in masks:
        y, x = random.integers(0, size - 8, 2)
        height, width = random.integers(4, size // 2, 2)
        mask[y : y + height, x : x + width] = 1
    labels = random.integers(0, classes, count)
    ann = {"labels": labels, "bboxes": boxes_of_masks(masks), "masks": encode_masks(masks)}
    moved = np.roll(masks, random.integers(-6, 7), axis=2)[random.random(count) < 0.85]
    guess = np.where(random.random(len(moved)) < 0.9, labels[: len(moved)], 0)
    found = {"labels": guess, "scores": random.random(len(moved)).astype(np.float32), "bboxes": boxes_of_masks(moved)}
    return {"filename": "", "height": size, "width": size, "ann": ann}, {**found, "masks": encode_masks(moved)}


def reference(truths: list, predictions: list, classes: int) -> dict[str, np.ndarray]:
    """Evaluate with pycocotools."""
    statistics = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for kind in ("bbox", "segm"):
            truth = COCO()
            truth.dataset = _ground_truth(truths, classes, True)
            truth.createIndex()
            found = truth.loadRes([_of_kind(one, kind) for one in _detections(predictions, True)])
            evaluation = COCOeval(truth, found, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            statistics[kind] = evaluation.stats
    return statistics


def main() -> None:
    """Time both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--objects", type=int, default=8, help="objects an image, on average")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--classes", type=int, default=10)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    pairs = [scene(random, options.size, options.objects, options.classes) for _ in range(options.images)]
    truths, predictions = [truth for truth, _ in pairs], [found for _, found in pairs]
    began = time.perf_counter()
    ours = coco_evaluation(truths, predictions, options.classes, True)
    middle = time.perf_counter()
    theirs = reference(truths, predictions, options.classes)
    ended = time.perf_counter()
    difference = max(np.abs(np.array(ours[kind].statistics) - theirs[kind]).max() for kind in theirs)
    print(f"{options.images} images, boxes and masks: {middle - began:.2f} s; pycocotools {ended - middle:.2f} s")
    print(f"ratio {(ended - middle) / (middle - began):.2f}, largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
