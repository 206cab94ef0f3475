"""Images per second of ``cfg.fit`` beside plain MMDetection's Runner with its CocoDataset.

Both train the same net on the same images with the same batch, pipeline and optimizer, by turns, in one process.
Only the training epochs count, the first of each run left out (it fills caches). Usage:

    python benchmarks/train_overhead.py [--images 96] [--size 192] [--epochs 4] [--rounds 3] [--workers 0]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from musket_core import generic

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "rtmdet-ins_tiny_small-images.py"
sys.path.insert(0, str(ROOT / "examples" / "shapes" / "modules"))
EPOCHS: list = []


@HOOKS.register_module()
class EpochTimer(Hook):
    """Notes how long each training epoch takes."""

    priority = "LOWEST"

    def before_train_epoch(self, runner):
        """Start."""
        self.began = time.perf_counter()

    def after_train_epoch(self, runner):
        """Stop."""
        EPOCHS.append(time.perf_counter() - self.began)


def write_coco(dataset, folder):
    """Write a Musket dataset as COCO JSON and PNG files, as CocoDataset reads them."""
    from instance_segmentation_pipeline.annotations import encode_masks, from_musket

    images, annotations = [], []
    for number in range(len(dataset)):
        item = dataset[number]
        height, width = item.x.shape[:2]
        cv2.imwrite(str(folder / f"{item.id}.png"), cv2.cvtColor(item.x, cv2.COLOR_RGB2BGR))
        images.append({"id": number, "file_name": f"{item.id}.png", "height": height, "width": width})
        instances = from_musket(item.y, height, width, classes=3)
        for label, bbox, rle in zip(instances.labels, instances.bboxes, encode_masks(instances.masks), strict=True):
            x1, y1, x2, y2 = map(float, bbox)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(label) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                    "segmentation": rle,
                }
            )
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(dataset.meta()["CLASSES"])]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))


def ours(dataset, folder, options):
    """Train with ``cfg.fit``; return seconds of each epoch."""
    own = folder / "timed.py"
    own.write_text(
        f"_base_ = {str(CONFIG)!r}\ncustom_hooks = [dict(type='EpochTimer')]\n"
        "custom_imports = dict(imports=[], allow_failed_imports=False)\n"
    )
    (folder / "config.yaml").write_text(
        "#%Musket MMDetection 1.0\n"
        f"configPath: {own}\npretrained: false\nclasses: 3\nshape: [{options.size}, {options.size}]\n"
        f"imagesPerGpu: {options.batch}\nworkersPerGpu: {options.workers}\nstages:\n  - epochs: {options.epochs}\n"
    )
    EPOCHS.clear()
    dataset.folds = [(list(range(options.images)), [0])]
    generic.parse(str(folder / "config.yaml")).fit(dataset)
    return list(EPOCHS)


def plain(folder, options):
    """Train with MMDetection's Runner alone; return seconds of each epoch."""
    config = Config.fromfile(CONFIG)
    pipeline = [dict(step) for step in config.train_dataloader.dataset.pipeline]
    for step in pipeline:
        for key in ("scale", "size", "crop_size"):
            if key in step:
                step[key] = (options.size, options.size)
    model = config.model
    model.backbone.init_cfg = None
    model.bbox_head.num_classes = 3
    for part in (model.backbone, model.neck, model.bbox_head):
        part.norm_cfg.type = "BN"
    EPOCHS.clear()
    runner = Runner(
        model=model,
        work_dir=str(folder / f"plain{time.time_ns()}"),
        train_dataloader={
            "batch_size": options.batch,
            "num_workers": options.workers,
            "persistent_workers": options.workers > 0,
            "sampler": {"type": "DefaultSampler", "shuffle": True},
            "dataset": {
                "type": "CocoDataset",
                "ann_file": str(folder / "annotations.json"),
                "data_prefix": {"img": str(folder) + "/"},
                "metainfo": {"classes": ("disc", "square", "triangle")},
                "filter_cfg": {"filter_empty_gt": False},
                "pipeline": pipeline,
            },
        },
        train_cfg={"type": "EpochBasedTrainLoop", "max_epochs": options.epochs},
        optim_wrapper=config.optim_wrapper,
        custom_hooks=[{"type": "EpochTimer"}],
        default_scope="mmdet",
        randomness={"seed": 33},
        experiment_name=f"plain{time.time_ns()}",
        log_level="ERROR",
    )
    runner.train()
    return list(EPOCHS)


def main():
    """Compare, and print images per second and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("images", 96), ("size", 192), ("batch", 8), ("epochs", 4), ("rounds", 3), ("workers", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    from shapes import Shapes

    dataset = Shapes(options.images, options.size, 0)
    speeds: dict = {"cfg.fit": [], "plain Runner": []}
    with tempfile.TemporaryDirectory() as temporary:
        coco = Path(temporary) / "coco"
        coco.mkdir()
        write_coco(dataset, coco)
        for number in range(options.rounds):
            mine = Path(temporary) / f"ours{number}"
            mine.mkdir()
            for name, seconds in (
                ("plain Runner", plain(coco, options)),
                ("cfg.fit", ours(dataset, mine, options)),
            ):
                speeds[name] += [options.images / second for second in seconds[1:]]
    for name, values in speeds.items():
        print(f"{name:13} {statistics.median(values):7.2f} images/s (median of {len(values)} epochs)")
    ratio = statistics.median(speeds["cfg.fit"]) / statistics.median(speeds["plain Runner"])
    print(f"ratio         {ratio:7.3f}")


if __name__ == "__main__":
    main()
