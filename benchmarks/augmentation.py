"""What augmenting an item costs, and how exact its masks are: ours, albumentations and MMDetection's own transforms.

    python benchmarks/augmentation.py [--items 10] [--repeat 3] [--objects 20] [--without-albumentations]

Images of 800 x 1333 pixels with 20 ellipses, whose masks after a flip or a turn by 20 degrees are known exactly. Each
library is given masks in the form it works on: crops, dense arrays, BitmapMasks. CPU seconds of one thread, the best of
several rounds; all in one run. albumentations runs in an environment of its own, made in a temporary folder from the
package index; a line says so where it cannot be had.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import cv2
import numpy as np

HEIGHT, WIDTH, ANGLE = 800, 1333, 20
CASES = ("flip", "affine", "colour", "flip, affine, colour")


def scenes(items, objects):
    """Return for each item its image, its ellipses ``x, y, a, b, radians``, and their dense masks."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(items):
        noise = random.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3)).astype(np.uint8)
        image = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        centre = random.uniform((100, 100), (WIDTH - 100, HEIGHT - 100), (objects, 2))
        ellipses = np.concatenate([centre, random.uniform(30, 90, (objects, 2)), random.uniform(0, 3, (objects, 1))], 1)
        made.append((image, ellipses, rasterized(ellipses, np.eye(3))))
    return made


def rasterized(ellipses, back):
    """Return dense masks ``(N, H, W)`` of ellipses; ``back`` takes a pixel's centre to where it lay before."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    u, v = (back[row, 0] * x + back[row, 1] * y + back[row, 2] for row in (0, 1))
    masks = np.zeros((len(ellipses), HEIGHT, WIDTH), np.uint8)
    for mask, (cx, cy, a, b, angle) in zip(masks, ellipses, strict=True):
        cos, sin = np.cos(angle), np.sin(angle)
        mask[:] = (((u - cx) * cos + (v - cy) * sin) / a) ** 2 + ((v - cy) * cos - (u - cx) * sin) ** 2 / b**2 <= 1
    return masks


def ways_back(case):
    """Return the matrices that undo a case; libraries do not agree which way an angle turns."""
    flip = np.array([[-1, 0, WIDTH], [0, 1, 0], [0, 0, 1]], float) if "flip" in case else np.eye(3)
    turns = [np.eye(3)]
    if "affine" in case:
        turns = []
        for sign in (1, -1):
            cos, sin = np.cos(np.radians(ANGLE)), sign * np.sin(np.radians(ANGLE))
            to, off = np.eye(3), np.eye(3)
            to[:2, 2], off[:2, 2] = (WIDTH / 2, HEIGHT / 2), (-WIDTH / 2, -HEIGHT / 2)
            turns.append(to @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ off)
    return [flip @ turn for turn in turns]


def overlaps(case, ellipses, masks):
    """Return IoU ``(N,)`` of masks with the exact ones, in the direction that fits better."""
    found = []
    for back in ways_back(case):
        exact = rasterized(ellipses, back) != 0
        there = exact.sum((1, 2)) > 500
        both, either = (exact & (masks != 0)).sum((1, 2)), (exact | (masks != 0)).sum((1, 2))
        found.append((both / np.maximum(either, 1))[there])
    return max(found, key=np.mean)


def measure(case, made, run, masks_of, repeat):
    """Return seconds of CPU an item, and mean and worst IoU with the exact masks."""
    best = float("inf")
    for _ in range(repeat):
        began = time.process_time()
        for number in range(len(made)):
            run(number)
        best = min(best, (time.process_time() - began) / len(made))
    ious = np.concatenate(
        [overlaps(case, made[n][1], masks_of(run(n), len(made[n][1]))) for n in range(min(3, len(made)))]
    )
    return best, float(ious.mean()), float(ious.min())


def boxes_of(masks):
    """Return tight boxes ``(N, 4)`` float32."""
    edges = [(np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))) for mask in masks]
    return np.array([(x[0], y[0], x[-1] + 1, y[-1] + 1) for x, y in edges], np.float32)


def ours(case, made, repeat):
    """Measure our augmentation, from YAML."""
    from instance_segmentation_pipeline.data.augmentation.augmentation import Augmentation
    from instance_segmentation_pipeline.data.augmentation.declaration import Surroundings, built
    from instance_segmentation_pipeline.detection.instances import Instances
    from instance_segmentation_pipeline.detection.mask_crops import MaskCrops

    steps = {
        "flip": [{"Fliplr": 1.0}],
        "affine": [{"Affine": {"rotate": ANGLE}}],
        "colour": [{"Multiply": [0.8, 1.2]}, {"LinearContrast": [0.8, 1.2]}],
    }
    augmentation = Augmentation(
        built([s for key in steps if key in case for s in steps[key]], "augmentation", Surroundings())
    )
    items = []
    for image, _, masks in made:
        crops = MaskCrops.from_dense(masks)
        items.append((image, Instances(HEIGHT, WIDTH, np.arange(len(masks)), crops.tight_boxes(), crops)))

    def dense(answer, count):
        whole = np.zeros((count, HEIGHT, WIDTH), np.uint8)
        whole[answer[1].labels] = answer[1].masks.to_dense()
        return whole

    return measure(case, made, lambda n: augmentation(*items[n], n), dense, repeat)


def mmdetection(case, made, repeat):
    """Measure MMDetection's transforms on BitmapMasks."""
    import mmdet.datasets.transforms  # noqa: F401 - registers them
    import torch
    from mmcv.transforms import Compose
    from mmdet.registry import TRANSFORMS
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    torch.set_num_threads(1)
    steps = {
        "flip": [{"type": "RandomFlip", "prob": 1.0}],
        "affine": [
            {
                "type": "Rotate",
                "prob": 1.0,
                "min_mag": ANGLE,
                "max_mag": ANGLE,
                "reversal_prob": 0.0,
                "img_border_value": 0,
            }
        ],
        "colour": [
            {"type": "Brightness", "prob": 1.0, "min_mag": 0.8, "max_mag": 1.2},
            {"type": "Contrast", "prob": 1.0, "min_mag": 0.8, "max_mag": 1.2},
        ],
    }
    pipeline = Compose([TRANSFORMS.build(s) for key in steps if key in case for s in steps[key]])
    boxes = [boxes_of(masks) for _, _, masks in made]

    def run(number):
        image, _, masks = made[number]
        return pipeline(
            {
                "img": image.copy(),
                "img_shape": (HEIGHT, WIDTH),
                "gt_bboxes": HorizontalBoxes(torch.from_numpy(boxes[number].copy())),
                "gt_bboxes_labels": np.arange(len(masks)),
                "gt_ignore_flags": np.zeros(len(masks), bool),
                "gt_masks": BitmapMasks(masks, HEIGHT, WIDTH),
            }
        )

    def dense(answer, count):
        whole = np.zeros((count, HEIGHT, WIDTH), np.uint8)
        whole[answer["gt_bboxes_labels"]] = answer["gt_masks"].masks
        return whole

    return measure(case, made, run, dense, repeat)


def albumentations(case, made, repeat):
    """Measure albumentations; runs in its own environment."""
    import albumentations as A

    steps = {
        "flip": [A.HorizontalFlip(p=1)],
        "affine": [A.Affine(rotate=(ANGLE, ANGLE), p=1)],
        "colour": [A.RandomBrightnessContrast(0.2, 0.2, p=1)],
    }
    boxed = A.BboxParams(format="pascal_voc", label_fields=["labels"])
    pipeline = A.Compose([s for key in steps if key in case for s in steps[key]], bbox_params=boxed)
    boxes = [boxes_of(masks) for _, _, masks in made]

    def run(number):
        image, _, masks = made[number]
        return pipeline(image=image, masks=masks, bboxes=boxes[number], labels=np.arange(len(masks)))

    return measure(case, made, run, lambda answer, _: np.asarray(answer["masks"]), repeat)


def in_own_environment(folder, options):
    """Return albumentations' measurements by case, or a sentence that says why there are none."""
    print("albumentations: an environment of its own is made …", flush=True)
    try:
        venv.create(folder, with_pip=True)
        python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "albumentations>=2,<3"]
        subprocess.run(install, check=True, capture_output=True, text=True, timeout=900)
        answer = folder / "answer.json"
        arguments = [f"--{name}={getattr(options, name)}" for name in ("items", "repeat", "objects")]
        subprocess.run(
            [str(python), __file__, "--worker", str(answer), *arguments], check=True, text=True, timeout=1800
        )
        return json.loads(answer.read_text())
    except (subprocess.SubprocessError, OSError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()
        return f"albumentations cannot be installed or run here ({said[-1][:200] if said else error}): left out"


def main():
    """Measure each case with each library, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--without-albumentations", action="store_true")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    made = scenes(options.items, options.objects)
    if options.worker is not None:
        options.worker.write_text(json.dumps({case: albumentations(case, made, options.repeat) for case in CASES}))
        return
    others = {"MMDetection": {case: mmdetection(case, made, options.repeat) for case in CASES}}
    if not options.without_albumentations:
        with tempfile.TemporaryDirectory() as folder:
            found = in_own_environment(Path(folder), options)
        if isinstance(found, str):
            print(found)
        else:
            others["albumentations"] = found
    print(f"\n{HEIGHT} x {WIDTH} pixels, {options.objects} masks, Python {sys.version.split()[0]}, one thread")
    print(f"{'case':>22} {'library':>16} {'ms':>8} {'items/CPU s':>12} {'ours is':>9} {'IoU':>8} {'worst':>8}")
    for case in CASES:
        rows = {"ours": ours(case, made, options.repeat), **{name: found[case] for name, found in others.items()}}
        for name, (seconds, mean, worst) in rows.items():
            ratio = "" if name == "ours" else f"{seconds / rows['ours'][0]:.2f} x"
            print(f"{case:>22} {name:>16} {seconds * 1e3:8.1f} {1 / seconds:12.1f} {ratio:>9} {mean:8.4f} {worst:8.4f}")


if __name__ == "__main__":
    main()
