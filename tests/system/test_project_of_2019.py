"""The test project of the 2019 plugin: its module, its YAML but for the model, its table; through the real commands."""

import json

import cv2
import numpy as np
import pytest
import yaml

from tests.support.project import SMALL_CONFIG
from tests.support.run_lengths import runs_of

pytestmark = pytest.mark.slow

CLASSES = sorted(map(str, range(46)))
"""As the module of 2019 has them: numbers as text, in the order of texts."""

MODULE = f"""
from musket_core import datasets, image_datasets


@datasets.dataset_provider(origin="train.csv", kind="MultiClassInstanceSegmentationDataSet")
def getTrain():
    return image_datasets.InstanceSegmentationDataSet(
        ["train"], "train.csv", "ImageId", "EncodedPixels", "ClassId", classes={CLASSES!r}
    )
"""

YAML = """#%Musket MMDetection 1.0
augmentation:
  Fliplr: 0.5
threshold: 0.55
classes: 46
shape: [512, 512]
imagesPerGpu: 1
validationSplit: 0.2
stages:
  - epochs: 2
dataset:
  getTrain: []
configPath: '../../data/configs/tiny.py'
"""

CONFIG = f"""
_base_ = {str(SMALL_CONFIG)!r}
model = dict(
    backbone=dict(deepen_factor=0.167, widen_factor=0.125, init_cfg=None),
    neck=dict(in_channels=[32, 64, 128], out_channels=32),
    bbox_head=dict(in_channels=32, feat_channels=32))
"""


def photograph(random, height, width):
    """Return a photograph-like image: soft colours, noise, and one to four things on it, with their masks."""
    coarse = random.integers(60, 160, (6, 8, 3), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    image += random.integers(-12, 13, image.shape)
    masks = []
    for _ in range(random.integers(1, 5)):
        mask = np.zeros((height, width), np.uint8)
        centre = (int(random.integers(40, width - 40)), int(random.integers(40, height - 40)))
        axes = (int(random.integers(15, 40)), int(random.integers(15, 40)))
        cv2.ellipse(mask, centre, axes, int(random.integers(180)), 0, 360, 1, -1)
        image[mask > 0] = random.integers(150, 255, 3)
        masks = [earlier & ~mask for earlier in masks] + [mask]
    return np.clip(image, 0, 255).astype(np.uint8), [mask for mask in masks if mask.any()]


@pytest.fixture
def of_2019(tmp_path):
    """Write the project; return its folder."""
    root, random = tmp_path / "project", np.random.default_rng(5)
    experiment = root / "experiments" / "exp01"
    for folder in (experiment, root / "modules", root / "data" / "train", root / "data" / "configs"):
        folder.mkdir(parents=True)
    (root / "modules" / "providers.py").write_text(MODULE)
    (root / "data" / "configs" / "tiny.py").write_text(CONFIG)
    (experiment / "config.yaml").write_text(YAML)
    rows = ["ImageId,EncodedPixels,Height,Width,ClassId"]
    for number in range(10):
        height, width = (240, 320) if number % 2 else (300, 200)
        image, masks = photograph(random, height, width)
        name = f"{number:06d}.jpg"
        cv2.imwrite(str(root / "data" / "train" / name), image[..., ::-1])
        for mask in masks if number != 4 else []:
            attributes = "_3_17" if random.random() < 0.3 else ""
            rows.append(f"{name},{runs_of(mask)},{height},{width},{random.choice(CLASSES)}{attributes}")
        if number == 4:
            rows.append(f"{name},,{height},{width},")
    (root / "data" / "train.csv").write_text("\n".join(rows) + "\n")
    return root


def test_it_trains_and_predicts(of_2019, musket, tmp_path):
    fitted = musket("fit", "--project", of_2019, "--name", "exp01")
    assert fitted.returncode == 0, fitted.stderr + fitted.stdout
    experiment = of_2019 / "experiments" / "exp01"
    summary = yaml.safe_load((experiment / "summary.yaml").read_text())
    assert summary["completed"] is True
    assert not (experiment / "error.yaml").exists()
    rows = (experiment / "metrics" / "metrics-0.0.csv").read_text().splitlines()
    assert len(rows) == 3
    train, validation = yaml.safe_load((experiment / "config.yaml.folds_split").read_text())[0]
    assert (len(train), len(validation)) == (8, 2)
    target = tmp_path / "found"
    predicted = musket(
        "predict", "--project", of_2019, "--name", "exp01", "--input", of_2019 / "data" / "train", "--output", target
    )
    assert predicted.returncode == 0, predicted.stderr + predicted.stdout
    found = json.loads((target / "predictions.json").read_text())
    assert sorted(image["file_name"] for image in found["images"]) == [f"{number:06d}.jpg" for number in range(10)]
    assert {category["name"] for category in found["categories"]} == set(CLASSES)
    assert [category["name"] for category in found["categories"]] == CLASSES
    assert len(list(target.glob("*.jpg"))) == 10
