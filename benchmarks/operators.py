"""The operators in PyTorch beside MMCV's compiled ones, in one process: each operator, and whole training steps.

Both run in turn on the same inputs, many times; of each the smallest time counts, and the table has milliseconds and
their ratio, on one and on two threads. Where MMCV was not compiled it says so, and prints the times of PyTorch's.
Usage:

    python benchmarks/operators.py [--only deform] [--threads 1 2] [--seconds 2] [--no-steps]
"""

import argparse
import copy
import sys
import time
import warnings
from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from instance_segmentation_pipeline.operators.extension import operators
from tests.support.operators_in_torch import mmcv_with

Call = Callable[[], Any]


def compiled_operators() -> Any:
    """Return MMCV's compiled module, or None where there is none that loads."""
    import mmcv

    spec = PathFinder.find_spec("mmcv._ext", mmcv.__path__)
    if spec is None or spec.loader is None:
        return None
    try:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError as error:
        print(f"MMCV's compiled operators do not load: {error}")
        return None
    return module


def boxes_of(count: int, spread: float) -> tuple[Tensor, Tensor]:
    """Return boxes of 4 to 40 pixels in a square of ``spread``, and different scores."""
    random = np.random.RandomState(count)
    middle, size = random.uniform(0, spread, (count, 2)), random.uniform(4, 40, (count, 2))
    boxes = np.concatenate((middle - size / 2, middle + size / 2), 1).astype(np.float32)
    return torch.from_numpy(boxes), torch.from_numpy(random.permutation(count).astype(np.float32) / count)


def rois_of(count: int, images: int, width: int, height: int) -> Tensor:
    """Return RoIs of 16 to 256 pixels."""
    random = np.random.RandomState(count)
    size = np.exp(random.uniform(np.log(16), np.log(256), (count, 2)))
    corner = random.uniform(0, 1, (count, 2)) * np.maximum([width, height] - size, 1)
    image = random.randint(0, images, (count, 1))
    return torch.from_numpy(np.concatenate((image, corner, corner + size), 1).astype(np.float32))


def forward_and_backward(function: Callable[..., Tensor], *inputs: Tensor) -> tuple[Call, Call]:
    """Return a call of the forward alone, and one of both."""
    free = [one.requires_grad_() for one in inputs]
    weight = torch.randn_like(function(*free))

    def forward() -> Any:
        with torch.no_grad():
            return function(*free)

    return forward, lambda: torch.autograd.grad(function(*free), free, weight)


def sampling_calls() -> dict[str, Call]:
    """Operators with gradients, at sizes of an 800 x 1,000 image."""
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d, roi_align

    torch.manual_seed(0)
    calls: dict[str, Call] = {}

    def add(name: str, function: Callable[..., Tensor], *inputs: Tensor) -> None:
        calls[f"{name}, forward"], calls[f"{name}, with backward"] = forward_and_backward(function, *inputs)

    level = torch.randn(2, 256, 100, 128)
    for count, bins in ((512, 7), (128, 14)):
        rois = rois_of(count, 2, 1024, 800)
        add(f"RoIAlign {count} of {bins}x{bins}", lambda x, r=rois, n=bins: roi_align(x, r, (n, n), 0.125, 0), level)
    masks, targets = torch.rand(20, 1, 800, 1024).round(), rois_of(128, 20, 1024, 800)
    calls["mask targets 128 of 28x28"] = lambda: roi_align(masks, targets, (28, 28), 1.0, 0, "avg", True)
    x, weight, offset = torch.randn(1, 128, 50, 64), torch.randn(128, 128, 3, 3) / 34, torch.randn(1, 18, 50, 64)
    add("deform_conv 128 channels", lambda *given: deform_conv2d(*given, 1, 1, 1, 1, 1), x, offset, weight)
    mask = torch.rand(1, 9, 50, 64)
    add(
        "modulated_deform_conv 128 channels",
        lambda *given: modulated_deform_conv2d(*given, None, 1, 1, 1, 1, 1),
        *(x, offset, mask, weight),
    )
    return calls


def suppression_calls() -> dict[str, Call]:
    """Suppression of few and many, clustered and spread boxes."""
    from mmcv.ops import nms, nms_match, soft_nms

    calls: dict[str, Call] = {}
    for count, spread, name in ((100, 200, ""), (1000, 200, " clustered"), (1000, 3000, " spread"), (8000, 3000, "")):
        boxes, scores = boxes_of(count, spread)
        calls[f"NMS {count:,} boxes{name}"] = lambda b=boxes, s=scores: nms(b, s, 0.5)
        if count == 1000:
            detections = torch.cat((boxes, scores[:, None]), 1)
            calls[f"NMS matching {count:,} boxes{name}"] = lambda d=detections: nms_match(d, 0.5)
        for method in ("linear", "gaussian") if count < 8000 else ():
            calls[f"soft NMS {method} {count:,} boxes{name}"] = lambda b=boxes, s=scores, m=method: soft_nms(
                b, s, 0.3, 0.5, 0.05, m
            )
    return calls


def training_step(name: str, height: int, width: int) -> Call:
    """Return a training step of a config of the zoo with random weights on two images; it answers with the losses."""
    from mmdet.registry import MODELS
    from mmdet.testing import demo_mm_inputs
    from mmengine.hub import get_config
    from mmengine.model.utils import revert_sync_batchnorm
    from mmengine.registry import init_default_scope

    from instance_segmentation_pipeline.models.config_tree import walk

    init_default_scope("mmdet")
    config = get_config(f"mmdet::{name}")
    for _, part in walk(config.model):
        part.pop("init_cfg", None)
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(config.model)).train()
    packed = demo_mm_inputs(2, [[3, height, width]] * 2, num_items=[12, 9], num_classes=80, with_mask=True)
    data = model.data_preprocessor(packed, True)

    def step() -> dict[str, float]:
        torch.manual_seed(1)
        model.zero_grad()
        loss, parts = model.parse_losses(model(**copy.deepcopy(data), mode="loss"))
        loss.backward()
        return {key: value.item() for key, value in parts.items()}

    return step


STEPS = {
    "step of Mask R-CNN R50": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "step of Mask R-CNN R50 with DCN": "dcn/mask-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py",
    "step of RTMDet-Ins tiny": "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py",
}


def smallest(call: Call, both: list, seconds: float) -> tuple[list[float], list[Any]]:
    """Return the smallest time (ms) of a call with each of the operators, and the answers; they take turns."""
    best, answers = [float("inf")] * len(both), [None] * len(both)
    until, rounds = time.perf_counter() + seconds * len(both), 0
    while rounds < 3 or time.perf_counter() < until:
        for number, extension in enumerate(both):
            with mmcv_with(extension):
                began = time.perf_counter()
                answers[number] = call()
                best[number] = min(best[number], (time.perf_counter() - began) * 1e3)
        rounds += 1
    return best, answers


def loss_difference(answers: list) -> str:
    """Return the largest relative difference of the losses of a step, in words."""
    if len(answers) < 2 or not isinstance(answers[0], dict):
        return ""
    worst = max(abs(answers[0][key] - answers[1][key]) / (abs(answers[1][key]) + 1e-9) for key in answers[0])
    return f"  losses differ by {worst:.0e}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="calls with this in their name")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each of the two, for each call")
    parser.add_argument("--no-steps", action="store_true", help="operators only")
    parser.add_argument("--height", type=int, default=256, help="of the images of a training step")
    parser.add_argument("--width", type=int, default=320)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="torch.meshgrid")  # MMDetection's anchors
    both = [SimpleNamespace(**operators())]
    compiled = compiled_operators()
    if compiled is None:
        print("this MMCV has no compiled operators: the times of those in PyTorch stand alone")
    else:
        both.append(compiled)
    makers: dict[str, Callable[[], Call]] = {
        name: lambda call=call: call for name, call in (sampling_calls() | suppression_calls()).items()
    }
    if not options.no_steps:
        for name, config in STEPS.items():
            makers[name] = lambda config=config: training_step(config, options.height, options.width)
    print(f"{'milliseconds':46} threads {'PyTorch':>9} {'compiled':>9}  ratio")
    for name, make in makers.items():
        if options.only.lower() not in name.lower():
            continue
        with mmcv_with(both[0]):
            call = make()
        for threads in options.threads:
            torch.set_num_threads(threads)
            times, answers = smallest(call, both, options.seconds)
            beside = f"{times[1]:9.2f} {times[0] / times[1]:6.2f}" if len(times) > 1 else f"{'-':>9} {'-':>6}"
            print(f"{name:46} {threads:7} {times[0]:9.2f} {beside}{loss_difference(answers)}", flush=True)


if __name__ == "__main__":
    main()
