"""Folders of annotated images as people have them, one of each format, small enough to train on in seconds."""

import json

import numpy as np
from PIL import Image

SIDE = 64
NAMES = ("square", "bar")


def scene(seed, side=SIDE):
    """Return an image ``(side, side, 3)`` uint8, and label (from 1) and box ``x1, y1, x2, y2`` of each object on it."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (side, side, 3)).astype(np.uint8)
    objects = []
    for label, place in ((1, side // 16), (2, side // 2)):
        wide, high = (side // 4, side // 4) if label == 1 else (side // 3, side // 8)
        left, top = place + int(rng.integers(0, side // 8)), place + int(rng.integers(0, side // 8))
        image[top : top + high, left : left + wide] = (220, 40, 40) if label == 1 else (40, 40, 220)
        objects.append((label, (left, top, left + wide, top + high)))
    return image, objects


def _image(folder, number, suffix=".jpg", side=SIDE):
    folder.mkdir(parents=True, exist_ok=True)
    image, objects = scene(number, side)
    Image.fromarray(image).save(folder / f"photo{number}{suffix}")
    return image, objects


def _mask(objects, value, side=SIDE):
    mask = np.zeros((side, side), np.uint8)
    for number, (label, (x1, y1, x2, y2)) in enumerate(objects, 1):
        mask[y1:y2, x1:x2] = value(number, label)
    return Image.fromarray(mask)


def _corners(box):
    x1, y1, x2, y2 = box
    return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]


def coco(root, count=6):
    """Write ``images/`` and ``annotations.json``."""
    whole = {
        "images": [],
        "annotations": [],
        "categories": [{"id": n, "name": name} for n, name in enumerate(NAMES, 1)],
    }
    for number in range(count):
        _, objects = _image(root / "images", number)
        whole["images"].append({"id": number, "file_name": f"photo{number}.jpg", "width": SIDE, "height": SIDE})
        for label, box in objects:
            segmentation = [[float(value) for point in _corners(box) for value in point]]
            one = {"id": len(whole["annotations"]) + 1, "image_id": number, "category_id": label, "iscrowd": 0}
            x1, y1, x2, y2 = box
            size = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
            whole["annotations"].append({**one, "segmentation": segmentation, **size})
    (root / "annotations.json").write_text(json.dumps(whole))
    return root


def labelme(root, count=6):
    """Write images and a JSON beside each."""
    for number in range(count):
        _, objects = _image(root, number)
        shapes = [
            {"label": NAMES[label - 1], "points": _corners(box), "shape_type": "polygon", "group_id": None, "flags": {}}
            for label, box in objects
        ]
        whole = {"version": "5.0", "flags": {}, "shapes": shapes, "imagePath": f"photo{number}.jpg", "imageData": None}
        (root / f"photo{number}.json").write_text(json.dumps({**whole, "imageHeight": SIDE, "imageWidth": SIDE}))
    return root


def voc(root, count=6):
    """Write ``JPEGImages``, ``SegmentationObject`` and ``SegmentationClass``, whose classes are 1 and 2 of VOC's."""
    for number in range(count):
        _, objects = _image(root / "JPEGImages", number)
        for folder, value in (("Object", lambda place, label: place), ("Class", lambda place, label: label)):
            drawn = root / f"Segmentation{folder}"
            drawn.mkdir(exist_ok=True)
            _mask(objects, value).save(drawn / f"photo{number}.png")
    return root


def nuclei(root, count=6):
    """Write a folder an image, with a mask an object."""
    for number in range(count):
        _, objects = _image(root / f"case{number}" / "images", number, ".png")
        for place, one in enumerate(objects):
            folder = root / f"case{number}" / "masks"
            folder.mkdir(exist_ok=True)
            _mask([one], lambda place, label: 255).save(folder / f"object{place}.png")
    return root


def two_folders(root, count=6):
    """Write a folder of JPEG images and one of PNG masks: a value an object."""
    (root / "masks").mkdir(parents=True)
    for number in range(count):
        _, objects = _image(root / "images", number)
        _mask(objects, lambda place, label: place).save(root / "masks" / f"photo{number}.png")
    return root


def yolo(root, count=6):
    """Write ``images``, ``labels`` and ``classes.txt``."""
    (root / "labels").mkdir(parents=True)
    for number in range(count):
        _, objects = _image(root / "images", number)
        lines = [
            " ".join([str(label - 1), *(f"{value / SIDE:.6f}" for point in _corners(box) for value in point)])
            for label, box in objects
        ]
        (root / "labels" / f"photo{number}.txt").write_text("\n".join(lines))
    (root / "classes.txt").write_text("\n".join(NAMES))
    return root


FORMATS = {"coco": coco, "labelme": labelme, "voc": voc, "nuclei": nuclei, "two_folders": two_folders, "yolo": yolo}
