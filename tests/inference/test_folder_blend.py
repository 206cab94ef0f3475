"""``ansemblePredictions``: what several folders of predictions become, against fusion by hand; bad folders are told."""

import json

import cv2
import numpy as np
import pytest
from musket_core import generic_config

from instance_segmentation_pipeline.data.formats.coco_json import CocoWriter
from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.fusion import fuse
from instance_segmentation_pipeline.detection.masks import encode_masks
from instance_segmentation_pipeline.errors import UserError

NAMES = ("a.png", "b.jpg", "c.png")


def found(label, score, x1, y1, x2, y2, with_masks=True):
    mask = np.zeros((1, 30, 40), np.uint8)
    mask[0, y1:y2, x1:x2] = 1
    box = np.array([[x1, y1, x2, y2]], np.float32)
    return Detections(
        30, 40, np.array([label]), np.array([score], np.float32), box, encode_masks(mask) if with_masks else None
    )


def written(folder, names, classes=("cat", "dog"), skipped=None):
    with CocoWriter(folder / "predictions.json", classes) as writer:
        writer.skipped = skipped or {}
        for name, one in names.items():
            writer.add(name, one)
    return folder


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in NAMES:
        cv2.imwrite(str(folder / name), np.zeros((30, 40, 3), np.uint8))
    return folder


def two(tmp_path, second_classes=("cat", "dog"), **options):
    first = {name: found(0, 0.8, 5, 5, 15, 20) for name in NAMES}
    swapped = 1 if tuple(second_classes) == ("dog", "cat") else 0
    second = {name: found(swapped, 0.4, 6, 5, 17, 20) for name in reversed(NAMES)}
    return [str(written(tmp_path / "one", first)) + "/", written(tmp_path / "two", second, second_classes, **options)]


def taken(source, folders, weights=None, data=7):
    seen = []
    left_out = generic_config.ansemblePredictions(
        str(source), folders, lambda *given: seen.append(given), data, weights
    )
    assert all(given[2] == data for given in seen)
    return [given[0] for given in seen], [given[1] for given in seen], left_out


@pytest.mark.parametrize(("weights", "shares"), [(None, None), ([2, 1], [2, 1]), (np.array([0.5, 1.5]), [1, 3])])
def test_two_folders_are_fused_like_two_nets(source, tmp_path, weights, shares):
    names, predictions, left_out = taken(source, two(tmp_path), weights)
    by_hand = fuse([found(0, 0.8, 5, 5, 15, 20), found(0, 0.4, 6, 5, 17, 20)], weights=shares).to_musket()
    assert (names, left_out) == (list(NAMES), [])
    for one in predictions:
        for kept, expected in zip(one, by_hand, strict=True):
            np.testing.assert_allclose(kept, expected, atol=1e-5)
    first, second = shares or (1, 1)
    assert predictions[0][1][0] == pytest.approx((0.8 * first + 0.4 * second) / (first + second))


def test_one_folder_gives_what_it_has(source, tmp_path):
    folders = two(tmp_path)[:1]
    _, predictions, _ = taken(source, folders)
    labels, scores, boxes, masks = predictions[0]
    assert (list(labels), list(boxes[0])) == ([1], [5, 5, 20, 15])
    assert scores[0] == pytest.approx(0.8)
    assert masks.sum() == 150


def test_classes_are_told_by_their_names(source, tmp_path):
    _, predictions, _ = taken(source, two(tmp_path, ("dog", "cat")))
    assert [list(one[0]) for one in predictions] == [[1]] * 3


def test_boxes_alone_and_images_that_were_skipped(source, tmp_path):
    bare = {name: found(0, 0.5, 1, 1, 9, 9, with_masks=False) for name in NAMES[:2]}
    folders = [written(tmp_path / "boxes", bare, skipped={"c.png": "broken"})]
    names, predictions, left_out = taken(source, folders)
    assert (names, left_out) == (["a.png", "b.jpg"], ["c.png"])
    assert all(len(one) == 3 for one in predictions)


def test_arrays_of_other_pipelines_are_upstreams(source, tmp_path):
    for folder, value in (("one", 1.0), ("two", 3.0)):
        (tmp_path / folder).mkdir()
        for name in NAMES:
            np.save(tmp_path / folder / f"{name.partition('.')[0]}.npy", np.full((2, 2), value))
    names, predictions, left_out = taken(source, [f"{tmp_path}/one/", f"{tmp_path}/two/"])
    assert sorted(names) == sorted(NAMES)
    assert left_out is None
    np.testing.assert_array_equal(predictions[0], np.full((2, 2), 2.0))


def changed(folders, change):
    path = folders[1] / "predictions.json"
    whole = json.loads(path.read_text())
    change(whole)
    path.write_text(json.dumps(whole))
    return folders


def of_second(**values):
    return lambda whole: whole["annotations"][0].update(values)


BAD = [
    ("no list", lambda f: ("scans", f), "folders is 'scans', expected a list"),
    ("nothing", lambda f: ([], f), "folders is \\[\\], expected a list"),
    ("numbers", lambda f: ([3], f), "folders has 3, expected the path"),
    ("an empty folder", lambda f: ([str(f[1].parent)], f), "has no predictions.json: cfg.predict_to_directory"),
    ("other classes", lambda f: (f, changed(f, lambda w: w["categories"][1].update(name="wolf"))), "of other classes: 'dog'"),
    ("another size", lambda f: (f, changed(f, lambda w: w["images"][0].update(height=31))), "has the sizes"),
    ("an image missing", lambda f: (f, changed(f, lambda w: (w["images"].pop(), w["annotations"].pop()))), "has nothing on 'a.png'"),
    ("no images", lambda f: (f, changed(f, lambda w: w.pop("images"))), "holds no predictions .KeyError"),
    ("no categories", lambda f: (f, changed(f, lambda w: w.update(categories=3))), "holds no predictions .TypeError"),
    ("a list", lambda f: (f, (f[1] / "predictions.json").write_text("[1]")), "holds no predictions"),
    ("no JSON", lambda f: (f, (f[1] / "predictions.json").write_text("{")), "is no JSON"),
    ("empty", lambda f: (f, (f[1] / "predictions.json").write_text("")), "is empty, expected JSON"),
    ("an unknown image", lambda f: (f, changed(f, of_second(image_id=99))), "holds no predictions .KeyError: 99"),
    ("an unknown category", lambda f: (f, changed(f, of_second(category_id=9))), "holds no predictions .KeyError: 9"),
    ("a score of words", lambda f: (f, changed(f, of_second(score="high"))), "annotations of 'c.png' are damaged"),
    ("no score", lambda f: (f, changed(f, lambda w: w["annotations"][0].pop("score"))), "are damaged .KeyError: 'score'"),
    ("a box of three", lambda f: (f, changed(f, of_second(bbox=[1, 2, 3]))), "are damaged .ValueError"),
    ("a mask of words", lambda f: (f, changed(f, of_second(segmentation="x"))), "are damaged .TypeError"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_folders_that_cannot_be_fused_are_told(source, tmp_path, make, words):
    folders, _ = make(two(tmp_path))
    with pytest.raises(UserError, match=words):
        generic_config.ansemblePredictions(str(source), folders, lambda *given: None, None)


@pytest.mark.parametrize(
    "weights",
    [[1], [1, 2, 3], [0, 0], [-1, 2], [1, "a"], [1, None], 3, "ab", [True, 1], [float("inf"), 1], [float("nan"), 1]],
)
def test_weights_that_are_none_are_told(source, tmp_path, weights):
    with pytest.raises(UserError, match="weights is .*, expected a number of 0 or more for each of 2 folders"):
        generic_config.ansemblePredictions(str(source), two(tmp_path), lambda *given: None, None, weights)


def test_what_is_no_function_or_folder(source, tmp_path):
    with pytest.raises(UserError, match="cb is None, expected a function"):
        generic_config.ansemblePredictions(str(source), two(tmp_path), None, None)
    with pytest.raises(UserError, match="is no folder: give one with images"):
        generic_config.ansemblePredictions(str(tmp_path / "none"), two(tmp_path / "x"), print, None)
