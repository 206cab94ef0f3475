"""Weights: what a checkpoint gives to a model with other classes, and which checkpoints are refused."""

import pytest
import torch
from musket_core import generic

from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint, state_of
from instance_segmentation_pipeline.models.transfer import class_dependent, load_into
from tests.support.small_models import SLIM, SLIM_MASK, two_stage


def test_class_dependent_tensors_are_found_by_structure(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    cfg.get_dataset()
    layout = class_dependent(cfg.finished().config)
    assert layout
    assert all("rtm_cls" in name for name in layout)
    assert {tuple(entry) for entry in layout.values()} == {(0, 1, 0)}


def starting(cfg):
    """Return a fresh model of a config, its tensors before loading, and the report of loading."""
    from mmdet.registry import MODELS

    cfg.check()
    start, policy = cfg.initial_weights()
    model = MODELS.build(cfg.finished().config.model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return model.state_dict(), before, policy, load_into(model, start, policy)


def test_reset_heads_starts_class_dependent_tensors_anew(trained, add_experiment):
    weights = trained.parent / "weights" / "best-0.1.weights"
    source = state_of(read_checkpoint(weights))
    state, before, policy, report = starting(generic.parse(str(add_experiment(extra=f"weightsPath: {weights}\n"))))
    assert report.anew == tuple(sorted(policy.layout))
    for name, tensor in state.items():
        assert torch.equal(tensor, before[name] if name in policy.layout else source[name]), name


def test_kept_heads_follow_the_class_names(trained, add_experiment, project):
    """``triangle`` and ``disc`` stay what they were in another order beside a new class."""
    weights = trained.parent / "weights" / "best-0.1.weights"
    source = state_of(read_checkpoint(weights))
    names = ["star", "triangle", "disc", "moon"]
    (project / "modules" / "renamed.py").write_text(
        "from musket_core.datasets import dataset_provider\nfrom shapes import Shapes\n\n"
        f"class Renamed(Shapes):\n    def meta(self):\n        return {{'CLASSES': {names}}}\n\n"
        "@dataset_provider()\ndef renamed():\n    return Renamed(12, 64, 0)\n"
    )
    path = add_experiment(
        extra=f"weightsPath: {weights}\nresetHeads: false\n",
        replace=[("get_shapes: {count: 12, size: 64}", "renamed:"), ("classes: 3", "classes: 4")],
    )
    state, before, policy, report = starting(generic.parse(str(path)))
    assert set(report.by_class) == set(policy.layout)
    for name in policy.layout:
        assert torch.equal(state[name][1], source[name][2]), name  # triangle
        assert torch.equal(state[name][2], source[name][0]), name  # disc
        assert torch.equal(state[name][0], before[name][0]), name  # star is new
    assert all(torch.equal(state[name], source[name]) for name in state if name not in policy.layout)


def test_kept_heads_of_two_stage_models(add_experiment, tmp_path):
    """A background row behind the classes, and four rows a class in the box regression."""
    from mmdet.registry import MODELS

    text = two_stage("mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", {**SLIM, **SLIM_MASK})
    first = generic.parse(str(add_experiment("first", text=text.replace("classes: 3", "classes: 3"))))
    first.get_dataset()
    old = MODELS.build(first.finished().config.model)
    torch.nn.init.normal_(old.roi_head.bbox_head.fc_reg.weight)
    meta = {"dataset_meta": {"classes": ("square", "person", "disc")}}
    torch.save({"meta": meta, "state_dict": old.state_dict()}, tmp_path / "old.pth")
    extra = f"weightsPath: {tmp_path / 'old.pth'}\nresetHeads: false\n"
    state, _, policy, _ = starting(generic.parse(str(add_experiment("second", text=text + extra))))
    source = old.state_dict()
    cls, reg = "roi_head.bbox_head.fc_cls.weight", "roi_head.bbox_head.fc_reg.weight"
    assert tuple(policy.layout[cls]) == (0, 1, 1)
    assert tuple(policy.layout[reg]) == (0, 4, 0)
    assert torch.equal(state[cls][[0, 1, 3]], source[cls][[2, 0, 3]])  # disc, square, background
    assert torch.equal(state[reg][0:4], source[reg][8:12])
    assert torch.equal(state[reg][4:8], source[reg][0:4])
    assert torch.equal(
        state["roi_head.mask_head.conv_logits.bias"][0], source["roi_head.mask_head.conv_logits.bias"][2]
    )


def test_checkpoints_of_mmdetection_1_are_refused_with_the_successor(tmp_path):
    path = tmp_path / "htc_dconv_c3-c5_mstrain_400_1400_x101_64x4d_fpn_20e_20190408-0e50669c.pth"
    torch.save({"meta": {"mmdet_version": "1.0rc0"}, "state_dict": {"a": torch.zeros(1)}}, path)
    with pytest.raises(
        WeightsError, match=r"MMDetection 1.0rc0.*mmdet::htc/htc_x101-64x4d-dconv-c3-c5_fpn_ms-400-1400"
    ):
        read_checkpoint(path)
    flat = {"rpn_head.rpn_cls.weight": torch.zeros(1), "bbox_head.fc_cls.weight": torch.zeros(1)}
    torch.save({"state_dict": flat}, tmp_path / "mask_rcnn_r50_fpn_1x.pth")
    with pytest.raises(WeightsError, match="mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"):
        read_checkpoint(tmp_path / "mask_rcnn_r50_fpn_1x.pth")


def test_a_checkpoint_of_another_architecture(tmp_path):
    torch.save({"state_dict": {"backbone.conv1.weight": torch.zeros(3)}}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"another architecture: it fills 0 of the 2 tensors .* \(0%\)"):
        load_into(torch.nn.Linear(2, 2), tmp_path / "other.pth")


def test_a_checkpoint_that_is_code_is_not_run(tmp_path):
    class Attack:
        def __reduce__(self):
            return (print, ("owned",))

    torch.save({"state_dict": Attack()}, tmp_path / "attack.pth")
    with pytest.raises(WeightsError, match="holds objects .*print.* can run code.*set trustWeights: true"):
        read_checkpoint(tmp_path / "attack.pth")


def test_trusted_checkpoints_may_hold_more_than_tensors(tmp_path):
    from pathlib import PurePosixPath

    torch.save({"state_dict": {"weight": torch.zeros(1)}, "meta": {"at": PurePosixPath("a")}}, tmp_path / "t.pth")
    with pytest.raises(WeightsError):
        read_checkpoint(tmp_path / "t.pth")
    assert read_checkpoint(tmp_path / "t.pth", trusted=True)["meta"]["at"] == PurePosixPath("a")


def test_a_truncated_checkpoint(trained, tmp_path):
    data = (trained.parent / "weights" / "best-0.0.weights").read_bytes()
    (tmp_path / "cut.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="damaged"):
        read_checkpoint(tmp_path / "cut.pth")
