"""Train ultralytics' YOLO-seg for some minutes and answer the validation images; run in an environment of its own.

Usage: python benchmarks/peer_yolo.py DATA MODEL MINUTES SIZE OUT

Writes ``OUT/results.json`` (COCO results, masks at full size) and ``OUT/curve.json`` (seconds and mask AP by epoch,
as ultralytics measures it).
"""

import csv
import json
import sys
import time
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask
from ultralytics import YOLO


def main(data, name, minutes, size, out):
    """Train and answer."""
    data, out = Path(data).resolve(), Path(out).resolve()
    model = YOLO(f"{name}.yaml")
    began = time.perf_counter()
    model.train(
        data=str(data / "data.yaml"), time=float(minutes) / 60, imgsz=int(size), batch=8, epochs=1000, patience=1000,
        project=str(out), name="run", exist_ok=True, device="cpu", workers=0, pretrained=False, plots=False,
        max_det=500, verbose=False,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    model = YOLO(out / "run" / "weights" / "best.pt")
    results = []
    for image in json.loads((data / "val.json").read_text())["images"]:
        path = str(data / "images" / "val" / image["file_name"])
        answer = model.predict(
            path, imgsz=int(size), conf=0.001, iou=0.6, max_det=500, retina_masks=True, verbose=False, device="cpu"
        )[0]
        masks = () if answer.masks is None else answer.masks.data.cpu().numpy() > 0.5
        for mask, score in zip(masks, answer.boxes.conf.tolist(), strict=True):
            rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            rle["counts"] = rle["counts"].decode()
            results.append({"image_id": image["id"], "category_id": 1, "score": score, "segmentation": rle})
    (out / "results.json").write_text(json.dumps(results))
    with (out / "run" / "results.csv").open() as file:
        rows = [{key.strip(): value for key, value in row.items()} for row in csv.DictReader(file)]
    curve = [(float(row["time"]), float(row["metrics/mAP50-95(M)"])) for row in rows]
    (out / "curve.json").write_text(json.dumps({"seconds": seconds, "curve": curve}))


if __name__ == "__main__":
    main(*sys.argv[1:])
