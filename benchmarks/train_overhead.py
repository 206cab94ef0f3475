"""Images per second of ``cfg.fit``, by default and in bfloat16, beside plain MMDetection's Runner with its CocoDataset.

All train the same net on the same images with the same batch, pipeline, optimizer and learning rate, by turns, in one
process, on the first GPU where there is one. Only the training epochs count, the first of each run left out (it fills
caches). The mean loss of each epoch is printed beside the speeds. Usage:

    python benchmarks/train_overhead.py [--images 96] [--height 192] [--width 192] [--epochs 4] [--rounds 3]
        [--models rtmdet-ins mask-rcnn] [--modes default bf16 workers]

On a GPU, what a paper trains:

    python benchmarks/train_overhead.py --models mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py --height 800 --width 1333 \\
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
from mmdet.models.task_modules.assigners import dynamic_soft_label_assigner
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
LOSSES: list = []
MEMORY: dict = {}
MODELS = {
    "rtmdet-ins": (CONFIG, {}, 0.001),
    "mask-rcnn": (
        "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
        {
            "model.backbone.depth": 18,
            "model.neck.in_channels": [64, 128, 256, 512],
            "model.neck.out_channels": 64,
            "model.rpn_head.in_channels": 64,
            "model.rpn_head.feat_channels": 64,
            "model.roi_head.bbox_roi_extractor.out_channels": 64,
            "model.roi_head.mask_roi_extractor.out_channels": 64,
            "model.roi_head.bbox_head.in_channels": 64,
            "model.roi_head.bbox_head.fc_out_channels": 256,
            "model.roi_head.mask_head.in_channels": 64,
            "model.roi_head.mask_head.conv_out_channels": 64,
            "model.train_cfg.rcnn.sampler.num": 128,
        },
        0.005,
    ),
}
"""Config, options for it and learning rate of the models that a CPU trains in seconds."""

MODES = {
    "plain Runner": "",
    "default": "",
    "as it was": "channelsLast: false\noptimizer: {type: %(optimizer)s, fused: false}\n",
    "bf16": "amp: bf16\n",
    "auto": "amp: auto\n",
    "workers": "workersPerGpu: 1\n",
}
"""What each way to train adds to the YAML."""
CENTRES = dynamic_soft_label_assigner.center_of_mass


@HOOKS.register_module()
class EpochTimer(Hook):
    """Notes how long each training epoch takes."""

    priority = "LOWEST"

    def before_train_epoch(self, runner):
        """Start."""
        self.losses = []
        self.began = time.perf_counter()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Note the loss."""
        self.losses.append(float(outputs["loss"].detach()))

    def after_train_epoch(self, runner):
        """Stop."""
        EPOCHS.append(time.perf_counter() - self.began)
        LOSSES.append(statistics.mean(self.losses))


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


def native(name):
    """Return path, options and learning rate of a model: one of ``MODELS``, or a config of the zoo."""
    from instance_segmentation_pipeline.zoo.catalogue import zoo_folder

    path, changes, lr = MODELS.get(name, (name, {}, 0.002))
    return zoo_folder() / path, changes, lr


def write_coco(dataset, count, folder):
    """Write the first items of a Musket dataset as COCO JSON and PNG files, as CocoDataset reads them."""
    from instance_segmentation_pipeline.detection.instances import from_musket
    from instance_segmentation_pipeline.detection.records import to_coco_entry

    images, annotations = [], []
    for number in range(count):
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


def settings(folder, options, name, path, mode):
    """Write an experiment's YAML, and return its config."""
    _, changes, lr = native(name)
    optimizer = Config.fromfile(path).optim_wrapper.optimizer.type
    (folder / "config.yaml").write_text(
        "#%Musket MMDetection 1.0\n"
        f"configPath: {path}\npretrained: false\nclasses: 3\nshape: [{options.height}, {options.width}]\n"
        f"imagesPerGpu: {options.batch}\nbboxSource: masks\nlr: {lr}\n"
        f"{'' if mode == 'workers' else f'workersPerGpu: {options.workers}'}\n"
        f"configOptions: {json.dumps(changes)}\n{MODES[mode] % {'optimizer': optimizer}}"
        f"stages:\n  - epochs: {options.epochs}\n"
    )
    return generic.parse(str(folder / "config.yaml"))


def ours(dataset, folder, options, name, mode):
    """Train with ``cfg.fit``."""
    own = folder / "timed.py"
    own.write_text(
        f"_base_ = {str(native(name)[0])!r}\ncustom_hooks = [dict(type='EpochTimer')]\n"
        "custom_imports = dict(imports=[], allow_failed_imports=False)\n"
    )
    dataset.folds = [(list(range(options.images)), [options.images])]
    settings(folder, options, name, own, mode).fit(dataset)


def plain(dataset, coco, folder, options, name):
    """Train with MMDetection's Runner alone."""
    path, _, lr = native(name)
    dynamic_soft_label_assigner.center_of_mass = CENTRES  # cfg.fit puts a faster one there
    same = settings(
        folder, options, name, path, "plain Runner"
    )  # the net with its classes set, and nothing else of ours
    same.use_dataset(dataset)
    model = same.finished().config.model
    scheduled = same.parts.model.scheduled(same.parts.settings.stages[0], options.images)
    config = Config.fromfile(path)
    config.optim_wrapper.optimizer.lr = lr
    loader = config.train_dataloader.dataset
    pipeline = [dict(step) for step in loader.get("pipeline", loader.get("dataset", {}).get("pipeline"))]
    for step in pipeline:
        if step["type"] == "LoadAnnotations":
            step["poly2mask"] = (
                True  # without it, masks that are run lengths are passed over, and their objects with them
            )
        for key in ("scale", "size", "crop_size"):
            if key in step:
                step[key] = (options.width, options.height)
    runner = Runner(
        model=model,
        work_dir=str(folder / "plain"),
        train_dataloader={
            "batch_size": options.batch,
            "num_workers": options.workers,
            "persistent_workers": options.workers > 0,
            "sampler": {"type": "DefaultSampler", "shuffle": True},
            "dataset": {
                "type": "CocoDataset",
                "ann_file": str(coco / "annotations.json"),
                "data_prefix": {"img": str(coco) + "/"},
                "metainfo": {"classes": tuple(dataset.meta()["CLASSES"])},
                "filter_cfg": {"filter_empty_gt": False},
                "pipeline": pipeline,
            },
        },
        train_cfg={"type": "EpochBasedTrainLoop", "max_epochs": options.epochs},
        optim_wrapper=config.optim_wrapper,
        param_scheduler=scheduled.config.param_scheduler,
        custom_hooks=[{"type": "EpochTimer"}],
        default_scope="mmdet",
        randomness={"seed": 33},
        experiment_name=f"plain{time.time_ns()}",
        log_level="ERROR",
    )
    runner.train()


def compare(name, dataset, coco, options):
    """Train one model each way, and print images per second, ratios to the plain Runner, and losses."""
    speeds: dict = {mode: [] for mode in ("plain Runner", *options.modes)}
    losses: dict = {}
    for _ in range(options.rounds):
        for mode in speeds:
            with tempfile.TemporaryDirectory() as temporary:
                EPOCHS.clear()
                LOSSES.clear()
                if mode == "plain Runner":
                    plain(dataset, coco, Path(temporary), options, name)
                else:
                    ours(dataset, Path(temporary), options, name, mode)
            speeds[mode] += [options.images / second for second in EPOCHS[1:]]
            losses[mode] = list(LOSSES)
            if torch.cuda.is_available():
                MEMORY[mode] = torch.cuda.max_memory_allocated() / 2**30
                torch.cuda.reset_peak_memory_stats()
    print(f"{name}, {options.width}x{options.height}, batch {options.batch}")
    first = statistics.median(speeds["plain Runner"])
    for mode, values in speeds.items():
        memory = f", {MEMORY[mode]:.2f} GiB of GPU memory" if mode in MEMORY else ""
        middle = statistics.median(values)
        curve = " ".join(f"{loss:.3f}" for loss in losses[mode])
        speed = f"{middle:7.2f} images/s ({len(values)} epochs) ratio {middle / first:5.2f}"
        print(f"  {mode:13} {speed}  loss {curve}{memory}")


def main():
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    numbers = {"images": 96, "height": 192, "width": 192, "batch": 8, "epochs": 4, "rounds": 3, "workers": 0}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--models", nargs="+", default=list(MODELS), help=f"{', '.join(MODELS)}, or configs of the zoo")
    ways = [mode for mode in MODES if mode != "plain Runner"]
    parser.add_argument("--modes", nargs="+", default=["default", "bf16"], choices=ways, help="ways to train")
    options = parser.parse_args()
    dataset = Wide(options.images + 1, options.height, options.width)
    with tempfile.TemporaryDirectory() as temporary:
        coco = Path(temporary)
        write_coco(dataset, options.images, coco)
        for name in options.models:
            compare(name, dataset, coco, options)


if __name__ == "__main__":
    main()
