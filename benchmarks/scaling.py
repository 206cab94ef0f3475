"""One process against several: a net on two, folds side by side, what starting a group costs, what a kill costs.

Without a GPU, processes on the CPU; each trains with one thread, and so does the single one here. Usage:

    python benchmarks/scaling.py [--processes 2] [--images 256] [--size 160]
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"

import torch
from musket_core import generic

from instance_segmentation_pipeline.launch.devices import devices_for
from instance_segmentation_pipeline.launch.process_group import run_group
from instance_segmentation_pipeline.storage.metrics_csv import read_rows

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """#%Musket MMDetection 1.0
configPath: {root}/configs/rtmdet-ins_tiny_small-images.py
pretrained: false
shape: [{size}, {size}]
imagesPerGpu: {batch}
folds_count: {folds}
lr: 0.001
stages:
  - epochs: 1
"""


def fit(folder: Path, dataset: object, options: argparse.Namespace, **how: int) -> float:
    """Train, and return the seconds it took."""
    folder.mkdir()
    batch = 8 // how.get("gpus", 1)
    text = CONFIG.format(root=ROOT, size=options.size, batch=batch, folds=how.get("folds", 1))
    (folder / "config.yaml").write_text(text)
    cfg = generic.parse(str(folder / "config.yaml"))
    cfg.gpus, cfg.num_gpus, cfg.num_workers = how.get("gpus", 1), how.get("num_gpus", 1), how.get("num_workers", 1)
    cfg.generateReports = lambda *_: None
    cfg.check(dataset)
    began = time.perf_counter()
    cfg.fit(dataset)
    return time.perf_counter() - began


def lost_by_a_kill(folder: Path) -> None:
    """Kill a run in the middle, go on with it, and print how much longer both took than one that nothing killed."""
    sys.path.insert(0, str(ROOT / "tools"))
    from soak_kill import project, start

    epochs = 12
    began = time.perf_counter()
    start(project(folder, "whole", epochs), 1).wait()
    whole = time.perf_counter() - began
    killed = project(folder, "killed", epochs)
    began = time.perf_counter()
    process = start(killed, 1)
    time.sleep(0.6 * whole)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    start(killed, 1).wait()
    both = time.perf_counter() - began
    epoch = read_rows(killed.stage(0, 0).metrics)
    print(
        f"musket fit of 2 folds with {len(epoch)} + 2 epochs: {whole:.1f} s; killed after {0.6 * whole:.1f} s and gone "
        f"on with: {both:.1f} s, {both - whole:.1f} s lost, most of it the start of Python and its packages"
    )


def main() -> None:
    """Time each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--size", type=int, default=160)
    options = parser.parse_args()
    count = options.processes
    torch.set_num_threads(1)
    sys.path.insert(0, str(ROOT / "examples" / "shapes" / "modules"))
    from shapes import Shapes

    dataset = Shapes(options.images, options.size, 3)
    began = time.perf_counter()
    run_group(lambda device: None, devices_for(count))
    print(f"a group of {count} starts and ends in {time.perf_counter() - began:.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        one = fit(Path(folder) / "one", dataset, options)
        several = fit(Path(folder) / "several", dataset, options, gpus=count)
        print(
            f"one net, an epoch of {options.images} images, batch 8: {one:.1f} s; on {count} processes {several:.1f} s"
        )
        print(f"ratio {one / several:.2f}")
        turn = fit(Path(folder) / "turn", dataset, options, folds=count)
        side = fit(Path(folder) / "side", dataset, options, folds=count, num_gpus=count, num_workers=count)
        print(f"{count} folds in turn: {turn:.1f} s; side by side {side:.1f} s, ratio {turn / side:.2f}")
        lost_by_a_kill(Path(folder))


if __name__ == "__main__":
    main()
