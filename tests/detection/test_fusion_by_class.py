"""Fusion of many objects: the same answers as the rules written out object by object, bit for bit, and classes apart."""

import numpy as np
import pytest

from instance_segmentation_pipeline.detection import fusion
from instance_segmentation_pipeline.detection.boxes import box_iou, boxes_of_masks
from instance_segmentation_pipeline.detection.detections import Detections, overlaps
from instance_segmentation_pipeline.detection.fusion import METHODS, SOFT_SIGMA, fuse
from instance_segmentation_pipeline.detection.masks import encode_masks

HEIGHT, WIDTH = 48, 64


def member(random, count, classes, with_masks):
    """Return rectangles anywhere; scores are few, so that many are equal."""
    masks = np.zeros((count, HEIGHT, WIDTH), np.uint8)
    for mask in masks:
        top, left = random.integers(0, HEIGHT - 4), random.integers(0, WIDTH - 4)
        mask[top : top + random.integers(1, 24), left : left + random.integers(1, 24)] = 1
    scores = (random.integers(1, 9, count) / 8).astype(np.float32)
    labels = random.integers(0, classes, count)
    encoded = encode_masks(masks) if with_masks else None
    return Detections(HEIGHT, WIDTH, labels, scores, boxes_of_masks(masks).reshape(-1, 4), encoded)


def groups_by_rule(joined, owners, threshold, by_boxes):
    """Each object joins the group whose first it overlaps most, of equals the latest, where its member is not in yet."""
    iou = box_iou(joined.bboxes, joined.bboxes) if by_boxes else overlaps(joined, joined)
    groups = []
    for row in range(len(joined)):
        fits = [
            (iou[group[0], row], number)
            for number, group in enumerate(groups)
            if joined.labels[group[0]] == joined.labels[row]
            and iou[group[0], row] >= threshold
            and owners[row] not in owners[group]
        ]
        if fits:
            groups[max(fits)[1]].append(row)
        else:
            groups.append([row])
    return groups


def nms_by_rule(joined, owners, shares, threshold):
    iou, kept = overlaps(joined, joined), []
    for row in range(len(joined)):
        if not any(joined.labels[other] == joined.labels[row] and iou[row, other] >= threshold for other in kept):
            kept.append(row)
    return joined[kept]


def soft_nms_by_rule(joined, owners, shares, threshold):
    iou, scores, left = overlaps(joined, joined), joined.scores.astype(np.float64), list(range(len(joined)))
    while left:
        row = max(left, key=lambda other: scores[other])
        left.remove(row)
        for other in left:
            if joined.labels[other] == joined.labels[row]:
                scores[other] *= np.exp(-(iou[row, other] ** 2) / SOFT_SIGMA)
    return Detections(
        joined.height, joined.width, joined.labels, scores.astype(np.float32), joined.bboxes, joined.masks
    )


def same(first, second):
    return (
        np.array_equal(first.labels, second.labels)
        and np.array_equal(first.scores, second.scores)
        and np.array_equal(first.bboxes, second.bboxes)
        and first.masks == second.masks
    )


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("method", METHODS)
def test_the_answers_are_those_of_the_rules(method, seed, monkeypatch):
    random = np.random.default_rng(seed)
    members = [
        member(random, int(random.integers(0, 14)), int(random.integers(1, 5)), bool(seed % 3))
        for _ in range(random.integers(2, 6))
    ]
    weights = None if seed % 2 else random.random(len(members)).tolist()
    threshold = (0.05, 0.3, 0.55, 1.0)[seed % 4]
    answer = fuse(members, method, threshold, weights)
    monkeypatch.setattr(fusion, "_groups", groups_by_rule)
    monkeypatch.setitem(METHODS, "nms", nms_by_rule)
    monkeypatch.setitem(METHODS, "soft_nms", soft_nms_by_rule)
    assert same(answer, fuse(members, method, threshold, weights))


@pytest.mark.parametrize("method", METHODS)
def test_only_objects_of_one_class_are_compared(method, monkeypatch):
    """15 members with 100 objects of 80 classes: 1,500 objects, of which two in eighty could be one."""
    random = np.random.default_rng(1)
    members = [member(random, 100, 80, True) for _ in range(15)]
    compared = []
    for name, real in (("overlaps", overlaps), ("box_iou", box_iou)):

        def counted(first, second, real=real):
            compared.append(len(first) * len(second))
            return real(first, second)

        monkeypatch.setattr(fusion, name, counted)
    fuse(members, method)
    assert sum(compared) < 1500 * 1500 / 40
    assert len(compared) == 80
