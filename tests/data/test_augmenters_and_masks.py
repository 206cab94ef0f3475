"""Every augmenter of imgaug by name: masks follow it as dense warping of each of them does, or it is refused."""

import pickle

import cv2
import numpy as np
import pytest
from imgaug.augmentables.batches import UnnormalizedBatch
from imgaug.augmentables.segmaps import SegmentationMapsOnImage

from instance_segmentation_pipeline.data.augmentation.augmentation import Augmentation
from instance_segmentation_pipeline.data.augmentation.catalogue import (
    CLASSES,
    FORMER,
    GEOMETRY,
    REFUSED,
    Kind,
    all_of,
    kind_of,
)
from instance_segmentation_pipeline.data.augmentation.declaration import Surroundings, built
from instance_segmentation_pipeline.data.augmentation.followed import MaskFollower
from instance_segmentation_pipeline.detection.instances import Instances
from instance_segmentation_pipeline.detection.mask_crops import MaskCrops
from instance_segmentation_pipeline.errors import ConfigError

TURN = {"Affine": {"rotate": [-30, 30]}}
BLENDED = {"foreground": [{"Add": 60}]}
SAMPLES = {
    "AveragePooling": {"kernel_size": 3, "keep_size": False},
    "BackgroundReplacer": None,
    "ChangeColorspace": {"to_colorspace": "HSV"},
    "CloudLayer": {
        "intensity_mean": 200,
        "intensity_freq_exponent": -2.5,
        "intensity_coarse_scale": 10,
        "alpha_min": 0,
        "alpha_multiplier": 0.3,
        "alpha_size_px_max": 8,
        "alpha_freq_exponent": -2,
        "sparsity": 0.9,
        "density_multiplier": 0.8,
    },
    "Affine": {"rotate": [-40, 40], "scale": [0.7, 1.4], "shear": [-10, 10], "translate_percent": {"x": [-0.2, 0.2]}},
    "Crop": {"percent": [0, 0.3]},
    "CropAndPad": {"percent": [-0.2, 0.2]},
    "KeepSizeByResize": {"children": [{"Crop": {"px": [0, 20], "keep_size": False}}, TURN]},
    "MaxPooling": {"kernel_size": [2, 4], "keep_size": False},
    "OneOf": [TURN, "Fliplr"],
    "Pad": {"px": [0, 30]},
    "PerspectiveTransform": {"scale": [0.02, 0.12]},
    "ReplaceElementwise": {"mask": 0.1, "replacement": [0, 255]},
    "Resize": {"size": {"height": 90, "width": 200}},
    "Rotate": {"rotate": [-45, 45], "fit_output": True},
    "ScaleX": {"scale": [0.5, 1.5]},
    "Sequential": [TURN, {"Affine": {"translate_percent": {"x": [-0.3, 0.3]}}}, {"Crop": {"percent": 0.1}}],
    "SomeOf": {"n": [1, 2], "children": [{"Affine": {"shear": [-30, 30]}}, "Fliplr", "Rot90"]},
    "Sometimes": {"p": 0.5, "then_list": [TURN], "else_list": ["Flipud"]},
    "TranslateX": {"percent": [-0.3, 0.3]},
    "TranslateY": {"px": [-20, 20]},
    "WithBrightnessChannels": {"children": [{"Add": [10, 40]}]},
    "WithHueAndSaturation": [{"Add": [10, 40]}],
    "WithChannels": {"channels": [0, 2], "children": {"Add": 10}},
    "WithColorspace": {"to_colorspace": "HSV", "children": [TURN]},
    "WithPolarWarping": {"children": [{"CropAndPad": {"percent": [-0.1, 0.1]}}]},
}
SAMPLES.update(
    {
        name: {
            "density": 0.05,
            "density_uniformity": 0.5,
            size: 0.5,
            f"{size}_uniformity": 0.5,
            "angle": 10,
            "speed": 0.02,
            "blur_sigma_fraction": 0.001,
        }
        for name, size in (("SnowflakesLayer", "flake_size"), ("RainLayer", "drop_size"))
    }
)
for name in CLASSES:
    if name.startswith("BlendAlpha") and name not in REFUSED:
        SAMPLES[name] = {**BLENDED, **({"nb_rows": 2, "nb_cols": 3} if name.endswith(("Grid", "board")) else {})}
for place in ("", "Center"):
    for way in ("Crop", "Pad"):
        SAMPLES[f"{place}{way}ToFixedSize"] = (
            {"width": 100, "height": 90} if way == "Crop" else {"width": 200, "height": 210}
        )
        SAMPLES[f"{place}{way}ToAspectRatio"] = {"aspect_ratio": 1.5}
        SAMPLES[f"{place}{way}ToMultiplesOf"] = {"width_multiple": 16, "height_multiple": 16}
        SAMPLES[f"{place}{way}ToPowersOf"] = {"width_base": 2, "height_base": 3}


def scene(seed, height=120, width=160, count=8):
    """Return an image, dense masks that overlap, have holes and second parts, and their instances."""
    random = np.random.default_rng(seed)
    masks = np.zeros((count, height, width), np.uint8)
    for number, mask in enumerate(masks):
        centre = int(random.integers(0, width)), int(random.integers(0, height))
        axes = int(random.integers(8, 30)), int(random.integers(8, 30))
        cv2.ellipse(mask, centre, axes, float(random.integers(180)), 0, 360, 1, -1)
        if number % 3 == 0:
            cv2.circle(mask, centre, 4, 0, -1)
        if number % 4 == 1:
            cv2.circle(mask, (int(random.integers(0, width)), int(random.integers(0, height))), 7, 1, -1)
    image = cv2.GaussianBlur(random.integers(0, 255, (height, width, 3)).astype(np.uint8), (0, 0), 3)
    crops = MaskCrops.from_dense(masks.astype(bool))
    return image, masks, Instances(height, width, np.arange(count), crops.tight_boxes(), crops)


def made(declared, **options):
    return built(declared, "augmentation", Surroundings(**options))


def dense(augmentation, image, masks, seed):
    """Return what imgaug itself makes of image and masks: a segmentation map with a channel for each mask."""
    augmentation._seeding.seed(seed)
    maps = SegmentationMapsOnImage(np.ascontiguousarray(masks.transpose(1, 2, 0)).astype(np.int32), shape=image.shape)
    points = MaskFollower.probes(*image.shape[:2])  # a batch of two columns draws as one of three
    batch = UnnormalizedBatch(images=[image.copy()], segmentation_maps=[maps], keypoints=[points])
    batch = augmentation.sequence.augment_batch_(batch)
    height, width = batch.images_aug[0].shape[:2]
    warped = batch.segmentation_maps_aug[0].arr
    if warped.shape[:2] != (height, width):  # pooling leaves maps larger than their image
        warped = cv2.resize(warped.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return batch.images_aug[0], warped.reshape(height, width, -1).transpose(2, 0, 1) != 0


NAMES = [name for name in CLASSES if name not in REFUSED and name != "BackgroundReplacer"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_masks_follow_as_dense_warping_says(name):
    try:
        augmentation = Augmentation(made({name: SAMPLES.get(name)}))
    except ConfigError as error:
        assert name.startswith("imgcorruptlike.") and "pip install" in str(error)
        return
    kinds = {kind_of(one) for one in all_of(augmentation.sequence)}
    moves = bool(kinds & GEOMETRY)
    assert augmentation.moves is moves
    compared = 0
    for seed in range(8 if moves else 2):
        image, masks, instances = scene(seed)
        kept = image.copy()
        found, after = augmentation(image, instances, seed)
        assert (image == kept).all()
        assert (after.height, after.width) == found.shape[:2] and found.dtype == np.uint8
        if not moves:
            assert after is instances and found.shape == image.shape
            continue
        wanted, warped = dense(augmentation, image, masks, seed)
        assert (found == wanted).all()
        got = after.masks.to_dense() != 0
        np.testing.assert_array_equal(after.bboxes, MaskCrops.from_dense(got).tight_boxes())
        for number, label in enumerate(after.labels):
            union = (got[number] | warped[label]).sum()
            if union > 150:
                compared += 1
                least = 1.0 if kinds <= {Kind.BENDING, Kind.FLOW} else 0.985
                assert (got[number] & warped[label]).sum() / union >= least, (seed, label)
        assert got.any(axis=(1, 2)).all() and warped[after.labels].any(axis=(1, 2)).all()
    assert compared or not moves or name == "TotalDropout"


EXACT = {
    "Fliplr": 1,
    "Flipud": 1,
    "Rot90": {"k": {"choice": [1, 2, 3]}},
    "Rotate90": True,
    "Crop": {"px": [0, 20]},
    "Pad": {"px": [1, 2, 3, 4]},
    "CropAndPad": {"percent": [-0.2, 0.2], "keep_size": False},
    "PadToFixedSize": {"width": 200, "height": 170},
    "CropToSquare": None,
    "TranslateY": {"px": [-20, 20]},
    "PiecewiseAffine": {"scale": [0.01, 0.03]},
    "ElasticTransformation": {"alpha": [10, 40], "sigma": 5},
    "WithPolarWarping": [{"Crop": {"px": 3}}],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXACT)
def test_straight_and_bent_masks_are_exact(name):
    augmentation = Augmentation(made({name: EXACT[name]}))
    for seed in range(5):
        image, masks, instances = scene(seed, 101, 143)
        found, after = augmentation(image, instances, seed)
        wanted, warped = dense(augmentation, image, masks, seed)
        assert (found == wanted).all()
        np.testing.assert_array_equal(after.masks.to_dense() != 0, warped[after.labels])


def test_every_class_of_imgaug_is_known_or_refused():
    assert set(REFUSED) <= set(CLASSES)
    assert not set(FORMER) & set(CLASSES)
    assert {present for present, _ in FORMER.values()} <= set(CLASSES)


@pytest.mark.parametrize("name", REFUSED)
def test_what_masks_cannot_follow_is_refused_by_name(name):
    with pytest.raises(ConfigError) as caught:
        made([{name: None}])
    assert str(caught.value) == f"augmentation[0].{name} is refused: {name} {REFUSED[name]}."


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*NAMES, "former"])
def test_the_seed_decides_everything(name):
    declared = (
        {name: SAMPLES.get(name)} if name != "former" else {"HorizontalFlip": 0.5, "ContrastNormalization": [0.5, 2]}
    )
    first, fresh = Augmentation(made(declared)), Augmentation(made(declared))
    image, _, instances = scene(3)
    first(image, instances, 77)  # what was done before decides nothing
    again = pickle.loads(pickle.dumps(fresh))
    for seed in (1, 2):
        (one, objects), (other, others) = first(image, instances, seed), again(image, instances, seed)
        assert one.shape == other.shape and (one == other).all()
        np.testing.assert_array_equal(objects.bboxes, others.bboxes)


PARTS = [
    {"Fliplr": 0.5},
    {"Rot90": {"k": [0, 1, 2, 3], "keep_size": False}},
    {"Crop": {"px": [0, 9]}},
    {"Pad": {"px": [0, 9], "keep_size": False}},
    {"Affine": {"rotate": [-20, 20], "scale": [0.8, 1.2]}},
    {"ElasticTransformation": {"alpha": [0, 20], "sigma": 4}},
    {"PerspectiveTransform": {"scale": [0.01, 0.08]}},
    {"Resize": {"size": {"height": 150, "width": 130}}},
    {"Add": [-30, 30]},
    "CLAHE",
    {"AveragePooling": {"kernel_size": 2, "keep_size": False}},
]


def nested(random, depth=0):
    """Return a random augmenter, maybe one with others inside."""
    kind = int(random.integers(0, 10)) if depth < 2 else 9
    if kind > 4:
        return PARTS[int(random.integers(len(PARTS)))]
    inside = [nested(random, depth + 1) for _ in range(int(random.integers(1, 4)))]
    return [
        {"Sequential": {"children": inside, "random_order": True}},
        {"OneOf": inside},
        {"Sometimes": {"p": 0.6, "then_list": inside, "else_list": inside[:1]}},
        {"SomeOf": {"n": [0, len(inside)], "children": inside, "random_order": True}},
        {"KeepSizeByResize": inside},
    ][kind]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", range(60))
def test_masks_follow_any_nesting(number):
    random = np.random.default_rng(number)
    augmentation = Augmentation(made([nested(random) for _ in range(int(random.integers(1, 4)))]))
    image, masks, instances = scene(number)
    found, after = augmentation(image, instances, number)
    wanted, warped = dense(augmentation, image, masks, number)
    assert found.shape == wanted.shape
    assert (found == wanted).all()
    if not augmentation.moves:
        return
    got = after.masks.to_dense() != 0
    for index, label in enumerate(after.labels):
        union = (got[index] | warped[label]).sum()
        assert union < 150 or (got[index] & warped[label]).sum() / union > 0.95, (label, union)
