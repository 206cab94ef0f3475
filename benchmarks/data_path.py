"""What an item costs on its way from a dataset to the model: ours beside MMDetection's CocoDataset, in one run.

    python benchmarks/data_path.py [--repeat 5] [--items 8]

The whole train pipeline (resize, flip, pack) runs on the same images: by CocoDataset from JPEG files and COCO RLE, by
ours from the same files and RLE read in ``__getitem__``, by ours from arrays in memory with dense masks, and with RLE.
CPU seconds of one thread, the best of several rounds; bytes are those that a worker would send for an item.
"""

import argparse
import json
import os
import pickle
import tempfile
import time
import tracemalloc
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from musket_core.datasets import PredictionItem
from pycocotools import mask as coco_mask

from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.training.detection_dataset import MusketDetectionDataset

CASES = (((192, 192), (256, 256), 4), ((480, 640), (600, 800), 22), ((1024, 1024), (1024, 1024), 300))


def scene(size, count, random):
    """Return image, boxes ``xyxy`` and dense masks of ellipses on noise."""
    height, width = size
    image = cv2.resize(random.integers(0, 255, (height // 8, width // 8, 3), np.uint8), (width, height))
    masks = np.zeros((count, height, width), bool)
    radius = max(4, int(0.5 * np.sqrt(height * width / count) / 1.5))
    for mask in masks:
        canvas = np.zeros(size, np.uint8)
        centre = (int(random.integers(width)), int(random.integers(height)))
        axes = (int(random.integers(3, radius + 1)), int(random.integers(3, radius + 1)))
        cv2.ellipse(canvas, centre, axes, int(random.integers(180)), 0, 360, 1, -1)
        mask[:] = canvas
        image[mask] = random.integers(0, 255, 3)
    edges = [(np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))) for mask in masks]
    boxes = np.array([(x[0], y[0], x[-1] + 1, y[-1] + 1) for x, y in edges], np.float32)
    return image, boxes, masks


class Items:
    """A Musket dataset over scenes; ``kind`` is ``dense``, ``rle`` or ``files``."""

    def __init__(self, scenes, kind, folder):
        self.scenes, self.kind, self.folder = scenes, kind, folder
        self.rles = [encoded(masks) for _, _, masks in scenes]

    def __len__(self):
        return len(self.scenes)

    def __getitem__(self, number):
        image, boxes, masks = self.scenes[number]
        if self.kind == "files":
            image = cv2.cvtColor(cv2.imread(str(self.folder / f"{number}.jpg")), cv2.COLOR_BGR2RGB)
        masks = masks if self.kind == "dense" else self.rles[number]
        return PredictionItem(str(number), image, (np.ones(len(boxes), int), boxes, masks))


def encoded(masks):
    """Return masks as COCO RLE with text counts."""
    rles = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    return [{"size": rle["size"], "counts": rle["counts"].decode()} for rle in rles]


def write_coco(scenes, folder):
    """Write scenes as JPEG files and COCO JSON."""
    images, annotations = [], []
    for number, (image, boxes, masks) in enumerate(scenes):
        cv2.imwrite(str(folder / f"{number}.jpg"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        images.append({"id": number, "file_name": f"{number}.jpg", "height": image.shape[0], "width": image.shape[1]})
        for (x1, y1, x2, y2), rle, mask in zip(boxes.tolist(), encoded(masks), masks, strict=True):
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": int(mask.sum()), "iscrowd": 0, "segmentation": rle}
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": 1, **box})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "blob"}]}
    (folder / "annotations.json").write_text(json.dumps(content))


def steps(size):
    """Return the train pipeline after loading."""
    return [
        {"type": "Resize", "scale": (size[1], size[0]), "keep_ratio": True},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PackDetInputs"},
    ]


def native(folder, size):
    """Return MMDetection's CocoDataset over the files."""
    import mmdet.datasets  # noqa: F401 - registers them
    from mmdet.registry import DATASETS
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    loading = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True}]
    return DATASETS.build(
        {
            "type": "CocoDataset",
            "ann_file": str(folder / "annotations.json"),
            "data_prefix": {"img": str(folder)},
            "metainfo": {"classes": ("blob",)},
            "pipeline": [*loading, *steps(size)],
        }
    )


def measure(dataset, repeat):
    """Return CPU seconds, bytes on the way, and peak bytes of memory for an item."""
    best = float("inf")
    for _ in range(repeat):
        began = time.process_time()
        for number in range(len(dataset)):
            dataset[number]
        best = min(best, (time.process_time() - began) / len(dataset))
    data = dataset[0]
    tracemalloc.start()
    dataset[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return best, len(pickle.dumps(data, protocol=5)), peak


def main():
    """Measure each case, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--items", type=int, default=8)
    options = parser.parse_args()
    print(f"{'case':>28} {'dataset':>22} {'ms':>8} {'items/s':>8} {'ratio':>6} {'sent kB':>9} {'peak MB':>8}")
    for source, target, count in CASES:
        random = np.random.default_rng(0)
        scenes = [scene(source, count, random) for _ in range(options.items if count < 100 else 3)]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_coco(scenes, folder)
            rows = {"CocoDataset, JPEG, RLE": native(folder, target)}
            reader = ItemReader(1, "xyxy", "dataset", True)
            for label, kind in (("JPEG, RLE", "files"), ("memory, dense", "dense"), ("memory, RLE", "rle")):
                items = Items(scenes, kind, folder)
                numbers = range(len(scenes))
                rows[f"ours, {label}"] = MusketDetectionDataset(
                    items, numbers, reader, steps(target), ("blob",), training=True
                )
            first = None
            for label, dataset in rows.items():
                seconds, sent, peak = measure(dataset, options.repeat)
                first = first or seconds
                where = f"{source[0]}x{source[1]} to {target[0]}x{target[1]}, {count}"
                print(
                    f"{where:>28} {label:>22} {seconds * 1e3:8.1f} {1 / seconds:8.1f} {first / seconds:6.2f} "
                    f"{sent / 1e3:9.0f} {peak / 1e6:8.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
