"""Mask AP after the same minutes on the same cores: ours, plain MMDetection, and ultralytics' YOLO-seg.

All start from random weights and see the same images at the same size, batch 8, on the CPU. Each has its own recipe:
ours the config that is asked for, MMDetection its zoo's RTMDet-Ins tiny, YOLO its defaults. Ours and MMDetection train
as many epochs as fit into the minutes, by trainings that are measured first and do not count; YOLO does the same by
itself (``time``). What is reported is the time that each really took, and AP by pycocotools at full size.
Usage:

    python benchmarks/peers.py [--data coins scenes nuclei=FOLDER] [--minutes 4] [--contenders ours plain yolo]

YOLO runs in an environment of its own, ``--peer_env``, which is made from the package registry where it is missing.
"""

import argparse
import contextlib
import io
import json
import math
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import peer_data
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

HERE = Path(__file__).resolve().parent
SIZES = {"coins": 160, "scenes": 256, "nuclei": 256}


def main():
    """Write the images, train, measure, print."""
    options = parsed()
    table = []
    for entry in options.data:
        name, _, place = entry.partition("=")
        folder = Path(options.out) / name
        shutil.rmtree(folder, ignore_errors=True)
        data = folder / "data"
        peer_data.write(parts_of(name, place), data.resolve())
        for contender in options.contenders:
            out = (folder / contender).resolve()
            out.mkdir(parents=True)
            seconds = CONTENDERS[contender](options, data.resolve(), SIZES[name], out)
            scores = [mask_ap(data / "val.json", out / "results.json", limit) for limit in (100, 500)]
            table.append((name, contender, seconds, *scores))
            print(row(*table[-1]), flush=True)
    print("\n" + row("data", "contender", "seconds", "AP", "AP of 500"))
    print("\n".join(row(*line) for line in table))
    draw(options)


def parsed():
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["coins", "scenes"])
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--contenders", nargs="+", default=["ours", "plain", "yolo"], choices=list(CONTENDERS))
    parser.add_argument("--config", default="musket::rtmdet-ins_nano_fine-masks", help="configPath of ours")
    parser.add_argument("--extra", default="amp: auto; maxDetections: 500", help="lines of ours' YAML, as 'amp: bf16'")
    parser.add_argument("--lr", type=float, default=0.004)
    parser.add_argument("--yolo", default="yolo11n-seg")
    parser.add_argument("--peer_env", default="build/peer")
    parser.add_argument("--out", default="build/peers")
    return parser.parse_args()


def parts_of(name, place):
    """Return training and validation images of a dataset by its name."""
    if name == "nuclei":
        return peer_data.nuclei(place)
    return {"coins": peer_data.coins, "scenes": peer_data.scenes}[name]()


def ours(options, data, size, out):
    """Train by ``musket fit``; return seconds."""
    epochs = that_fit(options, lambda some: fit_ours(options, data, size, out / f"measured{some}", some))
    seconds = fit_ours(options, data, size, out, epochs)
    found = json.loads((out / "found" / "predictions.json").read_text())
    numbers = {image["id"]: image["file_name"] for image in found["images"]}
    truth = {image["file_name"]: image["id"] for image in json.loads((data / "val.json").read_text())["images"]}
    for entry in found["annotations"]:
        entry["image_id"] = truth[numbers[entry["image_id"]]]
    (out / "results.json").write_text(json.dumps(found["annotations"]))
    rows = (out / "project/experiments/ours/metrics/metrics-0.0.csv").read_text().splitlines()
    column = rows[0].split(",").index("val_coco_segm_mAP")
    curve = [(seconds * (at + 1) / len(rows[1:]), float(line.split(",")[column])) for at, line in enumerate(rows[1:])]
    (out / "curve.json").write_text(json.dumps({"seconds": seconds, "curve": curve}))
    return seconds


def that_fit(options, seconds):
    """Return how many epochs fit into the minutes, by trainings of one and of four."""
    one, four = seconds(1), seconds(4)
    each = max(0.1, (four - one) / 3)
    return max(1, math.floor((options.minutes * 60 - (one - each)) / each))


def fit_ours(options, data, size, out, epochs):
    """Train some epochs and answer the validation images by ``musket predict``; return seconds of training."""
    experiment = out / "project" / "experiments" / "ours"
    experiment.mkdir(parents=True)
    (out / "project" / "modules").mkdir()
    lines = [
        f"  {part}: {{coco_json: {{annotations: {data / name}.json, images: {data / 'images' / name}}}}}\n"
        for part, name in (("train", "train"), ("validation", "val"))
    ]
    extra = "".join(f"{line.strip()}\n" for line in options.extra.split(";") if line)
    (experiment / "config.yaml").write_text(
        f"#%Musket MMDetection 1.0\nconfigPath: {options.config}\npretrained: false\nclasses: 1\n"
        f"shape: [{size}, {size}]\nimagesPerGpu: 8\nstorage_threshold: 0.001\n{extra}dataset:\n{''.join(lines)}"
        f"stages:\n  - epochs: {epochs}\n    lr: {options.lr}\n"
    )
    musket = [str(Path(sys.executable).parent / "musket")]
    place = ["--project", str(out / "project"), "--name", "ours"]
    began = time.perf_counter()
    subprocess.run([*musket, "fit", *place], check=True)
    seconds = time.perf_counter() - began
    images = ["--input", str(data / "images" / "val"), "--output", str(out / "found")]
    subprocess.run([*musket, "predict", *place, *images], check=True)
    return seconds


def plain(options, data, size, out):
    """Train the zoo's RTMDet-Ins tiny by MMDetection's Runner, its own pipelines and schedule; return seconds."""
    epochs = that_fit(options, lambda some: run_plain(data, size, out / f"measured{some}", some))
    return run_plain(data, size, out, epochs)


def run_plain(data, size, out, epochs):
    """Run this script's ``plain_training`` in a process of its own; return seconds."""
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    subprocess.run([sys.executable, __file__, "--plain", str(data), str(size), str(out), str(epochs)], check=True)
    return time.perf_counter() - began


def plain_training(data, size, out, epochs):
    """Train, and let CocoMetric write ``results.json``."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    from instance_segmentation_pipeline.zoo.catalogue import zoo_folder

    size, epochs = int(size), int(epochs)
    config = Config.fromfile(zoo_folder() / "rtmdet" / "rtmdet-ins_tiny_8xb32-300e_coco.py")
    init_default_scope("mmdet")
    config.work_dir, config.visualizer, config.custom_hooks = str(Path(out) / "run"), None, config.custom_hooks[:1]
    for node in walked([config[key] for key in config]):
        node.pop("use_syncbn", None)
        if node.get("type") == "SyncBN":
            node["type"] = "BN"
        if node.get("type") == "LoadAnnotations":
            node["poly2mask"] = True  # without it, masks that are run lengths are passed over
        if "Pretrained" in str(node.get("init_cfg")):
            node["init_cfg"] = None
        for key in ("scale", "img_scale", "size", "crop_size"):
            if isinstance(node.get(key), tuple):
                node[key] = tuple(size * value // 640 for value in node[key])
    config.model.bbox_head.num_classes = 1
    config.model.test_cfg.max_per_img = 500
    for name, part in (("train", "train"), ("val", "val"), ("test", "val")):
        loader = config[f"{name}_dataloader"]
        loader.update(batch_size=8, num_workers=0, persistent_workers=False)
        loader.dataset.update(
            data_root="", ann_file=f"{data}/{part}.json", data_prefix={"img": f"{data}/images/{part}/"},
            metainfo={"classes": ("object",)},
        )  # fmt: skip
        config[f"{name}_evaluator"] = {
            "type": "CocoMetric", "ann_file": f"{data}/val.json", "metric": "segm", "outfile_prefix": f"{out}/coco",
            "proposal_nums": (1, 100, 500),
        }  # fmt: skip
    config.pop("train_evaluator")
    config.train_cfg = {"type": "EpochBasedTrainLoop", "max_epochs": epochs, "val_interval": max(1, epochs // 10)}
    config.optim_wrapper.optimizer.lr = 0.001  # of a batch of 8, where 256 have 0.004 and roots are taken
    half = max(1, epochs // 2)
    config.param_scheduler = [
        {"type": "LinearLR", "start_factor": 1e-3, "by_epoch": False, "begin": 0, "end": 50},
        {"type": "CosineAnnealingLR", "eta_min": 5e-5, "begin": half, "end": epochs + 1, "T_max": half + 1,
         "by_epoch": True},
    ]  # fmt: skip
    Runner.from_cfg(config).train()
    Path(out, "coco.segm.json").replace(Path(out, "results.json"))


def walked(node):
    """Yield every mapping of a config."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    for child in node if isinstance(node, (list, tuple)) else ():
        yield from walked(child)


def yolo(options, data, size, out):
    """Train ultralytics' YOLO-seg in its own environment; return seconds."""
    environment = Path(options.peer_env)
    python = environment.resolve() / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        packages = ["ultralytics>=8.4,<8.5", "pycocotools"]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    arguments = [str(data), options.yolo, str(options.minutes), str(size), str(out)]
    subprocess.run([str(python), str(HERE / "peer_yolo.py"), *arguments], check=True)
    return json.loads((out / "curve.json").read_text())["seconds"]


def mask_ap(truth, results, limit):
    """Return mask AP .5:.95 by pycocotools with ``limit`` detections an image."""
    entries = json.loads(results.read_text())
    if not entries:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        evaluation = COCOeval(coco, coco.loadRes(entries), "segm")
        evaluation.params.maxDets = [1, 10, limit]
        evaluation.evaluate(), evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    return float(np.mean(precision[precision > -1]))


def row(*values):
    """Return a line of the table."""
    return "".join(f"{value:<14.3f}" if isinstance(value, float) else f"{value:<14}" for value in values)


def draw(options):
    """Draw what each measured of itself while it trained, over time."""
    import matplotlib.pyplot as plt

    for entry in options.data:
        folder = Path(options.out) / entry.partition("=")[0]
        figure, axes = plt.subplots()
        for path in sorted(folder.glob("*/curve.json")):
            seconds, values = zip(*json.loads(path.read_text())["curve"], strict=True)
            axes.plot(np.array(seconds) / 60, values, label=path.parent.name)
        axes.set(xlabel="minutes", ylabel="mask AP by its own validation", title=folder.name)
        axes.legend()
        figure.savefig(folder / "curves.png")
        plt.close(figure)


CONTENDERS = {"ours": ours, "plain": plain, "yolo": yolo}

if __name__ == "__main__":
    plain_training(*sys.argv[2:]) if sys.argv[1:2] == ["--plain"] else main()
