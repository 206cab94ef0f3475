"""Crowds of COCO's JSON (``iscrowd``) are MMDetection's ignored instances in training, wherever items go through."""

import json

import numpy as np
import pytest
from imgaug import augmenters as iaa
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from PIL import Image
from pycocotools import mask as coco_mask

from instance_segmentation_pipeline.data.annotation_files import coco_json
from instance_segmentation_pipeline.data.augmentation.augmentation import Augmentation
from instance_segmentation_pipeline.data.augmentation.properties import ItemAugmenters
from instance_segmentation_pipeline.data.cells import Cells
from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.detection.tiles import Grid
from instance_segmentation_pipeline.models.ignored_regions import note_on_crowds
from instance_segmentation_pipeline.models.mmdet_compat import TASK_UTILS
from instance_segmentation_pipeline.training.detection_dataset import MusketDetectionDataset
from instance_segmentation_pipeline.zoo.catalogue import zoo_folder

HEIGHT, WIDTH = 60, 80
PIPELINE = [
    {"type": "Resize", "scale": (160, 120), "keep_ratio": True},
    {"type": "RandomFlip", "prob": 1.0},
    {"type": "FilterAnnotations", "min_gt_bbox_wh": (1, 1), "by_mask": True},
    {"type": "PackDetInputs"},
]
READER = ItemReader(2, "yxyx", "dataset", needs_masks=True)


def region(y1, x1, y2, x2):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


def plain(mask):
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=0)).tolist()
    return {"size": list(mask.shape), "counts": np.diff([0, *edges, flat.size]).tolist()}


def compressed(mask):
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


CROWD = region(5, 40, 45, 70)


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    """Return a JSON: an image with an object and two crowds, one with a crowd alone, one with an object alone."""
    folder = tmp_path_factory.mktemp("crowds")
    one = [[10, 10, 30, 10, 30, 25, 10, 25]]
    told = [
        (1, 1, 0, one, [10, 10, 20, 15]),
        (1, 2, 1, plain(CROWD), [40, 5, 30, 40]),
        (1, 1, 1, compressed(region(50, 2, 58, 20)), [2, 50, 18, 8]),
        (2, 1, 1, compressed(CROWD), [40, 5, 30, 40]),
        (3, 2, 0, one, [10, 10, 20, 15]),
    ]
    whole = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in (1, 2, 3)],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "annotations": [
            {"id": n, "image_id": image, "category_id": label, "iscrowd": crowd, "segmentation": mask, "bbox": box}
            | {"area": box[2] * box[3]}
            for n, (image, label, crowd, mask, box) in enumerate(told, start=1)
        ],
    }
    for number in (1, 2, 3):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(folder / f"{number}.png")
    (folder / "annotations.json").write_text(json.dumps(whole))
    return folder / "annotations.json"


def shown(annotations, pipeline=PIPELINE, **further):
    source = coco_json(str(annotations))
    return MusketDetectionDataset(source, range(3), READER, pipeline, ["a", "b"], training=True, **further)


def test_they_are_what_mmdetection_makes_of_them(annotations):
    ours = shown(annotations)
    loading = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True}]
    native = CocoDataset(
        ann_file=str(annotations),
        data_prefix={"img": str(annotations.parent)},
        pipeline=[*loading, *PIPELINE],
        metainfo={"classes": ("a", "b")},
    )
    for position in (0, 2):
        mine, theirs = ours[position]["data_samples"], native[position]["data_samples"]
        for name in ("gt_instances", "ignored_instances"):
            own, other = getattr(mine, name), getattr(theirs, name)
            assert own.labels.tolist() == other.labels.tolist()
            assert own.bboxes.tensor.tolist() == other.bboxes.tensor.tolist()
            assert own.masks.areas.tolist() == other.masks.areas.tolist()
    assert len(ours[0]["data_samples"].ignored_instances) == 2


def test_an_image_with_a_crowd_alone_is_a_negative(annotations):
    strict = [{"type": "RandomCrop", "crop_size": (0.9, 0.9), "crop_type": "relative"}, *PIPELINE]
    sample = shown(annotations, strict)[1]["data_samples"]
    assert sample.img_path == "2.png"
    assert (len(sample.gt_instances), len(sample.ignored_instances)) == (0, 1)


def test_validation_has_them_too(annotations):
    pipeline = [{"type": "Resize", "scale": (160, 120)}, {"type": "PackDetInputs", "meta_keys": ("truth",)}]
    source = coco_json(str(annotations))
    sample = MusketDetectionDataset(source, [0], READER, pipeline, ["a", "b"], training=False)[0]["data_samples"]
    assert sample.ignored_instances.labels.tolist() == [1, 0]
    assert sample.truth["ann"]["labels_ignore"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("augmenter", "left"),
    [
        (iaa.Fliplr(1), [[10, 5, 40, 45], [60, 50, 78, 58]]),
        (iaa.Crop(px=(0, 0, 12, 0), keep_size=False), [[40, 5, 70, 45]]),
        (iaa.Add(3), [[40, 5, 70, 45], [2, 50, 20, 58]]),
    ],
    ids=["flip", "crop", "colour"],
)
def test_they_move_with_the_image(annotations, augmenter, left):
    augmenters = ItemAugmenters(Augmentation([augmenter]))
    sample = shown(annotations, [{"type": "PackDetInputs"}], augmenters=augmenters)[0]["data_samples"]
    assert sample.ignored_instances.bboxes.tensor.tolist() == left
    assert len(sample.gt_instances) == 1


def test_they_are_cut_by_cells(annotations):
    cells = Cells.first(Grid((40, 60), overlap=0), [0], training=True)
    sample = shown(annotations, [{"type": "PackDetInputs"}], cells=cells)[0]["data_samples"]
    assert sample.img_shape[0] < HEIGHT
    boxes = sample.ignored_instances.bboxes.tensor
    assert 1 <= len(boxes) <= 2
    assert boxes[:, 3].max() <= sample.img_shape[0]
    assert boxes[:, 2].max() <= sample.img_shape[1]


def test_the_note_says_what_the_model_makes_of_them():
    mask_rcnn = Config.fromfile(str(zoo_folder() / "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py")).model
    key = "model.train_cfg.rpn.assigner.ignore_iof_thr and model.train_cfg.rcnn.assigner.ignore_iof_thr"
    assert f"4 crowds: to this model they are background: to ignore them, set {key} to 0.5" in note_on_crowds(
        mask_rcnn, 4
    )
    mask_rcnn.train_cfg.rpn.assigner.ignore_iof_thr = 0.5
    assert "neither learned nor background (model.train_cfg.rpn.assigner)" in note_on_crowds(mask_rcnn, 4)
    rtmdet = Config.fromfile(str(zoo_folder() / "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py")).model
    assert "this model (DynamicSoftLabelAssigner) has no way to ignore them" in note_on_crowds(rtmdet, 4)


def test_boxes_on_them_are_neither_objects_nor_background(annotations):
    """MMDetection's assigner, given what items give: with a share, a box on the crowd is left out of the loss."""
    sample = shown(annotations, [{"type": "PackDetInputs"}])[0]["data_samples"]
    rpn = Config.fromfile(str(zoo_folder() / "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py")).model.train_cfg.rpn.assigner
    boxes = np.array([[10, 10, 30, 25], [42, 8, 60, 30], [0, 28, 20, 48]], np.float32)  # object, crowd, neither
    found = {}
    for share in (-1, 0.5):
        assigner = TASK_UTILS.build({**rpn, "ignore_iof_thr": share})
        priors, truth, ignored = (_data(one) for one in (boxes, sample.gt_instances, sample.ignored_instances))
        found[share] = assigner.assign(priors, truth, ignored).gt_inds.tolist()
    assert found == {-1: [1, 0, 0], 0.5: [1, -1, 0]}


def _data(given):
    import torch
    from mmengine.structures import InstanceData

    if isinstance(given, np.ndarray):
        return InstanceData(priors=torch.from_numpy(given))
    return InstanceData(bboxes=given.bboxes.tensor, labels=given.labels)
