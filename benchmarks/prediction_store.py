"""The prediction store at the size of a real dataset: megabytes, write and read rates, memory.

Objects are blobs with ragged outlines, 20 an image of 800x1333. The same predictions as dense arrays, as musket_core
stores them, are given for comparison. Usage:

    python benchmarks/prediction_store.py [--images 10000]
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.inference.prediction_store import PredictionStore, writing

HEIGHT, WIDTH, OBJECTS = 800, 1333, 20


class Blank:
    """Stands for a dataset of images that nobody looks at."""

    name = "blank"

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count


def blobs(random: np.random.Generator, count: int) -> Detections:
    """Return detections with ragged outlines."""
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radius = np.exp(random.uniform(np.log(8), np.log(220), (count, 1)))
    ragged = radius * (1 + 0.12 * random.standard_normal((count, 90)))
    x = np.clip(random.uniform(0, WIDTH, (count, 1)) + ragged * np.cos(angles), 0, WIDTH)
    y = np.clip(random.uniform(0, HEIGHT, (count, 1)) + 0.8 * ragged * np.sin(angles), 0, HEIGHT)
    outlines = np.stack([x, y], axis=2).reshape(count, -1)
    masks = [coco_mask.frPyObjects([outline.tolist()], HEIGHT, WIDTH)[0] for outline in outlines]
    rles = [{"size": mask["size"], "counts": mask["counts"].decode("ascii")} for mask in masks]
    bboxes = np.stack([x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)], axis=1).astype(np.float32)
    scores = np.sort(random.random(count).astype(np.float32))[::-1]
    return Detections(HEIGHT, WIDTH, random.integers(0, 80, count), scores, bboxes, rles)


def megabytes() -> float:
    """Return the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Write, open and read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    count = parser.parse_args().images
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        store = PredictionStore(Blank(count), Path(folder) / "store.sqlite", fingerprint="benchmark")
        before, spent = megabytes(), 0.0
        with writing(store):
            for _ in range(count):
                found = blobs(random, OBJECTS)
                began = time.perf_counter()
                store.append(found)
                spent += time.perf_counter() - began
        size = store.path.stat().st_size / 1e6
        dense = count * OBJECTS * HEIGHT * WIDTH / 1e6
        print(f"{count} images with {OBJECTS} objects of {HEIGHT}x{WIDTH}: {size:.0f} MB; dense {dense / 1e3:.0f} GB")
        print(f"written: {count / spent:.0f} images/s; memory grew by {megabytes() - before:.0f} MB")
        fresh = PredictionStore(Blank(count), store.path, fingerprint="benchmark")
        began = time.perf_counter()
        assert fresh.is_current()
        fresh.detections(count // 2)
        print(f"opened, checked and read one: {1e3 * (time.perf_counter() - began):.1f} ms")
        order = random.permutation(count)[: min(count, 2000)]
        began = time.perf_counter()
        for number in order:
            fresh.detections(int(number))
        print(f"read at random: {len(order) / (time.perf_counter() - began):.0f} images/s")
        began = time.perf_counter()
        for number in order[:50]:
            fresh.detections(int(number)).to_musket()
        print(f"with dense masks: {50 / (time.perf_counter() - began):.0f} images/s ({os.cpu_count()} cores)")


if __name__ == "__main__":
    main()
