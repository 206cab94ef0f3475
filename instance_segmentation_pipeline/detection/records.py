"""Instances as MMDetection's files write them: annotations of its CustomDataset, and records of its transforms."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .arrays import Annotation, TruthRecord
from .crowds import with_crowds
from .instances import Instances
from .mask_crops import MaskCrops


def to_middle_format(instances: Instances, filename: str) -> TruthRecord:
    """Return one annotation as MMDetection's CustomDataset describes it (its "middle format").

    ``filename``, ``width``, ``height`` and ``ann`` with ``bboxes (N, 4) float32 xyxy``, ``labels (N,) int64``
    from 0, and, where there are masks, ``masks``: a list of COCO RLE dicts whose ``counts`` are text; of crowds
    ``bboxes_ignore (M, 4)``, ``labels_ignore (M,)``, and, where there are some, ``masks_ignore``.

    >>> one = Instances(60, 80, np.array([0]), np.array([[10, 10, 30, 20]], np.float32), None)
    >>> to_middle_format(one, "a.png")["ann"]["bboxes"]
    array([[10., 10., 30., 20.]], dtype=float32)
    """
    annotation: Annotation = {
        "bboxes": instances.bboxes,
        "labels": instances.labels,
        "bboxes_ignore": np.zeros((0, 4), np.float32),
        "labels_ignore": np.zeros((0,), np.int64),
    }
    if instances.masks is not None:
        annotation["masks"] = instances.masks.to_rles()
    if instances.crowds is not None:
        labels, regions = instances.crowds
        annotation |= {"bboxes_ignore": regions.tight_boxes(), "labels_ignore": labels}
        annotation["masks_ignore"] = regions.to_rles()
    return {"filename": filename, "width": instances.width, "height": instances.height, "ann": annotation}


def from_middle_format(record: TruthRecord) -> Instances:
    """Translate one annotation of ``to_middle_format`` back.

    >>> one = Instances(60, 80, np.array([0]), np.array([[10, 10, 30, 20]], np.float32), None)
    >>> from_middle_format(to_middle_format(one, "a.png")).labels
    array([0])
    """
    annotation = record["ann"]
    rles = annotation.get("masks")
    masks = None if rles is None else MaskCrops.from_rles(rles, record["height"], record["width"])
    crowds = None
    if "masks_ignore" in annotation:
        regions = MaskCrops.from_rles(annotation["masks_ignore"], record["height"], record["width"])
        crowds = annotation["labels_ignore"], regions
    return Instances(record["height"], record["width"], annotation["labels"], annotation["bboxes"], masks, crowds)


def to_coco_entry(image_id: int, label: int, bbox: Iterable[float]) -> dict[str, Any]:
    """Return what each annotation and each result of COCO's JSON has: image, category, and ``[x, y, width, height]``.

    Args:
        image_id: Number of the image.
        label: Class, from 0; categories count from 1.
        bbox: ``x1, y1, x2, y2``.

    >>> to_coco_entry(7, 0, [1, 2, 4, 8])
    {'image_id': 7, 'category_id': 1, 'bbox': [1.0, 2.0, 3.0, 6.0]}
    """
    x1, y1, x2, y2 = (float(value) for value in bbox)
    return {"image_id": image_id, "category_id": int(label) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}


def to_records(instances: Instances) -> list[dict[str, Any]]:
    """Return instances as MMDetection's annotation files have them, for transforms that work on such records.

    Each has ``bbox`` ``[x1, y1, x2, y2]``, ``bbox_label`` from 0, ``ignore_flag``, which is 1 for crowds, and ``mask``,
    an uncompressed COCO RLE: InstaBoost takes no other.

    >>> to_records(Instances(60, 80, np.array([0]), np.array([[10, 10, 30, 20]], np.float32), None))
    [{'bbox': [10.0, 10.0, 30.0, 20.0], 'bbox_label': 0, 'ignore_flag': 0}]
    """
    records: list[dict[str, Any]] = []
    whole, flags = with_crowds(instances)
    for row, (label, bbox, flag) in enumerate(zip(whole.labels, whole.bboxes, flags, strict=True)):
        records.append({"bbox": bbox.tolist(), "bbox_label": int(label), "ignore_flag": int(flag)})
        if whole.masks is not None:
            counts = whole.masks.run_lengths(row).tolist()
            records[-1]["mask"] = {"size": [instances.height, instances.width], "counts": counts}
    return records
