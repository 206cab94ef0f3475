"""Every way on which a file becomes weights: none runs code of the file."""

import json

import pytest
import torch
from musket_core import generic

from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.models.checkpoint_reader import (
    read_file,
    reading_for_models,
)
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from tests.support.checkpoint_attacks import attacks, in_zip

pytestmark = pytest.mark.slow


@pytest.fixture
def attack(tmp_path):
    """A checkpoint that MMEngine's own loader runs, and the marker that must not appear."""
    marker, path = tmp_path / "owned", tmp_path / "attack.pth"
    path.write_bytes(in_zip(attacks(marker)["os.system"]))
    return path, marker


def initialised(path):
    return {"type": "Pretrained", "checkpoint": str(path)}


WAYS = {
    "backbone": lambda path: {"model.backbone.init_cfg": initialised(path)},
    "head": lambda path: {"model.bbox_head.init_cfg": initialised(path)},
    "neck with a prefix": lambda path: {"model.neck.init_cfg": {**initialised(path), "prefix": "neck."}},
    "the whole model": lambda path: {"model.init_cfg": initialised(path)},
    "one of a list": lambda path: {
        "model.backbone.init_cfg": [{"type": "Kaiming", "layer": "Conv2d"}, initialised(path)]
    },
    "override": lambda path: {
        "model.backbone.init_cfg": {
            "type": "Kaiming", "layer": "Conv2d", "override": {"name": "stem", **initialised(path)}
        }
    },
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_initial_weights_of_a_config_run_no_code(add_experiment, attack, way):
    path, marker = attack
    lines = "".join(
        f"  {key}: {json.dumps(value)}\n" for key, value in ({"model.backbone.init_cfg": None} | way(path)).items()
    )
    cfg = generic.parse(str(add_experiment(replace=[("pretrained: false\n", ""), ("stages:", f"{lines}stages:")])))
    with pytest.raises(WeightsError, match="holds objects"):
        cfg.fit()
    assert not marker.exists()
    assert not list(cfg.files.root.glob("weights/*.weights"))


@pytest.mark.parametrize("name", ["{path}", "file-of-a-scheme"])
def test_all_that_mmengine_loads_goes_through_the_reader(attack, name):
    from mmengine.model import BaseModule
    from mmengine.runner import load_checkpoint

    path, marker = attack
    with reading_for_models(lambda source: read_file(path)), pytest.raises(WeightsError):
        load_checkpoint(torch.nn.Linear(1, 1), name.format(path=path))
    with reading_for_models(lambda source: read_file(path)), pytest.raises(WeightsError):
        BaseModule(init_cfg=initialised("https://example.org/a.pth")).init_weights()
    assert not marker.exists()


def test_outside_the_block_mmengine_loads_as_ever(tmp_path):
    from mmengine.runner import load_checkpoint

    torch.save({"state_dict": torch.nn.Linear(1, 1).state_dict()}, tmp_path / "a.pth")
    with reading_for_models(lambda source: {}):
        pass
    assert load_checkpoint(torch.nn.Linear(1, 1), str(tmp_path / "a.pth"))["state_dict"]


def test_resuming_runs_no_code_of_the_checkpoint(add_experiment, tmp_path):
    """Neither ``meta.config``, which MMEngine executes, nor what is unpickled."""
    cfg = generic.parse(str(add_experiment(replace=[("epochs: 1", "epochs: 2")])))
    cfg.expires = 0.0
    cfg.fit()
    marker, last = tmp_path / "owned", cfg.files.stage(0, 0).last_weights
    checkpoint = read_checkpoint(last)
    assert checkpoint["meta"]["epoch"] == 1
    checkpoint["meta"]["config"] = f"open({str(marker)!r}, 'w')"
    torch.save(checkpoint, last)
    cfg = generic.parse(cfg.path)
    cfg.setAllowResume(True)
    cfg.fit()
    assert not marker.exists()
    assert read_checkpoint(last)["meta"]["epoch"] == 2

    last.write_bytes(in_zip(attacks(marker)["os.system"]))
    cfg.files.stage(0, 0).best_weights.write_bytes(last.read_bytes())
    again = generic.parse(cfg.path)
    again.setAllowResume(True)
    with pytest.raises(WeightsError):
        again.fit()
    with pytest.raises(WeightsError):
        list(generic.parse(cfg.path).predictions("validation"))
    assert not marker.exists()
