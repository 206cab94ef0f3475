"""Data that contradicts itself or the model is told by name before training; data that does not is left alone."""

import numpy as np
import pytest
from musket_core import generic

from instance_segmentation_pipeline.detection.box_forms import BoxForm, best_form
from instance_segmentation_pipeline.detection.boxes import boxes_of_masks
from instance_segmentation_pipeline.detection.masks import encode_masks
from instance_segmentation_pipeline.errors import DatasetError
from instance_segmentation_pipeline.metrics.coco import coco_metrics
from tests.support.datasets import Items, shapes, square
from tests.support.project import FAST, SMALL_CONFIG
from tests.support.small_models import SLIM, SLIM_MASK, two_stage

HEIGHT, WIDTH = 80, 120


def scene(seed, size=(6, 30)):
    """Return an image and a target with three rectangles of various sides, boxes ``[minY, minX, maxY, maxX]``."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((3, HEIGHT, WIDTH), bool)
    for mask in masks:
        height, width = rng.integers(*size, 2)
        top, left = rng.integers(0, HEIGHT - height), rng.integers(0, WIDTH - width)
        mask[top : top + height, left : left + width] = True
    bboxes = boxes_of_masks(masks)[:, [1, 0, 3, 2]]
    return np.zeros((HEIGHT, WIDTH, 3), np.uint8), (np.array([1, 2, 1]), bboxes, masks)


def rewritten(change, with_masks=True, count=8, **options):
    """Return a dataset whose boxes are written in another way."""
    pairs = []
    for number in range(count):
        image, (labels, bboxes, masks) = scene(number, **options)
        changed = change(bboxes.astype(np.float64))
        pairs.append((image, (labels, changed, masks) if with_masks else (labels, changed)))
    return Items(pairs)


def _sized(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _centred(boxes):
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def _shares(boxes):
    return boxes / np.array([HEIGHT, WIDTH, HEIGHT, WIDTH])


def _swap(boxes):
    return boxes[:, [1, 0, 3, 2]]


FORMS = {
    "yx height width": (_sized, "[minY, minX, height, width], expected [minY, minX, maxY, maxX] in pixels"),
    "COCO": (lambda boxes: _swap(_sized(boxes)), "[minX, minY, width, height], expected"),
    "centre yx": (_centred, "[centre y, centre x, height, width], expected"),
    "centre xy": (lambda boxes: _swap(_centred(boxes)), "[centre x, centre y, width, height], expected"),
    "shares": (_shares, "[minY, minX, maxY, maxX], as shares of the image's sides, expected"),
    "shares xy": (lambda boxes: _swap(_shares(boxes)), "[minX, minY, maxX, maxY], as shares of the image's sides"),
    "COCO shares": (lambda boxes: _swap(_sized(_shares(boxes))), "[minX, minY, width, height], as shares of"),
    "YOLO": (lambda boxes: _swap(_centred(_shares(boxes))), "[centre x, centre y, width, height], as shares of"),
    "swapped": (_swap, "set bboxOrder: xyxy"),
}  # fmt: skip


@pytest.fixture
def checked(add_experiment):
    """Return a function that checks a dataset, and returns the config."""

    def check(dataset, extra="", text=None):
        cfg = generic.parse(str(add_experiment(extra=extra, text=text)))
        cfg.check(dataset)
        return cfg

    return check


@pytest.mark.parametrize("name", FORMS)
def test_another_form_of_boxes_is_named(checked, name):
    change, message = FORMS[name]
    with pytest.raises(DatasetError) as caught:
        checked(rewritten(change))
    assert message in str(caught.value)
    assert "bboxSource: masks" in str(caught.value)


@pytest.mark.parametrize("name", FORMS)
def test_boxes_from_masks_do_not_look_at_them(checked, name):
    checked(rewritten(FORMS[name][0]), "bboxSource: masks\n")


@pytest.mark.parametrize("name", FORMS)
def test_the_form_is_found_for_either_order(name):
    boxes = np.concatenate([scene(number)[1][1] for number in range(20)]).astype(float)
    sides = np.tile([WIDTH, HEIGHT], (len(boxes), 1)).astype(float)
    given = FORMS[name][0](boxes)
    for order in ("yxyx", "xyxy"):
        form = best_form(order, given, sides, _swap(boxes))
        if form is None:
            assert (name, order) == ("swapped", "xyxy")
        else:
            assert np.allclose(form.corners(given, sides), _swap(boxes), atol=1e-3)


@pytest.mark.parametrize("name", ["COCO", "YOLO", "swapped"])
def test_masks_may_be_run_lengths(checked, name):
    dataset = rewritten(FORMS[name][0])
    dataset.pairs = [
        (image, (labels, boxes, encode_masks(masks.astype(np.uint8))))
        for image, (labels, boxes, masks) in dataset.pairs
    ]
    with pytest.raises(DatasetError) as caught:
        checked(dataset)
    assert FORMS[name][1] in str(caught.value)


KEPT = {
    "as asked": lambda boxes: boxes,
    "padded": lambda boxes: boxes + np.array([-3, -3, 3, 3]),
    "loose": lambda boxes: boxes + np.array([-0.4, 0.3, 0.4, -0.3]),
    "whole numbers": lambda boxes: boxes.round().astype(int),
}


@pytest.mark.parametrize("name", KEPT)
def test_sound_boxes_are_left_alone(checked, capsys, name):
    checked(rewritten(KEPT[name], size=(12, 30)))
    assert "bboxes" not in capsys.readouterr().out


def test_squares_on_the_diagonal_prove_nothing(checked):
    checked(Items([square(64, 64, top=5 + number, left=5 + number, side=20) for number in range(6)]))


def test_ends_that_are_inclusive_are_told(checked, capsys):
    checked(rewritten(lambda boxes: boxes - [0, 0, 1, 1]))
    assert "the bboxes of the 24 objects looked at end with the last pixel of their masks" in capsys.readouterr().out


def test_inclusive_boxes_of_thin_objects_say_why_they_are_empty(checked):
    with pytest.raises(DatasetError, match=r"end with the last pixel of their masks \(inclusive\)"):
        checked(rewritten(lambda boxes: boxes - [0, 0, 1, 1], size=(1, 4)))


def test_boxes_that_lie_elsewhere_are_told(checked, capsys):
    checked(rewritten(lambda boxes: np.tile([0.0, 0.0, 5.0, 5.0], (len(boxes), 1)), size=(20, 30)))
    assert "bboxes looked at lie elsewhere than their masks" in capsys.readouterr().out


PLAIN = [("shares", True), ("COCO shares", True), ("YOLO", True), ("yx height width", True), ("COCO", True)]


@pytest.mark.parametrize(("name", "told"), PLAIN)
def test_boxes_without_masks(checked, name, told):
    text = two_stage("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", SLIM)
    with pytest.raises(DatasetError, match="the bboxes of the 8 items looked at make sense only when read as"):
        checked(rewritten(FORMS[name][0], with_masks=False), text=text)


def test_sound_boxes_without_masks(checked):
    checked(rewritten(lambda boxes: boxes, with_masks=False), text=two_stage("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", SLIM))  # fmt: skip


def test_an_item_of_its_own_fault_is_still_named(checked):
    dataset = rewritten(lambda boxes: boxes)
    image, (labels, bboxes, masks) = dataset.pairs[3]
    dataset.pairs[3] = image, (labels * 0, bboxes, masks)
    with pytest.raises(DatasetError, match="item 'item3': label 0 found"):
        checked(dataset)


# -- sizes and counts ----------------------------------------------------------------------------------------


def test_objects_that_vanish_at_the_shape_are_counted(checked, capsys):
    dataset = Items([square(256, 256, side=side) for side in (2, 3, 40, 40, 40, 40)])
    checked(dataset)
    told = capsys.readouterr().out
    assert "2 of the 6 objects looked at are less than a pixel wide or high at this shape (first item 'item0')" in told


def crowd(count, side=2, spread=4):
    """Return an image and a target with many squares of one class."""
    across = int(np.ceil(np.sqrt(count)))
    size = across * spread
    masks = np.zeros((count, size, size), bool)
    for number in range(count):
        row, column = divmod(number, across)
        masks[number, row * spread : row * spread + side, column * spread : column * spread + side] = True
    return np.zeros((size, size, 3), np.uint8), (np.ones(count, int), _swap(boxes_of_masks(masks)), masks)


MASK_RCNN = two_stage("mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", {**SLIM, **SLIM_MASK})


def test_more_objects_than_the_model_gives(checked, capsys):
    checked(Items([square(64, 64)] * 5 + [crowd(150)]), text=MASK_RCNN)
    told = capsys.readouterr().out
    assert (
        "item 'item5' has 150 objects, but the model finds 100 in an image at most: raise model.test_cfg.rcnn.max_per_img"
        in told
    )
    assert "items have up to 150 objects of one class, and COCO counts 100 detections" in told


def test_as_many_as_the_model_gives_need_no_word(checked, capsys):
    options = {**SLIM, **SLIM_MASK, "model.test_cfg.rcnn.max_per_img": 200}
    checked(
        Items([square(64, 64)] * 5 + [crowd(90)]), text=two_stage("mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", options)
    )
    told = capsys.readouterr().out
    assert "at most" not in told
    assert "COCO counts" not in told


@pytest.mark.parametrize("count", [1, 99, 100, 101, 256])
def test_a_perfect_prediction_scores_one_however_many_objects(count):
    _, (labels, bboxes, masks) = crowd(count, side=3, spread=6)
    boxes = _swap(bboxes)
    rles = encode_masks(masks.astype(np.uint8))
    height, width = masks.shape[1:]
    truth = {
        "filename": "a",
        "height": height,
        "width": width,
        "ann": {"labels": labels - 1, "bboxes": boxes, "masks": rles},
    }
    found = {"labels": labels - 1, "scores": np.full(count, 0.9), "bboxes": boxes, "masks": rles}
    values = coco_metrics([truth], [found], 1, True)
    assert values["coco_segm_mAP"] == pytest.approx(1.0)
    assert values["coco_bbox_mAP"] == pytest.approx(1.0)


def test_the_sample_is_bounded(checked):
    class Counting(Items):
        read = 0

        def __getitem__(self, item):
            type(self).read += 1
            return super().__getitem__(item)

    checked(Counting([square(64, 64)] * 500))
    assert Counting.read < 200


def test_names_of_forms():
    assert str(BoxForm("xyxy")) == "[minX, minY, maxX, maxY]"


def test_the_example_s_data_needs_no_word(checked, capsys):
    checked(shapes(), text=FAST.format(config=SMALL_CONFIG, extra=""))
    assert "note:" not in capsys.readouterr().out
