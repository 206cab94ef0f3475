"""Folds beside their blends, on a holdout that none has seen: the shapes project, trained here.

Prints mask and box AP of each fold, and of every kind of fusion, with and without test-time augmentation. Usage:

    python benchmarks/ensembles.py [--epochs 30] [--folds 3] [--keep FOLDER]
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

from musket_core import generic

from instance_segmentation_pipeline.detection.fusion import METHODS
from instance_segmentation_pipeline.visualization.text_table import table

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """#%Musket MMDetection 1.0
configPath: {root}/configs/rtmdet-ins_tiny_small-images.py
pretrained: false
shape: [96, 96]
imagesPerGpu: 8
folds_count: {folds}
testSplit: 0.3
stages:
  - epochs: {epochs}
    lr: 0.004
fusion: {fusion}
"""
METRICS = ("coco_segm_mAP", "coco_segm_mAP_50", "coco_bbox_mAP", "segm_F1", "mask_IoU")


def main() -> None:
    """Train, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--keep", type=Path, help="folder to train in, and to find trained folds in")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "examples" / "shapes" / "modules"))
    from shapes import Shapes

    dataset = Shapes(options.images, 96, 3)
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "config.yaml"
        rows = [["holdout", *METRICS, "seconds"]]

        def config(fusion: str = "weighted") -> object:
            path.write_text(CONFIG.format(root=ROOT, folds=options.folds, epochs=options.epochs, fusion=fusion))
            return generic.parse(str(path))

        cfg = config()
        if not (folder / "summary.yaml").exists():
            cfg.fit(dataset)
        folds = list(range(options.folds))
        asked = [(f"fold {fold}", "weighted", fold, None) for fold in folds]
        asked += [(f"folds, {method}", method, folds, None) for method in METHODS]
        asked += [
            ("fold 0, Horizontal", "weighted", 0, "Horizontal"),
            ("folds, Horizontal", "weighted", folds, "Horizontal"),
        ]
        for name, method, fold, views in asked:
            cfg = config(method)
            cfg.testTimeAugmentation = views
            cfg.check(dataset)
            began = time.perf_counter()
            values = cfg.evaluate("holdout", fold, 0)
            rows.append([name, *(f"{values[metric]:.4f}" for metric in METRICS), f"{time.perf_counter() - began:.1f}"])
        print(table(rows))


if __name__ == "__main__":
    main()
