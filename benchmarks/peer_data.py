"""The images of ``peers.py``, written once as COCO JSON, YOLO-seg labels and PNG files that all contenders read."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

ROOT = Path(__file__).resolve().parent.parent
CELL = 256


def coins():
    """Return crops of scikit-image's coins: ``(train, validation)`` lists of ``(image, masks)``."""
    sys.path.insert(0, str(ROOT / "examples" / "coins" / "modules"))
    from coins import get_coins

    dataset = get_coins(train_crops=160, size=160)
    return tuple([(dataset[n].x, dataset[n].y[2]) for n in positions] for positions in dataset.folds[0])


def scenes(count=240, validation=48, size=256):
    """Return generated cells: ellipses of 4 to 15 pixels that touch and cover each other, 30 to 90 an image."""
    drawn = [_scene(np.random.default_rng(number), size) for number in range(count + validation)]
    return drawn[:count], drawn[count:]


def _scene(random, size):
    image = random.normal(random.uniform(20, 90), 6, (size, size)).astype(np.float32)
    numbered = np.zeros((size, size), np.int32)
    for number in range(1, int(random.integers(30, 91)) + 1):
        mask = np.zeros((size, size), np.uint8)
        middle = tuple(int(value) for value in random.integers(0, size, 2))
        axes = tuple(int(value) for value in random.integers(4, 16, 2))
        cv2.ellipse(mask, middle, axes, float(random.uniform(0, 180)), 0, 360, 1, -1)
        numbered[mask > 0] = number
        image[mask > 0] = random.uniform(110, 220) + random.normal(0, 8, int(mask.sum()))
    image = cv2.GaussianBlur(image, (0, 0), 1.0)
    masks = np.array([numbered == number for number in np.unique(numbered) if number])
    masks = masks[masks.sum(axis=(1, 2)) > 12]
    return cv2.cvtColor(np.clip(image, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB), masks


def nuclei(folder, share=0.7):
    """Return cells of at most 256 pixels of the images in a folder of the 2018 Data Science Bowl's form."""
    folders = sorted(entry for entry in Path(folder).iterdir() if (entry / "masks").is_dir())
    first = round(share * len(folders))
    parts = ([], [])
    for number, entry in enumerate(folders):
        image = cv2.cvtColor(cv2.imread(str(next((entry / "images").iterdir()))), cv2.COLOR_BGR2RGB)
        masks = np.array([cv2.imread(str(path), 0) > 0 for path in sorted((entry / "masks").glob("*.png"))])
        for top, left in [(0, 0), *_others(image.shape)]:
            rows, columns = slice(top, top + CELL), slice(left, left + CELL)
            cut = masks[:, rows, columns]
            parts[number >= first].append((image[rows, columns], cut[cut.sum(axis=(1, 2)) > 12]))
    return parts


def _others(shape):
    tops, lefts = (range(0, max(1, side - CELL // 2), CELL) for side in shape[:2])
    return [(top, left) for top in tops for left in lefts if (top, left) != (0, 0)]


def write(parts, folder):
    """Write ``train`` and ``val``: images, ``<part>.json`` (COCO), labels of YOLO-seg beside, and its ``data.yaml``."""
    for name, part in zip(("train", "val"), parts, strict=True):
        images, labels = folder / "images" / name, folder / "labels" / name
        images.mkdir(parents=True), labels.mkdir(parents=True)
        entries, annotations = [], []
        for number, (image, masks) in enumerate(part):
            stem = f"{name}{number:04d}"
            cv2.imwrite(str(images / f"{stem}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            height, width = image.shape[:2]
            entries.append({"id": number, "file_name": f"{stem}.png", "height": height, "width": width})
            annotations.extend([_annotation(mask, number, len(annotations) + at) for at, mask in enumerate(masks, 1)])
            lines = [_polygon(mask) for mask in masks]
            (labels / f"{stem}.txt").write_text("".join(f"0 {line}\n" for line in lines if line))
        content = {"images": entries, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "data.yaml").write_text(f"path: {folder}\ntrain: images/train\nval: images/val\nnames: [object]\n")


def _annotation(mask, image, number):
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    area, bbox = float(coco_mask.area(rle)), coco_mask.toBbox(rle).tolist()
    rle["counts"] = rle["counts"].decode()
    return {
        "id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "area": area, "bbox": bbox, "segmentation": rle
    }  # fmt: skip


def _polygon(mask):
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(found, key=cv2.contourArea)[:, 0]
    if len(largest) < 3:
        return ""
    height, width = mask.shape
    return " ".join(f"{value:.6f}" for value in ((largest + 0.5) / (width, height)).ravel())
