"""MMDetection's whole zoo: every instance-segmentation config prepares, feeds an item, and knows its classes."""

import contextlib
import importlib.util
import io
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from instance_segmentation_pipeline.cli.models import main as models
from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.data.splits import class_balanced
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.models.class_count import native_class_count, set_class_count
from instance_segmentation_pipeline.models.config_tree import walk
from instance_segmentation_pipeline.models.mmdet_compat import MODELS
from instance_segmentation_pipeline.models.prepare import ModelRequest, prepare
from instance_segmentation_pipeline.models.schedule import schedule
from instance_segmentation_pipeline.models.transfer import class_dependent
from instance_segmentation_pipeline.models.transforms import without_loading
from instance_segmentation_pipeline.training.detection_dataset import MusketDetectionDataset
from instance_segmentation_pipeline.zoo.catalogue import catalogue, entry_of, successor_of, zoo_folder, zoo_names
from tests.support.datasets import Items, shapes, square

pytestmark = pytest.mark.zoo

CLASSES = tuple(f"class {number}" for number in range(46))
NATIVE = (80, 81, 133, 134, 1203, 1230)
"""Class counts of COCO, COCO panoptic and LVIS, with and without background: none may be left."""

REPRESENTATIVES = (
    "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
    "htc/htc_r50_fpn_1x_coco.py",
    "mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
    "mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py",
    "solov2/solov2_r50_fpn_1x_coco.py",
    "solo/decoupled-solo_r50_fpn_1x_coco.py",
    "ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco.py",
    "queryinst/queryinst_r50_fpn_1x_coco.py",
    "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py",
    "scnet/scnet_r50_fpn_1x_coco.py",
    "yolact/yolact_r50_1xb8-55e_coco.py",
    "boxinst/boxinst_r50_fpn_ms-90k_coco.py",
    "point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py",
    "condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py",
    "detectors/detectors_htc-r50_1x_coco.py",
    "seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1.py",
    "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "retinanet/retinanet_r50_fpn_1x_coco.py",
    "dino/dino-4scale_r50_8xb2-12e_coco.py",
)


@lru_cache(maxsize=1)
def instance_configs():
    """Return the names of the zoo's configs that are evaluated by masks, and those that need a package."""
    found, need_package = [], []
    for name in zoo_names():
        text = (zoo_folder() / name).read_text()
        if "custom_imports" in text and "mmpretrain" in text and importlib.util.find_spec("mmpretrain") is None:
            need_package += [name] if "mask" in name else []
            continue
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                config = Config.fromfile(zoo_folder() / name)
        except (FileNotFoundError, ImportError):
            continue
        evaluators = config.get("val_evaluator") or []
        evaluators = evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]
        if "model" in config and any("segm" in str(entry.get("metric", "")) for entry in evaluators):
            found.append(name)
    return found, need_package


def request(name, **changes):
    return ModelRequest(f"mmdet::{name}", Path("."), CLASSES, **{"shapes": [(128, 160)], **changes})


def test_every_instance_config_prepares_and_no_native_class_count_is_left():
    names, need_package = instance_configs()
    assert len(names) + len(need_package) >= 246
    left, wrapped = [], []
    for name in names:
        try:
            finished = schedule(prepare(request(name)), 3, 10)
        except ConfigError as error:
            assert "Detectron2" in str(error), (name, error)
            wrapped.append(name)
            continue
        for path, node in walk(finished.config.model):
            for key, value in node.items():
                sized = isinstance(value, (list, tuple)) and len(value) in NATIVE
                if (value in NATIVE and not isinstance(value, (bool, list, tuple))) or sized:
                    left.append((name, path, key, value))
    assert left == []
    assert len(wrapped) == 1


def test_every_pipeline_runs_on_an_item_of_ours():
    """Each distinct pipeline, training and validation; those whose packages are absent say so."""
    source, seen, absent = shapes(8), set(), set()
    for name in instance_configs()[0]:
        try:
            finished = prepare(request(name))
        except ConfigError:
            continue
        reader = ItemReader(46, "yxyx", "dataset", finished.needs_masks)
        for pipeline, training in ((finished.train_pipeline, True), (finished.val_pipeline, False)):
            key = (repr(pipeline), training)
            if key in seen:
                continue
            seen.add(key)
            try:
                dataset = MusketDetectionDataset(source, range(8), reader, pipeline, CLASSES, training=training)
            except ConfigError as error:
                assert "needs a package that is not there" in str(error)
                absent.add(name.partition("/")[0])
                continue
            for position in range(3):
                data = dataset[position]
                masks = data["data_samples"].gt_instances.masks
                assert masks.masks.shape[1:] == tuple(data["inputs"].shape[1:]), name
    assert len(seen) > 20
    assert absent <= {"instaboost", "albu_example"}


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_the_class_dimension_of_every_classification_output(name):
    """On the built model: what grows with the classes is 46 times its share, and the background's row at most."""
    layout = class_dependent(prepare(request(name)).config)
    assert layout
    for tensor, (dimension, per_class, rest) in layout.items():
        assert per_class >= 1, tensor
        assert dimension in (0, 1), tensor
        if dimension == 0:  # background, or two of objectness, behind the classes of each anchor
            assert rest % per_class == 0, tensor
            assert rest // per_class <= 2, tensor


def test_class_agnostic_heads_keep_their_single_class():
    model = {
        "rpn_head": {"type": "RPNHead", "num_classes": 1},
        "backbone": {"num_classes": 1000},
        "roi_head": {"bbox_head": [{"num_classes": 80}, {"num_classes": 80}], "semantic_head": {"num_classes": 183}},
    }
    set_class_count(model, 3)
    assert model["rpn_head"]["num_classes"] == 1
    assert model["backbone"]["num_classes"] == 1000
    assert [head["num_classes"] for head in model["roi_head"]["bbox_head"]] == [3, 3]
    assert model["roi_head"]["semantic_head"] is None
    assert native_class_count(model) == 3


def test_class_weights_and_things_follow():
    model = {
        "panoptic_head": {
            "num_things_classes": 80,
            "num_stuff_classes": 53,
            "loss_cls": {"class_weight": [1.0] * 133 + [0.1]},
        },
        "stage_loss_weights": [1.0] * 133,
        "test_cfg": {"panoptic_on": True, "instance_on": False, "semantic_on": True},
    }
    set_class_count(model, 2)
    head = model["panoptic_head"]
    assert (head["num_things_classes"], head["num_stuff_classes"]) == (2, 0)
    assert head["loss_cls"]["class_weight"] == [1.0, 1.0, 0.1]
    assert len(model["stage_loss_weights"]) == 133
    assert model["test_cfg"] == {"panoptic_on": False, "instance_on": True, "semantic_on": False}


def test_iteration_based_schedules_scale():
    config = schedule(prepare(request("boxinst/boxinst_r50_fpn_ms-90k_coco.py")), epochs=9, iterations=100).config
    steps = next(entry for entry in config.param_scheduler if entry["type"] == "MultiStepLR")
    assert steps["milestones"] == [600, 800]  # 60,000 and 80,000 of 90,000
    assert config.train_cfg.max_epochs == 9


def test_native_pipeline_can_be_left_out():
    name = "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py"
    kinds = [step["type"] for step in prepare(request(name, native_pipeline=False)).train_pipeline]
    assert kinds == ["Resize", "Pad", "PackDetInputs"]


def test_instaboost_moves_masks_with_their_objects():
    """Background is black in these items, so that a moved object's pixels are found below its mask."""
    pytest.importorskip("instaboostfast")
    name = "instaboost/mask-rcnn_r50_fpn_instaboost-4x_coco.py"
    finished = prepare(request(name))
    assert [step["type"] for step in finished.train_pipeline][:2] == ["InstaBoost", "LoadAnnotations"]
    steps = [dict(finished.train_pipeline[0], aug_ratio=1.0, color_prob=0.0), finished.train_pipeline[1]]
    dataset = MusketDetectionDataset(
        Items([square(80, 100, 30, 40, 20)]),
        [0],
        ItemReader(46, "yxyx", "dataset", True),
        steps,
        CLASSES,
        training=True,
    )
    np.random.seed(1)  # noqa: NPY002 - the package draws from numpy's global state
    moved = []
    for _ in range(6):
        data = dataset[0]
        mask = data["gt_masks"].masks[0].astype(bool)
        assert data["img"][mask].mean() > 150
        moved.append(tuple(data["gt_bboxes"].tensor[0].round().int().tolist()))
    assert len(set(moved)) > 1


def test_instaboost_that_would_leave_masks_behind_is_refused():
    with pytest.raises(ConfigError, match="flips objects without their masks"):
        without_loading([{"type": "InstaBoost", "action_candidate": ("normal", "horizontal"), "action_prob": (0, 1)}])


def test_class_balanced_datasets_repeat_rare_classes():
    finished = prepare(request("lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1.py"))
    assert finished.oversample_threshold == 1e-3
    labels = [{1}, {1}, {1}, {1, 2}, set()]
    assert class_balanced([10, 11, 12, 13, 14], labels, 0.8) == [10, 11, 12, 13, 13, 14]


def test_mixed_precision_of_a_native_config_is_left_out_on_a_cpu():
    wrapper = prepare(request("mask_rcnn/mask-rcnn_r50_fpn_amp-1x_coco.py")).config.optim_wrapper
    assert wrapper.type == "OptimWrapper"
    assert "loss_scale" not in wrapper


def test_configs_in_pure_python(tmp_path):
    """New-style configs: bases are imports, types are classes, and a module of the user's is imported."""
    plain = Config.fromfile(str(zoo_folder() / "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py"))
    plain.model.backbone.init_cfg = None
    body = "\n".join(
        f"{key} = {plain[key].to_dict() if hasattr(plain[key], 'to_dict') else plain[key]!r}"
        for key in ("model", "train_dataloader", "val_dataloader", "optim_wrapper", "param_scheduler", "train_cfg")
    )
    (tmp_path / "base.py").write_text(body + "\n")
    (tmp_path / "native.py").write_text(
        "from mmengine.config import read_base\nwith read_base():\n    from .base import *\n"
        "from mmdet.models.detectors.rtmdet import RTMDet\nfrom mmdet.models.necks import CSPNeXtPAFPN\n"
        "model.update(type=RTMDet)\nmodel['neck'].update(type=CSPNeXtPAFPN)\n"
    )
    options = {"model.bbox_head.share_conv": True, "model.backbone.widen_factor": 0.375}
    wanted = ModelRequest("native.py", tmp_path, CLASSES, shapes=[(128, 160)], pretrained=False, options=options)
    finished = schedule(prepare(wanted), 1, 4)
    assert finished.config.model.bbox_head.num_classes == 46
    assert finished.needs_masks
    dataset = MusketDetectionDataset(
        shapes(8), range(8), ItemReader(46, "yxyx", "dataset", True), finished.train_pipeline, CLASSES, training=True
    )
    assert dataset[0]["inputs"].shape[1:] == (128, 160)
    assert type(MODELS.build(finished.config.model)).__name__ == "RTMDet"


def test_copy_paste_takes_other_items_of_the_dataset():
    name = "simple_copy_paste/mask-rcnn_r50_fpn_rpn-2conv_4conv1fc_syncbn-all_32xb2-ssj-scp-90k_coco.py"
    finished = prepare(request(name))
    assert "CopyPaste" in [step["type"] for step in finished.train_pipeline]
    dataset = MusketDetectionDataset(
        shapes(8), range(8), ItemReader(46, "yxyx", "dataset", True), finished.train_pipeline, CLASSES, training=True
    )
    np.random.seed(0)  # noqa: NPY002 - the transform draws from numpy's global state
    counts = [len(dataset[number % 8]["data_samples"].gt_instances) for number in range(24)]
    assert max(counts) > 3  # more than any item of the dataset has


# -- names and results ---------------------------------------------------------------------------------------


def test_the_catalogue_tells_published_results():
    entry = entry_of("mask-rcnn_r50_fpn_1x_coco")
    assert (entry.config, entry.box_ap, entry.mask_ap) == ("mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", 38.2, 34.7)
    assert entry.weights.endswith(".pth")
    assert len(catalogue()) > 500


SUCCESSORS = {
    "cascade_mask_rcnn_r101_fpn_1x": "cascade_rcnn/cascade-mask-rcnn_r101_fpn_1x_coco.py",
    "cascade_rcnn_x101_64x4d_fpn_1x": "cascade_rcnn/cascade-rcnn_x101-64x4d_fpn_1x_coco.py",
    "mask_rcnn_dconv_c3-c5_r50_fpn_1x": "dcn/mask-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py",
    "faster_rcnn_mdpool_r50_fpn_1x": "dcnv2/faster-rcnn_r50_fpn_mdpool_1x_coco.py",
    "fast_rcnn_r50_fpn_1x": "fast_rcnn/fast-rcnn_r50_fpn_1x_coco.py",
    "faster_rcnn_ohem_r50_fpn_1x": "faster_rcnn/faster-rcnn_r50_fpn_ohem_1x_coco.py",
    "fcos_mstrain_640_800_r101_caffe_fpn_gn_2x_4gpu": "fcos/fcos_r101-caffe_fpn_gn-head_ms-640-800-2x_coco.py",
    "mask_rcnn_r50_fpn_fp16_1x": "mask_rcnn/mask-rcnn_r50_fpn_amp-1x_coco.py",
    "mask_rcnn_r16_gcb_c3-c5_r50_fpn_1x": "gcnet/mask-rcnn_r50-gcb-r16-c3-c5_fpn_1x_coco.py",
    "retinanet_ghm_r50_fpn_1x": "ghm/retinanet_r50_fpn_ghm-1x_coco.py",
    "mask_rcnn_r50_fpn_gn_contrib_2x": "gn/mask-rcnn_r50-contrib_fpn_gn-all_2x_coco.py",
    "mask_rcnn_r50_fpn_gn_ws_2x": "gn+ws/mask-rcnn_r50_fpn_gn-ws-all_2x_coco.py",
    "grid_rcnn_gn_head_r50_fpn_2x": "grid_rcnn/grid-rcnn_r50_fpn_gn-head_2x_coco.py",
    "ga_faster_x101_32x4d_fpn_1x": "guided_anchoring/ga-faster-rcnn_x101-32x4d_fpn_1x_coco.py",
    "mask_rcnn_hrnetv2p_w18_1x": "hrnet/mask-rcnn_hrnetv2p-w18-1x_coco.py",
    "htc_without_semantic_r50_fpn_1x": "htc/htc-without-semantic_r50_fpn_1x_coco.py",
    "libra_faster_rcnn_r50_fpn_1x": "libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco.py",
    "ms_rcnn_x101_64x4d_fpn_1x": "ms_rcnn/ms-rcnn_x101-64x4d_fpn_1x_coco.py",
    "retinanet_x101_64x4d_fpn_1x": "retinanet/retinanet_x101-64x4d_fpn_1x_coco.py",
    "rpn_r50_caffe_c4_1x": "rpn/rpn_r50-caffe-c4_1x_coco.py",
    "scratch_mask_rcnn_r50_fpn_gn_6x": "scratch/mask-rcnn_r50-scratch_fpn_gn-all_6x_coco.py",
    "ssd300_wider_face": "wider_face/ssd300_8xb32-24e_widerface.py",
    "foveabox_r50_fpn_4gpu_1x": "foveabox/fovea_r50_fpn_4xb4-1x_coco.py",
    "double_heads_faster_rcnn_r50_fpn_1x": "double_heads/dh-faster-rcnn_r50_fpn_1x_coco.py",
    "mask_rcnn_r50_fpn_1x_cityscapes": "cityscapes/mask-rcnn_r50_fpn_1x_cityscapes.py",
}


@pytest.mark.parametrize("old", SUCCESSORS)
def test_older_names_lead_to_their_successors(old):
    assert successor_of(old) == SUCCESSORS[old]


def test_an_unrelated_name_has_no_successor():
    assert successor_of("some_net_of_mine") == ""


def test_musket_models_lists_and_filters(capsys):
    assert models(["--architecture", "Mask R-CNN", "--search", "r50 1x", "--masks"]) == 0
    out = capsys.readouterr().out
    assert "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py" in out
    assert "34.7" in out
    assert "faster_rcnn" not in out
    assert models(["--search", "no such model"]) == 1


def test_a_part_of_the_schedule_that_vanishes_in_a_short_stage_is_left_out():
    config = schedule(prepare(request("yolox/yolox_tiny_8xb8-300e_coco.py")), epochs=1, iterations=2).config
    assert config.param_scheduler
    assert all(entry["begin"] < entry["end"] for entry in config.param_scheduler)
