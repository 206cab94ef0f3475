"""What cannot be built is told before a good run is moved away: model, optimizer, schedules, hooks, loaders, pipelines."""

import random

import mmengine
import numpy as np
import pytest
import torch
import yaml
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError, UserError
from tests.support.datasets import shapes
from tests.support.project import FAST, SMALL_CONFIG
from tests.support.small_models import SLIM, SLIM_MASK, two_stage

pytestmark = pytest.mark.slow

PLACE = "  model.bbox_head.feat_channels: 32\n"
MASK_RCNN = "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"


def option(text):
    return [(PLACE, f"{PLACE}  {text}\n")]


BAD = [
    ("optimizer: {type: SGD, momentom: 0.9}\n", [], "the optimizer SGD cannot be built (TypeError: "),
    ("optimizer: {type: AdamW, weight_decay: -1}\n", [], "the optimizer AdamW cannot be built (ValueError: "),
    ("optimizer: {type: AdamW, betas: [2, 2]}\n", [], "the optimizer AdamW cannot be built"),
    ("optimizer: {type: SGD, nesterov: true}\n", [], "the optimizer SGD cannot be built"),
    ("", option("model.backbone.frozen_stage: 1"), "the model cannot be built (TypeError: "),
    ("", option("model.bbox_head.num_clases: 1"), "the model cannot be built"),
    ("", [("[32, 64, 128]", "[1, 2]")], "the model cannot be built"),
    ("", option("model.backbone.type: Resnet"), "the model cannot be built"),
    ("", [("deepen_factor: 0.167", "deepen_factor: many")], "'model.backbone.deepen_factor' is 'many', expected a number"),
    ("", option("train_dataloader.num_workers: -1"), "'train_dataloader.num_workers' is -1, expected a whole number from 0"),
    ("", option("train_dataloader.sampler: {type: NoSampler}"), "'NoSampler', whose epochs have no known length"),
    ("", option("val_dataloader.collate_fn: {type: nothing}"), "val_dataloader cannot be built"),
    ("", option("custom_hooks: [{type: NoHook}]"), "the hook NoHook cannot be built"),
    ("", option("custom_hooks: [{type: EMAHook, momento: 1}]"), "the model of EMAHook cannot be built"),
    ("", option("param_scheduler: [{type: CosineAnnealingLR, T_maxi: 3}]"), "the scheduler CosineAnnealingLR cannot be built"),
    ("", option("param_scheduler: [{type: NoLR, by_epoch: false}]"), "the scheduler NoLR cannot be built"),
    ("", option("optim_wrapper.paramwise_cfg: {norm_decay: 0}"), "optim_wrapper.paramwise_cfg has no 'norm_decay' (did you mean 'norm_decay_mult'?)"),
    ("", option("optim_wrapper.clip: 1"), "the optimizer AdamW cannot be built"),
    ("validationSplit: 0.999\n", [], "validationSplit 0.999 cannot part 12 items"),
    ("folds_count: 20\n", [], "too few for folds_count 20"),
    ("testSplit: 0.999\n", [], "testSplit 0.999 of 12 items"),
    ("stratified: true\nvalidationSplit: 0.1\n", [], "validationSplit 0.1 cannot part 12 items"),
]  # fmt: skip


@pytest.fixture
def good_run(add_experiment):
    """Return a function that writes an experiment beside what an earlier run trained, and returns both."""

    def make(extra="", replace=(), text=None):
        path = add_experiment(extra=extra, replace=replace, text=text)
        (path.parent / "weights").mkdir()
        (path.parent / "weights" / "best-0.0.weights").write_bytes(b"good")
        (path.parent / "summary.yaml").write_text(yaml.safe_dump({"completed": True}))
        return path

    return make


def _everything(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("extra", "replace", "message"),
    BAD,
    ids=[f"{one}{two[0][1].removeprefix(PLACE) if two else ''}" for one, two, _ in BAD],
)
def test_nothing_is_moved_for_what_cannot_be_built(good_run, extra, replace, message):
    path = good_run(extra, replace)
    before = _everything(path.parent)
    cfg = generic.parse(str(path))
    cfg.refit = True
    with pytest.raises(UserError) as caught:
        cfg.fit(shapes())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {name: data for name, data in _everything(path.parent).items() if name in before} == before
    assert not (path.parent / "previous").exists()


def test_the_pipeline_s_failure_is_told(good_run):
    step = "{type: Resize, scale: [64, 64]}, {type: CachedMosaic, img_scale: [64, 64], prob: 2}"
    path = good_run(replace=option(f"train_dataloader.dataset.pipeline: [{step}, {{type: PackDetInputs}}]"))
    with pytest.raises(ConfigError, match="CachedMosaic"):
        generic.parse(str(path)).check(shapes())


def test_weights_of_another_architecture_are_told(good_run, tmp_path):
    torch.save({"state_dict": {"other.weight": torch.zeros(3)}}, tmp_path / "other.pth")
    path = good_run(f"weightsPath: {tmp_path / 'other.pth'}\n")
    cfg = generic.parse(str(path))
    cfg.refit = True
    with pytest.raises(UserError, match="checkpoint of another architecture: it fills 0 of the"):
        cfg.fit(shapes())
    assert (path.parent / "weights" / "best-0.0.weights").read_bytes() == b"good"


def test_checking_leaves_random_states_and_the_terminal_alone(good_run, capsys):
    cfg = generic.parse(str(good_run("optimizer: {type: SGD, lr: 0.01, momentum: 0.9}\n")))
    cfg.check(shapes())
    capsys.readouterr()

    def drawn():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    mmengine.runner.set_random_seed(3)
    expected = drawn()
    mmengine.runner.set_random_seed(3)
    cfg.check()
    assert drawn() == expected
    told = capsys.readouterr()
    assert "INFO" not in told.out + told.err


def test_big_models_are_checked_without_their_memory(add_experiment):
    """The HTC of the documentation, 143 million weights: half a gigabyte if it were built."""

    text = FAST.format(config=SMALL_CONFIG, extra="").split("configOptions:")[0].replace(str(SMALL_CONFIG), "mmdet::htc/htc_x101-64x4d-dconv-c3-c5_fpn_ms-400-1400-16xb1-20e_coco.py")  # fmt: skip
    cfg = generic.parse(str(add_experiment(text=text + "stages:\n  - epochs: 1\n")))
    built = []
    original = torch.nn.Module.train
    try:
        torch.nn.Module.train = lambda self, mode=True: (built.append(self), original(self, mode))[1]
        cfg.check(shapes())
    finally:
        torch.nn.Module.train = original
    weights = [tensor for model in built for tensor in model.parameters()]
    assert sum(tensor.numel() for tensor in weights) > 50_000_000
    held = sum(tensor.numel() for tensor in weights if not tensor.is_meta)  # deformable convolutions make their own
    assert held < 0.2 * sum(tensor.numel() for tensor in weights)


LONELY = "BatchNorm layers"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FAST.format(config=SMALL_CONFIG, extra="").replace("imagesPerGpu: 4", "imagesPerGpu: 1"), True),
        (FAST.format(config=SMALL_CONFIG, extra=""), False),
        (two_stage(MASK_RCNN, {**SLIM, **SLIM_MASK}).replace("imagesPerGpu: 2", "imagesPerGpu: 1"), True),
        (two_stage(MASK_RCNN, {**SLIM, **SLIM_MASK, "model.backbone.norm_cfg": {"type": "GN", "num_groups": 8}}).replace("imagesPerGpu: 2", "imagesPerGpu: 1"), False),
    ],
    ids=["rtmdet alone", "rtmdet", "mask rcnn alone", "group norm alone"],
)  # fmt: skip
def test_one_image_before_a_batch_norm_is_told(add_experiment, capsys, text, told):
    generic.parse(str(add_experiment(text=text))).check(shapes())
    assert (LONELY in capsys.readouterr().out) is told
