"""Several shapes, of which training draws, and images that keep their size; on masks that stay crops."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.inference.detector import Detector
from instance_segmentation_pipeline.models.compact_masks import CompactMasks
from instance_segmentation_pipeline.models.mmdet_compat import MODELS, TRANSFORMS
from instance_segmentation_pipeline.models.prepare import ModelRequest, prepare
from instance_segmentation_pipeline.models.transforms import fit_pipeline, ratios_of
from instance_segmentation_pipeline.training.detection_dataset import MusketDetectionDataset
from tests.support.datasets import Items, square

MASK_RCNN = "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"
RTMDET = "mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py"
MIXUP = "mmdet::yolox/yolox_tiny_8xb8-300e_coco.py"
MASK2FORMER = "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py"
NAMES = ("a", "b", "c")
SHAPES = [(96, 128), (64, 64), (160, 128)]


def prepared(config, **changes):
    return prepare(ModelRequest(config_path=config, base=Path("."), class_names=NAMES, pretrained=False, **changes))


def dataset(finished, training=True, pairs=None):
    items = Items(
        [square(height=60, width=80, label=1 + number % 3) for number in range(6)] if pairs is None else pairs
    )
    pipeline = finished.train_pipeline if training else finished.val_pipeline
    reader = ItemReader(3, "yxyx", "dataset", True)
    return MusketDetectionDataset(items, range(len(items)), reader, pipeline, NAMES, training=training)


def without_rejections(finished):
    """Let no step reject an image, after which another one would draw a shape once more."""
    choice = finished.train_pipeline[0]
    steps = choice["pipeline"] if choice["type"] == "ShapeChoice" else finished.train_pipeline
    steps[:] = [step for step in steps if step["type"] != "FilterAnnotations"]
    for step in steps:
        if step["type"] == "RandomCrop":
            step["allow_negative_crop"] = True
    return finished


def seed(number):
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - transforms draw from the global generator


def sizes_of(made, count=60):
    return {tuple(made[number % len(made)]["inputs"].shape[1:]) for number in range(count)}


def test_training_draws_each_of_the_shapes_and_the_first_validates():
    finished = prepared(MASK_RCNN, shapes=SHAPES)
    # 60 x 80 pixels fitted into height and width of each shape
    assert sizes_of(dataset(finished)) == {(96, 128), (48, 64), (120, 160)}
    assert sizes_of(dataset(finished, training=False), 6) == {(96, 128)}


def test_training_draws_heights_and_widths_from_a_range():
    seed(0)
    sizes = sizes_of(dataset(prepared(MASK_RCNN, shapes=[(48, 64), (96, 128)], multiscale_mode="range")), 150)
    heights = {height for height, _ in sizes}
    assert min(heights) >= 48
    assert max(heights) <= 96
    assert len(heights) > 20


@pytest.mark.parametrize("config", [MASK_RCNN, RTMDET, MASK2FORMER])
@pytest.mark.parametrize("shape", [(64, 64), (160, 96)])
def test_a_drawn_shape_is_trained_as_if_it_were_the_only_one(config, shape):
    several = dataset(without_rejections(prepared(config, shapes=[shape, shape])))
    alone = dataset(without_rejections(prepared(config, shapes=[shape])))
    for number in range(4):
        seed(number)
        np.random.randint(2)  # noqa: NPY002 - what the choice draws
        expected = alone[number]
        seed(number)
        found = several[number]
        assert (found["inputs"] == expected["inputs"]).all()
        there, here = (one["data_samples"].gt_instances for one in (expected, found))
        assert (here.bboxes.tensor == there.bboxes.tensor).all()
        assert (here.masks.masks == there.masks.masks).all()
        assert isinstance(here.masks, CompactMasks)


def test_transforms_that_mix_images_take_the_others_at_the_drawn_shape():
    finished = prepared(MIXUP, shapes=[(64, 64), (96, 96)])
    made = dataset(finished)
    made.reader = ItemReader(3, "yxyx", "dataset", False)
    alone = (dataset(prepared(MIXUP, shapes=[shape])) for shape in [(64, 64), (96, 96)])
    expected = set()
    for one in alone:
        one.reader = made.reader
        expected |= sizes_of(one, 6)
    assert sizes_of(made, 40) == expected
    assert len(expected) == 2


def test_images_that_a_transform_remembers_are_common_to_all_shapes():
    made = dataset(prepared(RTMDET, shapes=[(64, 64), (96, 96)]))
    sizes_of(made, 30)
    mosaics = [steps[0].results_cache for steps in made.pipeline.transforms[0]._built.values()]
    assert mosaics[0] is mosaics[1]
    assert len(mosaics[0]) > 5


def test_a_pipeline_that_is_switched_to_draws_shapes_too():
    finished = prepared(RTMDET, shapes=[(64, 64), (96, 96)])
    (hook,) = (hook for hook in finished.config.custom_hooks if "switch_pipeline" in hook)
    made = dataset(finished)
    from mmcv.transforms import Compose

    made.pipeline = Compose(hook["switch_pipeline"])
    assert sizes_of(made, 40) == {(64, 64), (96, 96)}


def test_a_batch_is_padded_to_the_largest_shape():
    finished = prepared(MASK2FORMER, shapes=[(64, 64), (96, 160)])
    (pad,) = finished.config.model.data_preprocessor.batch_augments
    alone = prepared(MASK2FORMER, shapes=[(96, 160)]).config.model.data_preprocessor.batch_augments[0]
    assert tuple(pad["size"]) == tuple(alone["size"])


def test_the_pipeline_can_be_written_and_read_again():
    finished = prepared(RTMDET, shapes=[(64, 64), (96, 96)])
    again = Config.fromstring(Config({"steps": finished.train_pipeline}).pretty_text, ".py").steps
    init_default_scope("mmdet")
    assert TRANSFORMS.build(again[0]).shapes == [(64, 64), (96, 96)]


def test_what_was_decided_is_told():
    lines = "\n".join(prepared(MASK_RCNN, shapes=SHAPES).decisions)
    assert "training draws one of height 96, width 128; height 64, width 64; height 160, width 128" in lines
    assert "shape of validation and prediction: height 96, width 128" in lines


@pytest.mark.parametrize("config", [MASK_RCNN, RTMDET, MASK2FORMER])
def test_images_keep_their_size_and_are_padded_to_a_multiple(config):
    finished = prepared(config, manual_resize=True)
    made = dataset(finished, training=False)
    sample = made[0]["data_samples"]
    assert sample.scale_factor == (1.0, 1.0)
    assert sample.ori_shape == (60, 80)
    assert sample.img_shape == ((64, 96) if config == RTMDET else (60, 80))
    image, (_, bboxes, masks) = square(height=60, width=80)
    packed = Detector(None, finished.val_pipeline, True).packed(image, 1.0)
    assert (packed["inputs"][:, :60, :80].permute(1, 2, 0).numpy() == image).all()
    truth = sample.truth
    assert truth["height"], truth["width"] == (60, 80)
    assert bboxes.shape == (1, 4)
    assert masks.any()


def test_training_images_keep_their_size_too():
    pairs = [square(height=60 + 2 * number, width=81) for number in range(4)]
    made = dataset(prepared(MASK_RCNN, manual_resize=True), pairs=pairs)
    for number in range(4):
        sample = made[number]
        assert sample["inputs"].shape[1:] == (60 + 2 * number, 81)
        assert sample["data_samples"].gt_instances.masks.areas.tolist() == [100]


def test_scaled_views_are_still_scaled():
    detector = Detector(None, prepared(MASK_RCNN, manual_resize=True).val_pipeline, True)
    image = np.zeros((60, 80, 3), np.uint8)
    assert detector.packed(image, 1.5)["inputs"].shape[1:] == (90, 120)
    assert detector.packed(image, 0.5)["inputs"].shape[1:] == (30, 40)


def test_crops_and_mosaics_take_the_shape_beside_manual_resize():
    finished = prepared(RTMDET, manual_resize=True, shapes=[(64, 96)])
    steps = {step["type"]: step for step in finished.train_pipeline}
    alone = fit_pipeline([{"type": "RandomCrop", "crop_size": (640, 640)}], ratios_of((64, 96), (640, 640)))
    assert steps["RandomCrop"]["crop_size"] == alone[0]["crop_size"]
    assert "size" not in steps["Pad"]


def test_no_batch_is_cut_where_images_keep_their_size():
    assert not prepared(MASK2FORMER, manual_resize=True).config.model.data_preprocessor.batch_augments


def test_a_shape_that_nothing_is_left_of_is_refused():
    with pytest.raises(ConfigError, match="shape does nothing beside manualResize: true"):
        prepared(MASK_RCNN, manual_resize=True, shapes=[(64, 64)])


def test_nested_resizes_keep_the_size():
    detr = prepared("mmdet::detr/detr_r50_8xb2-150e_coco.py", manual_resize=True)
    text = str(detr.train_pipeline)
    assert "Resize" not in text
    assert text.count("KeepSize") == 3


@pytest.mark.parametrize("config", [MASK_RCNN, RTMDET, MASK2FORMER])
@pytest.mark.parametrize("changes", [{"shapes": [(64, 64), (96, 160)]}, {"manual_resize": True}])
def test_masks_of_a_batch_have_the_size_that_its_images_are_padded_to(config, changes):
    finished = prepared(config, **changes)
    init_default_scope("mmdet")
    preprocessor = MODELS.build(finished.config.model.data_preprocessor)
    made = dataset(finished, pairs=[square(height=40 + 24 * number, width=80, side=30) for number in range(4)])
    samples = [made[number % 4] for number in range(16)]
    assert len({sample["inputs"].shape for sample in samples}) > 1
    batch = {key: [sample[key] for sample in samples] for key in ("inputs", "data_samples")}
    shown = preprocessor(batch, True)
    for sample in shown["data_samples"]:
        masks = sample.gt_instances.masks
        assert (masks.height, masks.width) == tuple(shown["inputs"].shape[2:])
    dense = [sample.gt_instances.masks.to_tensor(torch.bool, "cpu") for sample in shown["data_samples"]]
    assert torch.cat(dense).shape[1:] == shown["inputs"].shape[2:]
