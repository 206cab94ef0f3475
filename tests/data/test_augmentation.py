"""What an augmentation makes of items: objects that leave, boxes alone, other backgrounds, lists that are ranges."""

import cv2
import numpy as np
import pytest

from instance_segmentation_pipeline.data.augmentation.augmentation import (
    SMALLEST_SHARE,
    Augmentation,
    ColourTransforms,
)
from instance_segmentation_pipeline.data.augmentation.declaration import Surroundings, built
from instance_segmentation_pipeline.data.augmentation.properties import ItemAugmenters
from instance_segmentation_pipeline.detection.instances import Instances
from instance_segmentation_pipeline.detection.mask_crops import MaskCrops
from instance_segmentation_pipeline.errors import ConfigError, DatasetError


def augmentation(declared, **surroundings):
    return Augmentation(built(declared, "augmentation", Surroundings(**surroundings)))


def item(*boxes, height=60, width=100, with_masks=True):
    """Return an image and instances that are rectangles ``x1, y1, x2, y2``, labelled by their numbers."""
    masks = np.zeros((len(boxes), height, width), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = True
    image = np.full((height, width, 3), 30, np.uint8)
    image[masks.any(axis=0)] = 200
    bboxes = np.array(boxes, np.float32).reshape(-1, 4)
    crops = MaskCrops.from_dense(masks) if with_masks else None
    return image, Instances(height, width, np.arange(len(boxes)), bboxes, crops)


def shifted(**pixels):
    return augmentation([{"Affine": {"translate_px": pixels}}])


@pytest.mark.parametrize("with_masks", [True, False])
@pytest.mark.parametrize(
    ("shift", "left"),
    [({"x": 15}, [85, 10, 95, 20]), ({"x": 27}, [97, 10, 100, 20]), ({"x": 28}, [98, 10, 100, 20]), ({"x": 29}, None)],
)
def test_an_object_is_dropped_when_less_than_a_fifth_of_it_is_left(shift, left, with_masks):
    assert SMALLEST_SHARE == 0.2
    image, instances = item((70, 10, 80, 20), (10, 10, 20, 20), with_masks=with_masks)
    moved, after = shifted(**shift)(image, instances, 1)
    other = [10 + shift["x"], 10, 20 + shift["x"], 20]
    assert after.labels.tolist() == ([1] if left is None else [0, 1])
    np.testing.assert_allclose(after.bboxes, [other] if left is None else [left, other], atol=1e-3)
    assert (moved[12, other[0] + 2] == 200).all()


def test_the_share_is_that_of_the_object_and_not_of_its_size():
    """Half the size, all inside: it stays; and what leaves by a zoom is told from what is left, however large it is."""
    image, instances = item((40, 20, 60, 40))
    _, small = augmentation({"Affine": {"scale": 0.2}})(image, instances, 1)
    assert len(small) == 1
    image, instances = item((0, 0, 40, 40), (45, 25, 55, 35))
    _, zoomed = augmentation({"Affine": {"scale": 6.0}})(image, instances, 1)
    assert zoomed.labels.tolist() == [1]


def test_what_was_cut_off_does_not_come_back():
    image, instances = item((70, 10, 100, 40), (10, 10, 20, 20))
    there_and_back = augmentation([{"TranslateX": {"px": 20}}, {"TranslateX": {"px": -20}}])
    _, after = there_and_back(image, instances, 1)
    np.testing.assert_array_equal(after.masks.to_dense()[0].sum(), 10 * 30)
    np.testing.assert_allclose(after.bboxes, [[70, 10, 80, 40], [10, 10, 20, 20]])


def test_shares_of_one_augmenter_after_another_count_together():
    image, instances = item((60, 10, 100, 20))
    _, after = augmentation([{"TranslateX": {"px": 20}}, {"TranslateX": {"px": -70}}])(image, instances, 1)
    assert len(after) == 1  # half is left, then still half: 10..30
    _, after = augmentation([{"TranslateX": {"px": 20}}, {"TranslateX": {"px": -94}}])(image, instances, 1)
    assert len(after) == 0  # half is left, then 0.3 of that


def test_an_image_whose_objects_all_left_has_none():
    image, instances = item((70, 10, 80, 20))
    for with_masks in (True, False):
        image, instances = item((70, 10, 80, 20), with_masks=with_masks)
        moved, after = shifted(x=90)(image, instances, 1)
        assert moved.shape == image.shape and len(after) == 0 and after.bboxes.shape == (0, 4)
        assert (after.masks is None) is not with_masks


def test_boxes_alone_bend_as_their_rectangles_do():
    image, instances = item((20, 10, 60, 40), (5, 5, 15, 15))
    boxes = Instances(60, 100, instances.labels, instances.bboxes, None)
    for declared in (
        {"ElasticTransformation": {"alpha": 30, "sigma": 4}},
        [{"WithPolarWarping": [{"Crop": {"px": 2}}]}, "Fliplr"],
    ):
        bent = augmentation(declared)
        (one, with_masks), (other, alone) = bent(image, instances, 3), bent(image, boxes, 3)
        assert (one == other).all() and alone.masks is None and len(alone) > 0
        np.testing.assert_array_equal(alone.bboxes, with_masks.bboxes)
        np.testing.assert_array_equal(alone.labels, with_masks.labels)


def test_an_image_without_objects_passes():
    for with_masks in (True, False):
        image, instances = item(with_masks=with_masks)
        everything = [{"Affine": {"rotate": [-20, 20]}}, {"ElasticTransformation": {"alpha": 9, "sigma": 4}}, "Rot90"]
        _, after = augmentation(everything)(image, instances, 5)
        assert len(after) == 0 and (after.height, after.width) == (60, 100)


def test_colours_alone_never_touch_objects():
    image, instances = item((70, 10, 80, 20))
    colours = augmentation([{"Add": [-40, 40]}, {"Sometimes": {"p": 0.5, "then_list": ["Grayscale"]}}])
    assert not colours.moves
    _, after = colours(image, instances, 3)
    assert after is instances


def test_boxes_that_were_padded_are_tight_wherever_pixels_may_move():
    image, instances = item((70, 10, 80, 20))
    padded = Instances(60, 100, instances.labels, np.array([[60, 5, 90, 25]], np.float32), instances.masks)
    for probability in (0.0, 1.0):  # also where the coin says no
        _, after = augmentation({"Flipud": probability})(image, padded, 1)
        assert (after.bboxes[0, 2:] - after.bboxes[0, :2]).tolist() == [10, 10]


def test_overlapping_objects_stay_whole():
    image, instances = item((10, 10, 60, 40), (30, 20, 80, 50), (35, 25, 40, 30))
    for declared in ({"ElasticTransformation": {"alpha": 0.01, "sigma": 4}}, {"Rotate": 180}, {"Fliplr": 1}):
        _, after = augmentation(declared)(image, instances, 1)
        assert after.masks.areas().tolist() == pytest.approx([1500, 1500, 25], abs=2)


# -- lists -----------------------------------------------------------------------------------------------------


def drawn(declared, count=60):
    """Return what an augmentation makes of the middle of a grey image, by seeds."""
    image, instances = item(height=20, width=20)
    image[:] = 100
    made = augmentation(declared)
    return [int(made(image, instances, seed)[0][10, 10, 0]) for seed in range(count)]


def test_two_numbers_are_a_range_and_choice_is_a_choice():
    assert len(set(drawn({"Add": [-16, 16]}))) > 15
    assert set(drawn({"Add": {"choice": [-16, 16]}})) == {84, 116}
    assert set(drawn({"Add": {"value": {"choice": [-16, 16]}}})) == {84, 116}
    assert set(drawn({"Add": [-16, 0, 16]})) == {84, 100, 116}
    assert len(set(drawn({"Multiply": {"mul": [0.5, 1.5]}}))) > 30


def test_lists_that_are_choices():
    image, instances = item(height=20, width=40)
    turned = augmentation({"Rot90": {"k": [0, 2], "keep_size": False}})
    assert {turned(image, instances, seed)[0].shape for seed in range(20)} == {(20, 40, 3)}
    spaces = augmentation(
        {
            "WithColorspace": {
                "to_colorspace": "HSV",
                "children": [{"WithChannels": {"channels": [0, 1], "children": [{"Add": 9}]}}],
            }
        }
    )
    spaces(image, instances, 1)


def test_sides_of_a_crop():
    image, instances = item(height=60, width=100)
    sizes = {
        augmentation({"Crop": {"px": [0, 9], "keep_size": False}})(image, instances, s)[0].shape for s in range(20)
    }
    assert len(sizes) > 10
    made, _ = augmentation({"Crop": {"px": [1, 2, 3, 4], "keep_size": False}})(image, instances, 1)
    assert made.shape == (56, 94, 3)
    made, _ = augmentation({"CropAndPad": {"percent": [[0.1, 0.1], 0, 0, 0.5], "keep_size": False}})(
        image, instances, 1
    )
    assert made.shape == (66, 150, 3)


def test_names_and_arguments_of_2019():
    image, instances = item((70, 10, 80, 20), height=60, width=100)
    for declared in (
        {"fliplr": 1},
        {"Fliplr": {"probability": 1}},
        {"HorizontalFlip": 1},
        {"Sequential": {"Fliplr": 1, "Add": {"range": [0, 0]}}},
        {"OneOf": {"value": [{"Fliplr": 1}]}},
        [
            {"Sometimes": {"p": 1, "then_list": [{"Fliplr": 1}]}},
            {"Sometimes": {"p": 0, "then_list": {"Fliplr": 1}, "else_list": "Noop"}},
        ],
    ):
        _, after = augmentation(declared)(image, instances, 3)
        assert after.bboxes.tolist() == [[20, 10, 30, 20]], declared
    quarter = augmentation({"Rotate90": True})
    shapes = {quarter(image, instances, seed)[0].shape for seed in range(20)}
    assert shapes == {(60, 100, 3), (100, 60, 3)}  # nothing is cut off
    _, after = augmentation({"Rotate90": False})(image, instances, 1)
    assert after.bboxes.tolist() == [[70, 10, 80, 20]]


def test_a_mapping_keeps_its_order_and_a_list_may_repeat():
    assert set(drawn({"Multiply": 2.0, "Add": 10}, 2)) == {210}
    assert set(drawn([{"Add": 10}, {"Multiply": 2.0}, {"Add": -20}], 2)) == {200}


# -- backgrounds -----------------------------------------------------------------------------------------------


@pytest.fixture
def backgrounds(tmp_path):
    folder = tmp_path / "bg"
    folder.mkdir()
    for number, value in enumerate((90, 150)):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((30, 20, 3), value, np.uint8))
    (folder / "notes.txt").write_text("no image")
    return tmp_path


def replacer(folder, **arguments):
    return augmentation({"BackgroundReplacer": {"path": "bg", **arguments}}, folders=[folder])


def test_objects_stay_and_the_background_is_another(backgrounds):
    image, instances = item((70, 10, 80, 20), (10, 10, 20, 20))
    seen = set()
    for seed in range(20):
        made, after = replacer(backgrounds, rate=0)(image, instances, seed)
        assert after is instances
        objects = instances.masks.to_dense().any(axis=0)
        assert (made[objects] == 200).all()
        (value,) = np.unique(made[~objects])
        seen.add(int(value))
    assert seen == {90, 150}


def test_rate_is_the_share_that_keeps_its_background(backgrounds):
    image, instances = item((70, 10, 80, 20))
    made = replacer(backgrounds, rate=0.8)
    kept = sum((made(image, instances, seed)[0] == image).all() for seed in range(200))
    assert 140 < kept < 180
    assert (replacer(backgrounds, rate=1)(image, instances, 1)[0] == image).all()


def test_erosion_shrinks_what_is_cut_out_and_not_the_masks(backgrounds):
    image, instances = item((40, 10, 60, 30))
    made, after = replacer(backgrounds, rate=0, erosion=5)(image, instances, 1)
    assert (made == 200).all(axis=2).sum() == 16 * 16
    assert after.masks.areas().tolist() == [400]
    sides = {
        int((replacer(backgrounds, rate=0, erosion=[1, 7])(image, instances, s)[0] == 200).all(axis=2).sum())
        for s in range(30)
    }
    assert len(sides) > 3


def test_augmenters_of_a_background_replacer_run_before_it(backgrounds):
    image, instances = item((40, 10, 60, 30))
    made, after = replacer(backgrounds, rate=0, augmenters={"TranslateX": {"px": 15}, "Add": 20})(image, instances, 1)
    assert after.bboxes.tolist() == [[55, 10, 75, 30]]
    assert (made[after.masks.to_dense()[0] == 1] == 220).all()
    assert set(np.unique(made[after.masks.to_dense()[0] == 0])) <= {90, 150}
    kept, same = replacer(backgrounds, rate=1, augmenters={"TranslateX": {"px": 15}})(image, instances, 1)
    assert (kept == image).all() and same.bboxes.tolist() == [[40, 10, 60, 30]]


def test_backgrounds_want_masks_and_images(backgrounds):
    image, instances = item((40, 10, 60, 30), with_masks=False)
    with pytest.raises(DatasetError, match="item 'a': BackgroundReplacer needs masks"):
        replacer(backgrounds, rate=0)(image, instances, 1, "a")
    (backgrounds / "bg" / "0.png").write_bytes(b"no image")
    (backgrounds / "bg" / "1.png").unlink()
    image, instances = item((40, 10, 60, 30))
    with pytest.raises(DatasetError, match=r"item 'a': the background .*0\.png .*take it out of its folder"):
        replacer(backgrounds, rate=0)(image, instances, 1, "a")
    (backgrounds / "bg" / "0.png").unlink()
    with pytest.raises(ConfigError, match=r"BackgroundReplacer\.path: .*bg has no image"):
        ItemAugmenters(replacer(backgrounds)).check_files()
    with pytest.raises(ConfigError, match=r"BackgroundReplacer\.path: .*nowhere is no folder"):
        ItemAugmenters(replacer(backgrounds, path="nowhere")).check_files()


# -- transforms ------------------------------------------------------------------------------------------------


def test_transforms_make_the_same_of_the_same_image():
    transforms = ColourTransforms(
        built({"Add": [-50, 50], "AdditiveGaussianNoise": None}, "transforms", Surroundings(), True)
    )
    one, other = item((1, 2, 9, 9))[0], item((3, 2, 9, 9))[0]
    first = transforms(one)
    different = transforms(other)
    assert (transforms(one) == first).all()
    assert first[40, 50, 0] != different[40, 50, 0] or (first != different).any()
    assert (first != one).any()
