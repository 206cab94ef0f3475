"""Views of somebody's functions: boxes and masks against those computed by hand; ways back that do not fit are refused."""

import cv2
import numpy as np
import pytest

from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.masks import decode_masks, encode_masks
from instance_segmentation_pipeline.detection.own_views import OwnView, own_views
from instance_segmentation_pipeline.detection.tta import View
from instance_segmentation_pipeline.errors import ConfigError

PAD = 7


def pad(array):
    return np.pad(array, ((PAD, PAD), (PAD, PAD), (0, 0)))


def cut(array):
    return array[PAD:-PAD, PAD:-PAD]


def larger(image):
    return cv2.resize(image, None, fx=1.5, fy=2, interpolation=cv2.INTER_LINEAR)


def smaller(array, size):
    return cv2.resize(array, size[::-1], interpolation=cv2.INTER_LINEAR)


def moved(image):
    return cv2.warpAffine(image, np.float32([[1, 0, 5], [0, 1, -3]]), image.shape[1::-1])


def moved_back(array):
    return cv2.warpAffine(array, np.float32([[1, 0, -5], [0, 1, 3]]), array.shape[1::-1])


def spun(array, angle=10):
    height, width = array.shape[:2]
    return cv2.warpAffine(array, cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1), (width, height))


VIEWS = {
    "flip": (np.fliplr, np.fliplr),
    "upside down": (np.flipud, np.flipud),
    "quarter": (np.rot90, lambda array: np.rot90(array, -1)),
    "pad": (pad, cut),
    "larger": (larger, smaller),
    "moved": (moved, moved_back),
    "middle": (lambda image: image[8:-8, 8:-8], lambda array: np.pad(array, 8)),
    "darker": (lambda image: image // 2, lambda array: array),
    "inverted": (lambda image: 255 - image, lambda array: array),
    "spun": (spun, lambda array: spun(array, -10)),
}


def one(pair):
    (view,) = own_views([pair], "mine", "digest")
    return view


def drawn(x1, y1, x2, y2, height=90, width=120):
    mask = np.zeros((height, width), np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


def seen_by(view, mask):
    """Return what a net that finds a white object exactly would answer in the view."""
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    bare = view.show(np.zeros_like(image)).astype(int)
    seen = (np.abs(view.show(image) - bare).max(axis=2) >= 64).astype(np.uint8)
    rows, columns = np.nonzero(seen)
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    return Detections(*seen.shape, np.array([1]), np.array([0.5], np.float32), box, encode_masks(seen[None]))


@pytest.mark.parametrize("name", VIEWS)
def test_boxes_and_masks_come_back(name):
    view, mask = one(VIEWS[name]), drawn(30, 20, 70, 44)
    back = view.back(seen_by(view, mask), mask.shape)
    assert (back.height, back.width, list(back.labels), list(back.scores)) == (90, 120, [1], [0.5])
    (dense,) = decode_masks(back.masks, 90, 120)
    exact = name not in ("larger", "spun")
    union = (dense | mask).sum()
    assert (dense & mask).sum() / union >= (1 if exact else 0.92)
    np.testing.assert_allclose(back.bboxes, [[30, 20, 70, 44]], atol=1e-3 if exact else 1.01)


@pytest.mark.parametrize("name", [name for name in VIEWS if name not in ("larger", "spun")])
def test_boxes_without_masks_come_back_with_their_fractions(name):
    """A net's boxes lie between pixels: what a flip, turn, move or cut does to them is exact."""
    view, mask = one(VIEWS[name]), drawn(30, 20, 70, 44)
    found = seen_by(view, mask)
    shifted = Detections(
        found.height, found.width, found.labels, found.scores, found.bboxes + np.array([0.25, 0.5, 0.25, 0.5]), None
    )
    back = view.back(shifted, mask.shape).bboxes[0]
    sides = {"flip": (-0.25, 0.5), "upside down": (0.25, -0.5), "quarter": (-0.5, 0.25)}
    x, y = sides.get(name, (0.25, 0.5))
    np.testing.assert_allclose(back, [30 + x, 20 + y, 70 + x, 44 + y], atol=1e-3)


def test_scaled_boxes_without_masks():
    view = one(VIEWS["larger"])
    found = Detections(180, 180, np.array([0]), np.ones(1), np.array([[45, 40, 105, 88]], np.float32), None)
    np.testing.assert_allclose(view.back(found, (90, 120)).bboxes, [[30, 20, 70, 44]], atol=0.5)


def test_flips_are_those_of_the_names():
    mine, named, mask = one(VIEWS["flip"]), View(flip=True), drawn(30, 20, 70, 44)
    found = seen_by(mine, mask)
    np.testing.assert_array_equal(mine.back(found, (90, 120)).bboxes, named.back(found, (90, 120)).bboxes)
    with pytest.raises(ValueError, match="90 x 120"):
        named.back(found, (120, 90))


def test_what_lies_outside_is_left_out():
    view = one(VIEWS["pad"])
    mask = drawn(0, 0, 4, 4, 90 + 2 * PAD, 120 + 2 * PAD)
    box = np.array([[0, 0, 4, 4]], np.float32)
    assert (
        len(view.back(Detections(*mask.shape, np.array([0]), np.ones(1), box, encode_masks(mask[None])), (90, 120)))
        == 0
    )
    assert len(view.back(Detections(*mask.shape, np.array([0]), np.ones(1), box, None), (90, 120))) == 0
    none = Detections(*mask.shape, np.zeros(0, int), np.zeros(0), np.zeros((0, 4), np.float32), [])
    assert len(view.back(none, (90, 120))) == 0


def wave(array):
    rows, columns = np.mgrid[: array.shape[0], : array.shape[1]].astype(np.float32)
    return cv2.remap(array, columns + 3 * np.sin(rows / 8), rows, cv2.INTER_NEAREST)


def wave_back(array):
    rows, columns = np.mgrid[: array.shape[0], : array.shape[1]].astype(np.float32)
    return cv2.remap(array, columns - 3 * np.sin(rows / 8), rows, cv2.INTER_NEAREST)


def test_what_bends_needs_masks():
    view, mask = one((wave, wave_back)), drawn(30, 20, 70, 44)
    found = seen_by(view, mask)
    np.testing.assert_allclose(view.back(found, mask.shape).bboxes, [[30, 20, 70, 44]], atol=2)
    with pytest.raises(ConfigError, match="bends the image, so that boxes without masks cannot come back"):
        view.back(Detections(*mask.shape, found.labels, found.scores, found.bboxes, None), mask.shape)


CALLS = []


def bad(pair, words):
    return pytest.param(pair, words, id=words)


def fails(array):
    raise RuntimeError("no way")


BAD = [
    bad((np.fliplr, lambda a: a), r"a mark at x 16 to 48, y 12 to 36 of an image of 128 x 96 pixels came back at x 80 to 112"),
    bad((np.fliplr, np.flipud), r"with an IoU of 0\.\d\d, expected 0.8 or more"),
    bad((np.rot90, np.rot90), "does not come back"),
    bad((np.rot90, lambda a: a), r"an array of \(128, 96\) became \(128, 96\), expected \(96, 128\), height and width"),
    bad((pad, lambda a: a), "height and width of the image"),
    bad((pad, lambda a: a[: -2 * PAD, : -2 * PAD]), "does not come back: a mark"),
    bad((moved, lambda a: a), "does not come back: a mark"),
    bad((larger, lambda a: cv2.resize(a, (10, 10))), r"became \(10, 10\)"),
    bad((fails, np.fliplr), "view of view 0 of mine fails: RuntimeError: no way"),
    bad((np.fliplr, fails), "inverse of view 0 of mine fails: RuntimeError: no way"),
    bad((np.fliplr, lambda: 1), "inverse of view 0 of mine fails: TypeError"),
    bad((lambda: 1, np.fliplr), "view of view 0 of mine fails: TypeError"),
    bad((lambda image: None, np.fliplr), "shows an image as a NoneType"),
    bad((lambda image: image[..., 0], np.fliplr), r"shows an image as uint8 \(96, 128\), expected"),
    bad((lambda image: image / 255, np.fliplr), "shows an image as float64"),
    bad((lambda image: image[:0], np.fliplr), "shows nothing of an image of 128 x 96"),
    bad((lambda image: image[:3, :3], np.fliplr), "shows none of 9 marks"),
    bad((lambda image: image * 0, np.fliplr), "shows none of 9 marks"),
    bad((lambda image: np.roll(image, len(CALLS) or CALLS.append(1) or 0, 1), np.fliplr), "differently from call to call"),
    bad((np.fliplr, lambda a: None), "became a NoneType"),
    bad((np.fliplr, lambda a: np.fliplr(a)[..., None]), r"became \(96, 128, 1\)"),
]  # fmt: skip


@pytest.mark.parametrize(("pair", "words"), BAD)
def test_a_way_back_that_does_not_fit_is_refused(pair, words):
    with pytest.raises(ConfigError, match=words) as caught:
        own_views([pair], "mine", "digest")
    assert str(caught.value).startswith("testTimeAugmentation: ")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "gave None, expected a list of 1 to 20 pairs"),
        (3, "gave 3, expected a list"),
        ([], "gave 0 views"),
        ([(np.fliplr, np.fliplr)] * 21, "gave 21 views"),
        ([np.fliplr], "as view 0, expected a pair of functions"),
        ([(np.fliplr,)], "as view 0, expected a pair"),
        ([(np.fliplr, np.fliplr, 3)], "as view 0, expected a pair"),
        ([(np.fliplr, np.fliplr), ("a", "b")], "gave .'a', 'b'. as view 1"),
        ({"a": 1}, "expected a list"),
        ("Horizontal", "gave 'Horizontal', expected a list"),
    ],
)
def test_a_function_that_gives_no_views_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        own_views(given, "mine", "digest")


def test_what_tells_a_view():
    assert repr(OwnView("view 0 of mine", "abc", fails, fails)) == "OwnView(view 0 of mine, abc)"
