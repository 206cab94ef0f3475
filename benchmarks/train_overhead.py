"""Images per second of ``cfg.fit`` beside plain MMDetection's Runner with its CocoDataset.

Both train the same net on the same images with the same batch, pipeline and optimizer, by turns, in one process, on
the first GPU where there is one. Only the training epochs count, the first of each run left out (it fills caches).
Usage:

    python benchmarks/train_overhead.py [--images 96] [--height 192] [--width 192] [--epochs 4] [--rounds 3]

On a GPU, what a paper trains:

    python benchmarks/train_overhead.py --config mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py --height 800 --width 1333 \\
        --batch 2 --workers 4 --images 200
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from musket_core import generic
from musket_core.datasets import DataSet, PredictionItem

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "rtmdet-ins_tiny_small-images.py"
sys.path.insert(0, str(ROOT / "examples" / "shapes" / "modules"))
EPOCHS: list = []
MEMORY: dict = {}


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


class Wide(DataSet):
    """The shapes project's images, repeated to the right until they are as wide as asked for."""

    def __init__(self, count, height, width):
        from shapes import Shapes

        super().__init__()
        self.square, self.width = Shapes(count, height, 0), width

    def meta(self):
        """Return the names of the classes."""
        return self.square.meta()

    def __len__(self):
        return len(self.square)

    def __getitem__(self, number):
        item = self.square[number]
        labels, bboxes, masks = item.y
        times = -(-self.width // item.x.shape[1])
        image = np.tile(item.x, (1, times, 1))[:, : self.width]
        masks = np.tile(masks, (1, 1, times))[:, :, : self.width]
        return PredictionItem(item.id, np.ascontiguousarray(image), (labels, bboxes, masks))


def native(options):
    """Return the path of the native config."""
    if options.config is None:
        return CONFIG
    from instance_segmentation_pipeline.zoo.catalogue import zoo_folder

    return zoo_folder() / options.config


def write_coco(dataset, folder):
    """Write a Musket dataset as COCO JSON and PNG files, as CocoDataset reads them."""
    from instance_segmentation_pipeline.detection.instances import from_musket
    from instance_segmentation_pipeline.detection.records import to_coco_entry

    images, annotations = [], []
    for number in range(len(dataset)):
        item = dataset[number]
        height, width = item.x.shape[:2]
        cv2.imwrite(str(folder / f"{item.id}.png"), cv2.cvtColor(item.x, cv2.COLOR_RGB2BGR))
        images.append({"id": number, "file_name": f"{item.id}.png", "height": height, "width": width})
        instances = from_musket(item.y, height, width, classes=3)
        for label, bbox, rle in zip(instances.labels, instances.bboxes, instances.masks.to_rles(), strict=True):
            entry = to_coco_entry(number, label, bbox)
            area = entry["bbox"][2] * entry["bbox"][3]
            annotations.append({"id": len(annotations) + 1, **entry, "area": area, "iscrowd": 0, "segmentation": rle})
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(dataset.meta()["CLASSES"])]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))


def settings(folder, options, path):
    """Write an experiment's YAML, and return its config."""
    (folder / "config.yaml").write_text(
        "#%Musket MMDetection 1.0\n"
        f"configPath: {path}\npretrained: false\nclasses: 3\nshape: [{options.height}, {options.width}]\n"
        f"imagesPerGpu: {options.batch}\nworkersPerGpu: {options.workers}\nbboxSource: masks\n"
        f"stages:\n  - epochs: {options.epochs}\n"
    )
    return generic.parse(str(folder / "config.yaml"))


def ours(dataset, folder, options):
    """Train with ``cfg.fit``; return seconds of each epoch."""
    own = folder / "timed.py"
    own.write_text(
        f"_base_ = {str(native(options))!r}\ncustom_hooks = [dict(type='EpochTimer')]\n"
        "custom_imports = dict(imports=[], allow_failed_imports=False)\n"
    )
    EPOCHS.clear()
    dataset.folds = [(list(range(options.images)), [0])]
    settings(folder, options, own).fit(dataset)
    return list(EPOCHS)


def plain(dataset, folder, options):
    """Train with MMDetection's Runner alone; return seconds of each epoch."""
    config = Config.fromfile(native(options))
    pipeline = [dict(step) for step in config.train_dataloader.dataset.pipeline]
    for step in pipeline:
        for key in ("scale", "size", "crop_size"):
            if key in step:
                step[key] = (options.width, options.height)
    asked = folder / "asked"
    asked.mkdir(exist_ok=True)
    same = settings(asked, options, native(options))  # the net with its classes set, and nothing else of ours
    same.use_dataset(dataset)
    model = same.finished().config.model
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
    numbers = {"images": 96, "height": 192, "width": 192, "batch": 8, "epochs": 4, "rounds": 3, "workers": 0}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--config", help="config of MMDetection's zoo (default: the small one of this repository)")
    options = parser.parse_args()
    dataset = Wide(options.images, options.height, options.width)
    speeds: dict = {"cfg.fit": [], "plain Runner": []}
    with tempfile.TemporaryDirectory() as temporary:
        coco = Path(temporary) / "coco"
        coco.mkdir()
        write_coco(dataset, coco)
        for number in range(options.rounds):
            mine = Path(temporary) / f"ours{number}"
            mine.mkdir()
            for name, train in (
                ("plain Runner", lambda: plain(dataset, coco, options)),
                ("cfg.fit", lambda folder=mine: ours(dataset, folder, options)),
            ):
                speeds[name] += [options.images / second for second in train()[1:]]
                if torch.cuda.is_available():
                    MEMORY[name] = torch.cuda.max_memory_allocated() / 2**30
                    torch.cuda.reset_peak_memory_stats()
    for name, values in speeds.items():
        memory = f", {MEMORY[name]:.2f} GiB of GPU memory" if name in MEMORY else ""
        print(f"{name:13} {statistics.median(values):7.2f} images/s (median of {len(values)} epochs){memory}")
    ratio = statistics.median(speeds["cfg.fit"]) / statistics.median(speeds["plain Runner"])
    print(f"ratio         {ratio:7.3f}")


if __name__ == "__main__":
    main()
