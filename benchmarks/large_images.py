"""One photograph of 12 megapixels with 100 objects: peak memory and seconds beside plain MMDetection's.

Each model has random weights and a score threshold of 0, so that it answers as many objects as it may; each answer is
made in a process of its own, and ends as RLE in both cases. Usage:

    python benchmarks/large_images.py [--width 4000 --height 3000] [--only ours] [--models rtmdet-ins mask-rcnn]
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

MODELS = {
    "rtmdet-ins": "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py",
    "mask-rcnn": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "solov2": "solov2/solov2-light_r18_fpn_ms-3x_coco.py",
    "condinst": "condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py",
    "yolact": "yolact/yolact_r50_1xb8-55e_coco.py",
    "mask2former": "mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
}


def net_of(name: str) -> tuple[Any, Any]:
    """Return a net with random weights that answers 100 objects, and its config."""
    import torch
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    from instance_segmentation_pipeline.models.built_model import complete
    from instance_segmentation_pipeline.models.config_tree import walk
    from instance_segmentation_pipeline.models.mmdet_compat import MODELS as NETS
    from instance_segmentation_pipeline.models.prepare import ModelRequest, prepare

    request = ModelRequest(f"mmdet::{MODELS[name]}", Path(), tuple("abcde"), pretrained=False)
    finished = prepare(request)
    for path, node in walk(finished.config.model):
        if "test_cfg" in path:
            node.update({key: 0.0 for key in ("score_thr", "filter_thr") if key in node})
    init_default_scope("mmdet")
    MMLogger.get_instance("mmdet").setLevel("ERROR")
    torch.manual_seed(0)
    net = complete(NETS.build(finished.config.model))
    net.init_weights()
    return net.eval(), finished


def answer(name: str, ours: bool, width: int, height: int) -> str:
    """Predict in this process; return objects, seconds, and the peak of the memory in MB."""
    import torch

    from instance_segmentation_pipeline.inference.detector import Detector

    torch.set_num_threads(2)
    net, finished = net_of(name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    detector = Detector(net, finished.val_pipeline, True)
    began = time.perf_counter()
    if ours:
        count = len(detector.detect([image])[0])
    else:
        from mmdet.structures.mask import encode_mask_results

        packed = detector.packed(image)
        batch = {key: [packed[key]] for key in ("inputs", "data_samples")}
        with torch.no_grad():
            found = net(**net.data_preprocessor(batch, False), mode="predict")[0].pred_instances
        count = len(encode_mask_results(found.masks.numpy()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{count} {time.perf_counter() - began:.1f} {before:.0f} {peak:.0f}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=4000)
    parser.add_argument("--height", type=int, default=3000)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--only", choices=("ours", "mmdetection"))
    parser.add_argument("--in-process")
    options = parser.parse_args()
    if options.in_process:
        print(answer(options.in_process, options.only == "ours", options.width, options.height))
        return
    print(
        f"{options.width} x {options.height} pixels\n"
        f"{'model':14}{'':14}{'objects':>8}{'seconds':>9}{'peak MB':>9}{'of it net':>11}"
    )
    for name in options.models:
        for who in ("ours", "mmdetection"):
            if options.only in (None, who):
                command = [sys.executable, __file__, "--in-process", name, "--only", who]
                command += ["--width", str(options.width), "--height", str(options.height)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                said = done.stdout.split() if done.returncode == 0 else ["-", "-", "-", f"status {done.returncode}"]
                count, seconds, before, peak = said[-4:]
                print(f"{name:14}{who:14}{count:>8}{seconds:>9}{peak:>9}{before:>11}", flush=True)


if __name__ == "__main__":
    main()
