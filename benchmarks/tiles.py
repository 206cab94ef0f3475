"""2,000 objects in an image of 6,000 x 6,000 pixels, predicted by cells: mask AP beside like objects in small images.

A net is trained shortly on small generated scenes, then asked for the same kind of scenes twice: in images of the size
that it was trained on, and as one large image made of them, side by side with objects across all seams. Peak memory is
that of a process that predicts the large image alone. Usage:

    python benchmarks/tiles.py [--side 6000] [--objects 2000] [--epochs 12] [--work folder]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
CELL = 256

MODULE = """
import sys
sys.path.insert(0, {here!r})
from benchmarks.tiles import Scenes
from musket_core.datasets import dataset_provider


@dataset_provider
def get_scenes(count=200, seed=0):
    return Scenes(count, seed)
"""

CONFIG = """#%Musket MMDetection 1.0
configPath: musket::rtmdet-ins_tiny_small-images.py
pretrained: false
shape: [{cell}, {cell}]
imagesPerGpu: 8
lr: 0.004
nativePipeline: false
configOptions:
  model.backbone.widen_factor: 0.25
  model.neck.in_channels: [64, 128, 256]
  model.neck.out_channels: 64
  model.bbox_head.in_channels: 64
  model.bbox_head.feat_channels: 64
stages:
  - epochs: {epochs}
dataset:
  get_scenes: {{count: 240, seed: 1}}
"""


def scene(height: int, width: int, count: int, seed: int) -> tuple[Any, Any, Any]:
    """Return image, labels from 1, and masks as crops ``(box, mask)`` of ellipses and bars that do not overlap."""
    random = np.random.default_rng(seed)
    image = random.integers(45, 76, (height, width, 3), np.uint8)
    taken = np.zeros((height, width), np.uint8)
    labels, crops, tries = [], [], 0
    while len(crops) < count and tries < 60 * count:
        tries += 1
        y, x = random.integers([0, 0], [height, width])
        label = int(random.integers(1, 3))
        axes = random.integers(10, 26, 2) if label == 1 else (int(random.integers(5, 9)), int(random.integers(24, 44)))
        reach = int(max(axes)) + 3
        left, top, right, bottom = max(0, x - reach), max(0, y - reach), min(width, x + reach), min(height, y + reach)
        mask = np.zeros((bottom - top, right - left), np.uint8)
        centre, angle = (int(x - left), int(y - top)), float(random.uniform(0, 180))
        cv2.ellipse(mask, centre, (int(axes[0]), int(axes[1])), angle, 0, 360, 1, -1)
        if mask.sum() < 60 or (cv2.dilate(mask, np.ones((5, 5), np.uint8)) & taken[top:bottom, left:right]).any():
            continue
        taken[top:bottom, left:right] |= mask
        colour = random.integers(110, 250, 3)
        part = image[top:bottom, left:right]
        part[mask == 1] = (colour + random.normal(0, 6, (int(mask.sum()), 3))).clip(0, 255).astype(np.uint8)
        labels.append(label)
        crops.append(((left, top, right, bottom), mask))
    return image, np.array(labels, np.int64), crops


def rles_of(crops: Any, height: int, width: int) -> Any:
    """Return the masks of ``scene`` as RLE."""
    from instance_segmentation_pipeline.detection.mask_crops import MaskCrops

    boxes = np.array([box for box, _ in crops], np.int64).reshape(-1, 4)
    return MaskCrops(height, width, boxes, tuple(mask for _, mask in crops))


class Scenes:
    """Small scenes, as a Musket dataset."""

    def __init__(self, count: int, seed: int, density: int = 4) -> None:
        self.count, self.seed, self.density, self.name = count, seed, density, f"scenes{seed}"

    def __len__(self) -> int:
        return self.count

    def meta(self) -> Any:
        """Return the names of the classes."""
        return {"CLASSES": ["disc", "bar"]}

    def __getitem__(self, item: int) -> Any:
        from musket_core.datasets import PredictionItem

        image, labels, crops = scene(CELL, CELL, self.density, self.seed * 100_000 + item)
        masks = rles_of(crops, CELL, CELL)
        boxes = masks.tight_boxes()[:, [1, 0, 3, 2]]
        return PredictionItem(f"scene{item}", image, (labels, boxes, masks.to_rles()))


def truth_of(name: str, labels: Any, crops: Any, height: int, width: int) -> Any:
    """Return a truth record of a scene."""
    from instance_segmentation_pipeline.detection.instances import Instances
    from instance_segmentation_pipeline.detection.records import to_middle_format

    masks = rles_of(crops, height, width)
    return to_middle_format(Instances(height, width, labels - 1, masks.tight_boxes(), masks), name)


def measured(truths: Any, found: Any, most: int) -> float:
    """Return the mask AP of all objects, however many there are in an image."""
    from instance_segmentation_pipeline.metrics.coco import coco_metrics

    return float(coco_metrics(truths, found, 2, True, most)["coco_segm_mAP"])


def predict(project: Path, side: int, objects: int, most: int) -> None:
    """Predict the large image in this process, and print AP, seconds and the peak of memory."""
    from musket_core import generic

    cfg = generic.parse(str(project / "experiments" / "scenes" / "config.yaml"))
    image, labels, crops = scene(side, side, objects, 77)
    cfg.tiles = {"size": CELL, "overlap": 0.35}
    cfg.inference_batch = 4
    model = cfg.load_model()
    began = time.perf_counter()
    (found,) = model.detect([image])
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ap = measured([truth_of("large", labels, crops, side, side)], [found.arrays()], most)
    print(json.dumps({"objects": len(labels), "found": len(found.above(0.3)), "ap": ap, "s": seconds, "MB": peak}))


def small(project: Path, objects: int, most: int) -> float:
    """Return the AP of about as many objects of the same kind in small images."""
    from musket_core import generic

    cfg = generic.parse(str(project / "experiments" / "scenes" / "config.yaml"))
    model, truths, found = cfg.load_model(), [], []
    for number in range(objects // 4):
        image, labels, crops = scene(CELL, CELL, 4, 9_000_000 + number)
        truths.append(truth_of(str(number), labels, crops, CELL, CELL))
        found.append(model.detect([image])[0].arrays())
    return measured(truths, found, most)


def main() -> None:
    """Train, predict, and print the two APs and the memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=6000)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--large", type=Path)
    options = parser.parse_args()
    most = 2 * options.objects
    if options.large:
        predict(options.large, options.side, options.objects, most)
        return
    project = options.work or Path(tempfile.mkdtemp())
    experiment = project / "experiments" / "scenes"
    if not (experiment / "summary.yaml").exists():
        experiment.mkdir(parents=True, exist_ok=True)
        (project / "modules").mkdir(exist_ok=True)
        here = str(Path(__file__).resolve().parent.parent)
        (project / "modules" / "scenes_module.py").write_text(MODULE.format(here=here))
        (experiment / "config.yaml").write_text(CONFIG.format(cell=CELL, epochs=options.epochs))
        command = [sys.executable, "-m", "instance_segmentation_pipeline.cli", "fit", "--project", str(project)]
        subprocess.run(command, check=True)
    command = [sys.executable, __file__, "--large", str(project), "--side", str(options.side)]
    said = subprocess.run([*command, "--objects", str(options.objects)], check=True, capture_output=True, text=True)
    large = json.loads(said.stdout.strip().splitlines()[-1])
    print(f"small images of {CELL} x {CELL}: mask AP {small(project, options.objects, most):.3f}")
    print(
        f"{options.side} x {options.side} with {large['objects']} objects by cells: mask AP {large['ap']:.3f}, "
        f"{large['found']} found above .3, {large['s']:.0f} s, peak {large['MB']:.0f} MB"
    )


if __name__ == "__main__":
    main()
