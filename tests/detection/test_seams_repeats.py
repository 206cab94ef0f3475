"""A net answers to an object more than once: joining its cells makes no sure objects of what it was not sure of."""

import numpy as np
import pytest

from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.mask_crops import MaskCrops
from instance_segmentation_pipeline.detection.masks import decode_masks
from instance_segmentation_pipeline.detection.seams import join
from instance_segmentation_pipeline.detection.tiles import Cell, Grid

HEIGHT, WIDTH = 150, 260
LEFT, RIGHT = Cell(0, 0, 100, 100), Cell(60, 0, 160, 100)


def rectangle(x1, y1, x2, y2, height=HEIGHT, width=WIDTH):
    mask = np.zeros((height, width), np.uint8)
    mask[max(0, y1) : y2, max(0, x1) : x2] = 1
    return mask


def answers(cell, masks, scores, labels=None, with_masks=True):
    """Return what a net answers in a cell to masks of the whole image, the surest first; those outside are left out."""
    here = [mask[cell.top : cell.bottom, cell.left : cell.right] for mask in masks]
    rows = [row for row in np.argsort(-np.array(scores), kind="stable") if here[row].sum() >= 8]
    crops = MaskCrops.from_dense(np.array([here[row] for row in rows]).reshape(-1, cell.height, cell.width))
    labels = np.zeros(len(masks), int) if labels is None else np.array(labels)
    chosen = np.array(scores, np.float32)[rows]
    rles = crops.to_rles() if with_masks else None
    return Detections(cell.height, cell.width, labels[rows], chosen, crops.tight_boxes(), rles)


def objects_apart(seed, count=14):
    """Return boxes ``x1, y1, x2, y2`` of rectangles with room between them, all over the image."""
    random, boxes = np.random.default_rng(seed), []
    while len(boxes) < count:
        x, y = random.integers([2, 2], [WIDTH - 28, HEIGHT - 28])
        w, h = random.integers(14, 27, 2)
        if all(x + w + 8 < a or c + 8 < x or y + h + 8 < b or d + 8 < y for a, b, c, d in boxes):
            boxes.append((int(x), int(y), int(x + w), int(y + h)))
        elif random.random() < 0.002:
            boxes.clear()
    return boxes


def repeating_net(boxes, cell, random, repeats=3):
    """Return what a net finds that repeats itself: the surest answer to an object, and less sure ones beside it.

    Sides differ from cell to cell by a pixel, so that a sure answer often agrees with a less sure one of another cell
    more than with the sure one.
    """
    masks, scores, labels = [], [], []
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        for repeat in range(1 + repeats):
            a, b, c, d = random.integers(-1, 2, 4)
            masks.append(rectangle(x1 + a, y1 + b, x2 + c, y2 + d))
            scores.append(random.uniform(0.8, 0.95) if not repeat else random.uniform(0.1, 0.45))
            labels.append(number % 2)
    return answers(cell, masks, scores, labels)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("overlap", [0.2, 0.35, 0.5])
@pytest.mark.parametrize("seed", [0, 2, 4])
def test_less_sure_answers_stay_less_sure(seed, overlap):
    boxes, random = objects_apart(seed), np.random.default_rng(seed)
    cells = Grid(size=(80, 80), overlap=overlap).prediction(HEIGHT, WIDTH)
    joined = join([repeating_net(boxes, cell, random) for cell in cells], cells, HEIGHT, WIDTH)
    sure = joined.above(0.5)
    assert len(sure) == len(boxes)
    masks = decode_masks(sure.masks, HEIGHT, WIDTH)
    truths = [rectangle(*box) for box in boxes]
    best = [max(range(len(masks)), key=lambda row: iou(masks[row], truth)) for truth in truths]
    assert sorted(best) == list(range(len(boxes)))
    assert min(iou(masks[row], truth) for row, truth in zip(best, truths, strict=True)) > 0.65
    assert [int(sure.labels[row]) for row in best] == [number % 2 for number in range(len(boxes))]
    # about as many as the net gives to an object that it sees once, which is four
    assert len(joined) <= 4.5 * len(boxes)


def test_the_answers_of_an_image_that_is_one_cell_are_the_nets_own():
    random = np.random.default_rng(3)
    (cell,) = Grid(size=(400, 400)).prediction(HEIGHT, WIDTH)
    found = repeating_net(objects_apart(3), cell, random)
    joined = join([found], [cell], HEIGHT, WIDTH)
    np.testing.assert_array_equal(joined.scores, found.scores)
    np.testing.assert_array_equal(joined.labels, found.labels)
    assert joined.masks == found.masks


@pytest.mark.parametrize("with_masks", [True, False])
def test_sure_answers_are_paired_however_well_a_less_sure_one_agrees(with_masks):
    exact, near = rectangle(70, 30, 90, 50), rectangle(70, 30, 90, 47)
    left = answers(LEFT, [exact, near], [0.9, 0.3], with_masks=with_masks)
    right = answers(RIGHT, [near, exact], [0.8, 0.2], with_masks=with_masks)
    joined = join([left, right], [LEFT, RIGHT], 100, 160)
    np.testing.assert_allclose(joined.scores, [0.85, 0.25], atol=1e-6)
    assert joined.bboxes[0].tolist() == [70, 30, 90, 50]


def test_the_score_is_the_mean_of_the_views_that_no_edge_cuts():
    whole, cut = rectangle(70, 30, 90, 50), Cell(80, 0, 180, 100)
    found = [answers(cell, [whole], [score]) for cell, score in ((LEFT, 0.6), (RIGHT, 0.8), (cut, 0.95))]
    joined = join(found, [LEFT, RIGHT, cut], 100, 180)
    np.testing.assert_allclose(joined.scores, [0.7], atol=1e-6)


def test_repeats_that_no_cell_shows_beside_the_sure_one_are_not_left_over():
    bar = rectangle(20, 40, 150, 52)  # longer than a cell: found in pieces
    left = answers(LEFT, [bar], [0.9])
    right = answers(RIGHT, [bar, rectangle(60, 40, 150, 50), rectangle(60, 41, 150, 52)], [0.8, 0.3, 0.2])
    joined = join([left, right], [LEFT, RIGHT], 100, 160)
    assert len(joined) == 1
    assert decode_masks(joined.masks, 100, 160).sum() == 130 * 12


def test_a_view_that_no_edge_cuts_stands_where_others_spill_inside_what_it_shows():
    whole, spilt = rectangle(66, 30, 94, 50), rectangle(66, 30, 94, 62)
    joined = join(
        [answers(LEFT, [whole], [0.9]), answers(RIGHT, [spilt], [0.8])],
        [LEFT, RIGHT],
        100,
        160,
    )
    assert decode_masks(joined.masks, 100, 160).sum() == whole.sum()


def test_what_hardly_counts_as_found_does_not_widen_an_object():
    whole, spilt = rectangle(64, 30, 94, 50), rectangle(60, 25, 160, 62)
    found = [answers(LEFT, [whole], [0.9]), answers(RIGHT, [spilt], [0.06])]
    joined = join(found, [LEFT, RIGHT], 100, 160)
    assert joined.scores[0] == pytest.approx(0.9)
    assert decode_masks(joined.masks[:1], 100, 160).sum() == whole.sum()


def test_an_object_within_another_of_its_class_stays_where_a_cell_shows_both():
    outer, inner = rectangle(62, 10, 140, 90), rectangle(66, 30, 90, 50)
    found = [answers(LEFT, [outer, inner], [0.8, 0.9]), answers(RIGHT, [outer, inner], [0.8, 0.9])]
    joined = join(found, [LEFT, RIGHT], 100, 160)
    assert sorted(mask.sum() for mask in decode_masks(joined.masks, 100, 160)) == [inner.sum(), outer.sum()]
