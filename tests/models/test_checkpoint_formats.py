"""Real checkpoints, of whichever version and with whatever objects, load as they were saved."""

import collections
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer, MessageHub

from instance_segmentation_pipeline.models.checkpoint_reader import (
    read_file,
)
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint, state_of

pytestmark = pytest.mark.slow


def of_mmdetection_3(net):
    hub = MessageHub.get_instance("for the reader's test")
    hub.update_scalar("train/loss", 0.5)
    hub.update_scalar("train/loss", 0.25)
    hub.update_info("epoch", 3)
    optimizer = torch.optim.AdamW(net.parameters(), 0.1)
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    return {
        "meta": {
            "epoch": 3,
            "iter": 30,
            "cfg": "model = dict()",
            "config": ConfigDict(model={"type": "X", "nested": ConfigDict(a=(1, 2))}),
            "file": Config({"a": 1, "b": {"c": 2}}),
            "dataset_meta": {"classes": ("a", "b"), "palette": [(1, 2, 3)], "counts": np.arange(4)},
            "experiment_name": "x",
            "seed": np.int64(3),
            "time": "now",
            "mmengine_version": "0.10",
            "slice": slice(1, 2),
        },
        "state_dict": net.state_dict(),
        "message_hub": hub.state_dict(),
        "optimizer": optimizer.state_dict(),
        "param_schedulers": [scheduler.state_dict()],
        "ema_state_dict": OrderedDict(steps=torch.tensor(3), a=torch.nn.Parameter(torch.ones(2))),
    }


def of_mmdetection_2(net):
    defaults = collections.defaultdict(dict)
    defaults[0]["momentum_buffer"] = torch.zeros(2, dtype=torch.float16)
    return {
        "meta": {
            "mmdet_version": "2.25.0+abc",
            "CLASSES": ["a", "b"],
            "PALETTE": None,
            "config": "model = dict()",
            "env_info": "sys.platform: linux",
            "hook_msgs": {
                "best_score": np.float64(0.25),
                "best_ckpt": "x.pth",
                "small": np.float32(1),
                "flag": np.bool_(1),
            },
            "epoch": 12,
            "iter": 1,
        },
        "state_dict": OrderedDict((f"module.{name}", value) for name, value in net.state_dict().items()),
        "optimizer": {"state": defaults, "param_groups": [{"lr": 0.02, "params": [0, 1]}]},
    }


def of_other_things(net):
    kinds = (torch.float64, torch.bfloat16, torch.int8, torch.bool, torch.complex64, torch.uint8)
    return {
        "state_dict": {str(kind): torch.zeros(2, dtype=kind) for kind in kinds},
        "view": torch.arange(12).reshape(3, 4)[:, 1:].t(),
        "shared": [net.weight, net.weight],
        "arrays": [np.zeros((2, 3), order="F"), np.array(["ab", "c"]), np.array([b"x"]), np.array([True]), np.zeros((0, 4)),
                   np.array([{"a": np.arange(2)}, None], dtype=object), np.arange(3, dtype=">i4"), np.array(3.5)],
        "numbers": [np.float16(1.5), np.int64(2), 10**30, -1, 1.5, True, None, 1 + 2j],
        "text": ["é", b"bytes", bytearray(b"x"), b"", {1, 2}, (), ("a", ("b",))],
        "kind": [torch.float32, torch.Size([1, 2]), torch.device("cpu"), np.dtype("f4"), torch.strided],
        "counter": collections.Counter("aab"),
        "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8),
    }  # fmt: skip


def same(first, second):
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype
        assert torch.equal(
            first.to_dense() if first.is_sparse else first, second.to_dense() if second.is_sparse else second
        )
    elif isinstance(first, np.ndarray) and first.dtype == object:
        for one, two in zip(first.ravel(), second.ravel(), strict=True):
            same(one, two)
    elif isinstance(first, np.ndarray):
        assert (first.dtype, first.shape) == (second.dtype, second.shape)
        assert type(second) is np.ndarray
        np.testing.assert_array_equal(first, second)
    elif isinstance(first, HistoryBuffer):
        assert type(second) is HistoryBuffer
        same(list(first.data), list(second.data))
        assert first.mean() == second.statistics("mean")
    elif isinstance(first, Config):
        same(dict(first._cfg_dict), second)
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            same(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, two in zip(first, second, strict=True):
            same(one, two)
    else:
        assert first == second
        assert type(first) is type(second)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")  # deprecated, but files have such tensors
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("make", [of_mmdetection_3, of_mmdetection_2, of_other_things])
def test_real_checkpoints_load(tmp_path, make, zipped):
    content = make(torch.nn.Linear(3, 2))
    path = tmp_path / "real.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    same(content, read_file(path))
    torch.save(read_file(path), tmp_path / "again.pth")  # nothing that stood for something else is left in it
    same(content, read_file(tmp_path / "again.pth"))


def test_metadata_of_a_state_is_kept(tmp_path):
    net = torch.nn.BatchNorm2d(3)
    torch.save({"state_dict": net.state_dict()}, tmp_path / "a.pth")
    assert read_file(tmp_path / "a.pth")["state_dict"]._metadata == net.state_dict()._metadata


def test_a_mapping_of_mmcv_loads(tmp_path):
    """MMCV 1.x pickled ``ConfigDict``, addict's mapping, item by item and with itself as its state."""
    module = types.ModuleType("mmcv.utils.config")

    class ConfigDict(dict):
        def __getstate__(self):
            return self

        def __setstate__(self, state):
            self.update(state)

    ConfigDict.__module__, ConfigDict.__qualname__ = "mmcv.utils.config", "ConfigDict"
    module.ConfigDict = ConfigDict
    sys.modules["mmcv.utils.config"] = module
    try:
        torch.save({"state_dict": {}, "meta": {"config": ConfigDict(a=ConfigDict(b=3))}}, tmp_path / "a.pth")
    finally:
        del sys.modules["mmcv.utils.config"]
    assert read_file(tmp_path / "a.pth")["meta"]["config"] == {"a": {"b": 3}}


def test_the_trained_weights_of_a_run_load(trained):
    for path in (trained.parent / "weights").glob("*.weights"):
        assert state_of(read_checkpoint(path))
