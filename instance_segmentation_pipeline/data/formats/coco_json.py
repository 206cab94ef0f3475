"""COCO's JSON: what was found, or what is there, as ``images``, ``categories`` and ``annotations``.

Format: https://cocodataset.org/#format-data; masks are compressed RLE, boxes ``[x, y, width, height]``, classes from 1.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pycocotools import mask as coco_mask

from ...detection.detections import Detections


def to_coco(entries: Iterable[tuple[str, Detections]], class_names: Sequence[str], scored: bool = True) -> dict:
    """Return images and their objects as COCO's JSON.

    Args:
        entries: File name and objects of each image.
        class_names: Names of the classes, in label order; the first gets category 1.
        scored: Give each annotation its ``score``: predictions. Without, annotations are ground truth.

    Returns:
        A mapping that ``json.dumps`` takes, and ``pycocotools.coco.COCO`` reads from a file.
    """
    images: list[dict] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, found) in enumerate(entries, start=1):
        images.append({"id": number, "file_name": name, "height": found.height, "width": found.width})
        for row in range(len(found)):
            x1, y1, x2, y2 = (float(value) for value in found.bboxes[row])
            annotation: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": int(found.labels[row]) + 1,
                "bbox": [round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2)],
                "area": round((x2 - x1) * (y2 - y1), 2),
                "iscrowd": 0,
            }
            if found.masks is not None:
                annotation["segmentation"] = found.masks[row]
                annotation["area"] = float(coco_mask.area(found.masks[row]))
            if scored:
                annotation["score"] = round(float(found.scores[row]), 6)
            annotations.append(annotation)
    categories = [{"id": number, "name": name} for number, name in enumerate(class_names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}
