"""Suppression by its definition, box by box, beside the operators in PyTorch: few, many, spread, clustered, chains."""

import numpy as np
import pytest
import torch

from instance_segmentation_pipeline.operators import nms as nms_module
from tests.support.operators_in_torch import operators_in_torch

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def ours():
    with operators_in_torch() as operators:
        yield operators


def overlaps(boxes, offset):
    x1, y1, x2, y2 = boxes.T
    offset = np.float32(offset)
    area = (x2 - x1 + offset) * (y2 - y1 + offset)
    width = np.maximum(np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1) + offset, 0)
    height = np.maximum(np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1) + offset, 0)
    with np.errstate(all="ignore"):
        return width * height / (area[:, None] + area - width * height)


def greedy(boxes, scores, test, offset=0):
    """The groups of nms_match; their first members are what NMS keeps."""
    iou = overlaps(boxes, offset)
    left, groups = np.argsort(-scores, kind="stable").tolist(), []
    while left:
        top = left[0]
        group = [top] + [other for other in left[1:] if test(iou[top, other])]
        groups.append(group)
        left = [other for other in left if other not in set(group)]
    return groups


def spread(count, side):
    random = np.random.RandomState(count)
    corner = random.uniform(0, side, (count, 2))
    return np.concatenate((corner, corner + random.uniform(1, 40, (count, 2))), 1).astype(np.float32)


def chain(count):
    """Each box overlaps the next one only, and the scores fall along them."""
    x = np.arange(count, dtype=np.float32) * 5
    return np.stack((x, x * 0, x + 9, x * 0 + 9), 1)


BOXES = {
    "one": spread(1, 10),
    "few": spread(40, 60),
    "many spread": spread(600, 2000),
    "many clustered": spread(600, 40),
    "some without area": np.where(np.arange(400)[:, None] % 5 == 0, np.float32(7), spread(400, 60)),
    "equal": np.repeat(spread(60, 100), 5, 0),
    "whole pixels": np.round(spread(400, 100)),
    "a chain": chain(300),
    "a chain of equals": chain(300)[:, [1, 0, 3, 2]],
}


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.7])
@pytest.mark.parametrize("name", BOXES)
def test_greedy_suppression(name, threshold, ours):
    boxes = BOXES[name]
    scores = np.linspace(1, 0, len(boxes), dtype=np.float32)
    if "chain" not in name:
        np.random.RandomState(1).shuffle(scores)
    given = torch.from_numpy(boxes), torch.from_numpy(scores)
    for offset in (0, 1):
        kept = [group[0] for group in greedy(boxes, scores, lambda iou: iou > np.float32(threshold), offset)]
        assert ours.nms(*given, iou_threshold=threshold, offset=offset).tolist() == kept
    groups = greedy(boxes, scores, lambda iou: iou >= np.float32(threshold))
    assert ours.nms_match(torch.cat((given[0], given[1][:, None]), 1), iou_threshold=threshold) == groups


@pytest.mark.parametrize("rounds", [0, 1, 64])
def test_a_chain_is_followed_to_its_end(rounds, monkeypatch, ours):
    monkeypatch.setattr(nms_module, "ROUNDS", rounds)
    boxes, scores = torch.from_numpy(chain(500)), torch.linspace(1, 0, 500)
    assert ours.nms(boxes, scores, iou_threshold=0.2, offset=0).tolist() == list(range(0, 500, 2))


def soft(boxes, scores, threshold, sigma, least, method, offset):
    """Soft NMS as its paper has it, in double precision; of equal scores the first is picked."""
    iou = overlaps(boxes, offset).astype(np.float64)
    scores, left, picked = scores.astype(np.float64), list(range(len(scores))), []
    while left:
        top = max(left, key=lambda i: (scores[i], -i))
        left.remove(top)
        picked.append((top, scores[top]))
        for other in list(left):
            o = iou[top, other]
            if method == 2:
                scores[other] *= np.exp(-o * o / sigma)
            elif o >= np.float32(threshold):
                scores[other] *= 0 if method == 0 else 1 - o
            if scores[other] < least:
                left.remove(other)
    return picked


@pytest.mark.parametrize("method", [0, 1, 2])
@pytest.mark.parametrize("name", ["one", "few", "many spread", "many clustered", "a chain"])
def test_soft_suppression(name, method, ours):
    boxes = BOXES[name]
    scores = np.random.RandomState(2).uniform(0.01, 1, len(boxes)).astype(np.float32)
    for threshold, least, offset in ((0.3, 0.05, 0), (0.5, 0.2, 1), (0.0, 0.001, 0)):
        expected = soft(boxes, scores, threshold, 0.5, np.float32(least), method, offset)
        dets = torch.full((len(boxes), 5), -7.0)
        given = {"iou_threshold": threshold, "sigma": 0.5, "min_score": least, "method": method, "offset": offset}
        index = ours.softnms(torch.from_numpy(boxes), torch.from_numpy(scores), dets, **given)
        assert index.tolist() == [number for number, _ in expected]
        np.testing.assert_allclose(dets[: len(expected), 4], [score for _, score in expected], rtol=2e-6, atol=1e-12)
        assert np.array_equal(dets[: len(expected), :4], boxes[index.numpy()])
        assert (dets[len(expected) :] == -7).all()


def test_the_best_box_stays_below_any_minimum(ours):
    dets = torch.zeros(2, 5)
    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 8]])
    given = {"iou_threshold": 0.5, "sigma": 0.5, "min_score": 0.9, "method": 1, "offset": 0}
    assert ours.softnms(boxes, torch.tensor([0.2, 0.4]), dets, **given).tolist() == [1]
