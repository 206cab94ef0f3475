"""Trains configs of MMDetection's zoo, as published, for an epoch on four small images, each in its own process.

Each config is prepared from YAML, trains from random weights, validates, saves, loads and predicts. Prints a table,
and ends non-zero when one fails. Usage:

    python tools/zoo_check.py                     one config of every architecture, and the documentation's HTC
    python tools/zoo_check.py --boxes             one config of each box-only architecture
    python tools/zoo_check.py rtmdet/rtmdet-ins_s_8xb32-300e_coco.py …
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

INSTANCES = (
    "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
    "htc/htc_x101-64x4d-dconv-c3-c5_fpn_ms-400-1400-16xb1-20e_coco.py",
    "mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
    "solov2/solov2_r50_fpn_1x_coco.py",
    "ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco.py",
    "solo/solo_r50_fpn_1x_coco.py",
    "queryinst/queryinst_r50_fpn_1x_coco.py",
    "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py",
    "scnet/scnet_r50_fpn_1x_coco.py",
    "yolact/yolact_r50_1xb8-55e_coco.py",
    "boxinst/boxinst_r50_fpn_ms-90k_coco.py",
    "point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py",
    "condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py",
    "detectors/detectors_htc-r50_1x_coco.py",
    "swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py",
)
BOXES = (
    "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py",
    "retinanet/retinanet_r50_fpn_1x_coco.py",
    "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py",
    "atss/atss_r50_fpn_1x_coco.py",
    "tood/tood_r50_fpn_1x_coco.py",
    "yolox/yolox_tiny_8xb8-300e_coco.py",
    "yolo/yolov3_d53_8xb8-320-273e_coco.py",
    "rtmdet/rtmdet_tiny_8xb32-300e_coco.py",
    "vfnet/vfnet_r50_fpn_1x_coco.py",
    "sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py",
    "detr/detr_r50_8xb2-150e_coco.py",
    "deformable_detr/deformable-detr_r50_16xb2-50e_coco.py",
    "dino/dino-4scale_r50_8xb2-12e_coco.py",
    "centernet/centernet_r18_8xb16-crop512-140e_coco.py",
    "ssd/ssd300_coco.py",
)


def check(name: str, classes: int, size: tuple[int, int]) -> None:
    """Train, validate, save, load and predict with one config, in this process."""
    sys.path.insert(0, str(ROOT / "examples" / "shapes" / "modules"))
    from musket_core import generic
    from shapes import Shapes

    dataset = Shapes(8, 96, 1)
    dataset.meta = dict
    dataset.folds = [([0, 1, 2, 3], [4, 5, 6, 7])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(
            f"#%Musket MMDetection 1.0\nconfigPath: mmdet::{name}\npretrained: false\nclasses: {classes}\n"
            f"shape: [{size[0]}, {size[1]}]\nimagesPerGpu: 2\nlr: 1.0e-4\nstages:\n  - epochs: 1\n"
        )
        cfg = generic.parse(str(path))
        cfg.fit(dataset)
        cfg.load_model().predict([dataset[number].x for number in range(4)])


def main() -> int:
    """Check the configs that were asked for; return how many failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="*", help="configs of the zoo; by default one of each architecture")
    parser.add_argument("--boxes", action="store_true", help="box-only architectures")
    parser.add_argument("--classes", type=int, default=46)
    parser.add_argument("--height", type=int, help="default 128, or 512 with --boxes: SSD and DINO need that much")
    parser.add_argument("--width", type=int, help="default 160, or 512 with --boxes")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.height = options.height or (512 if options.boxes else 128)
    options.width = options.width or (512 if options.boxes else 160)
    if options.in_process:
        check(options.configs[0], options.classes, (options.height, options.width))
        print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f}")
        return 0
    failed = 0
    print(f"{'config':72} {'seconds':>8} {'GiB':>6}  result", flush=True)
    for name in options.configs or (BOXES if options.boxes else INSTANCES):
        began = time.monotonic()
        command = [sys.executable, __file__, "--in-process", name, "--classes", str(options.classes)]
        command += ["--height", str(options.height), "--width", str(options.width)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TQDM_DISABLE": "1"})
        peak = done.stdout.split("peak ")[-1].strip() if done.returncode == 0 else "-"
        failed += done.returncode != 0
        said = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
        result = "ok" if done.returncode == 0 else f"FAILED: {said[-1][:300]}"
        print(f"{name:72} {time.monotonic() - began:8.1f} {peak:>6}  {result}", flush=True)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
