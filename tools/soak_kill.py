"""Kills a training, with all its processes, at random moments, and sees that resuming it loses nothing.

An experiment is trained once without interruption. A second one is killed by SIGKILL at a random moment, resumed,
killed again, and so on; at the end it is resumed for good. Its weights must be those of the first, bit by bit, and so
must its metrics. Prints a line a kill, with what was on disk; ends non-zero when anything differs. Usage:

    python tools/soak_kill.py [--kills 50] [--seed 0] [--gpus_per_net 1]
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.storage.experiment_files import ExperimentFiles
from instance_segmentation_pipeline.storage.zip_files import is_whole

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """#%Musket MMDetection 1.0
configPath: {root}/configs/rtmdet-ins_tiny_small-images.py
pretrained: false
shape: [64, 64]
imagesPerGpu: 4
folds_count: 2
configOptions:
  model.backbone.widen_factor: 0.125
  model.neck.in_channels: [32, 64, 128]
  model.neck.out_channels: 32
  model.bbox_head.in_channels: 32
  model.bbox_head.feat_channels: 32
stages:
  - epochs: {epochs}
  - epochs: 2
dataset:
  get_shapes: {{count: 16, size: 64}}
"""


def project(folder: Path, name: str, epochs: int) -> ExperimentFiles:
    """Write a project with one experiment."""
    shutil.copytree(ROOT / "examples" / "shapes" / "modules", folder / name / "modules")
    config = folder / name / "experiments" / "soak" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(CONFIG.format(root=ROOT, epochs=epochs))
    return ExperimentFiles(config)


def start(files: ExperimentFiles, gpus: int) -> subprocess.Popen:
    """Start training in a session of its own, resuming."""
    command = [sys.executable, "-m", "instance_segmentation_pipeline.cli", "fit", "--project", files.root.parents[1]]
    command += ["--allow_resume", "true", "--gpus_per_net", gpus, "--num_gpus", gpus]
    return subprocess.Popen(
        [str(part) for part in command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def digests(files: ExperimentFiles) -> dict[str, str]:
    """Return a digest of the weights in each checkpoint, and each CSV."""
    found = {}
    for path in sorted((files.root / "weights").glob("*.weights")):
        state = read_checkpoint(path)["state_dict"]
        digest = hashlib.sha256()
        for name in sorted(state):
            digest.update(name.encode() + state[name].numpy().tobytes())
        found[path.name] = digest.hexdigest()
    for path in sorted((files.root / "metrics").glob("*.csv")):
        found[path.name] = path.read_text()
    return found


def main() -> int:
    """Soak; return 0 when nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8, help="of the first stage; more give each start more to do")
    parser.add_argument("--gpus_per_net", type=int, default=1, help="without a GPU, processes on the CPU")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole = project(Path(folder), "whole", options.epochs)
        began = time.monotonic()
        process = start(whole, options.gpus_per_net)
        if process.wait():
            print(process.stderr.read(), file=sys.stderr)
            return 1
        lasted = time.monotonic() - began
        wanted = digests(whole)
        print(f"an uninterrupted run takes {lasted:.0f} s and leaves {len(wanted)} files to compare", flush=True)
        killed = project(Path(folder), "killed", options.epochs)
        kills = rounds = 0
        while kills < options.kills:
            process = start(killed, options.gpus_per_net)
            try:
                process.wait(chance.uniform(0.15, 0.9) * lasted)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
                weights = sorted((killed.root / "weights").glob("*")) if (killed.root / "weights").exists() else []
                left = [path.name for path in weights if path.name.startswith(".")]
                whole_ones = [path for path in weights if path.suffix == ".weights" and path.name not in left]
                torn = [path.name for path in whole_ones if not is_whole(path)]
                print(f"kill {kills}: {len(weights)} files, torn {torn}, unfinished {left}", flush=True)
                if torn:
                    return 1
                continue
            if process.returncode:
                print(process.stderr.read(), file=sys.stderr)
                return 1
            rounds += 1  # it got through: what it left is compared, and a new one begins
            if digests(killed) != wanted:
                print("a resumed run ended with other weights or metrics", file=sys.stderr)
                return 1
            shutil.rmtree(killed.root.parents[1])
            killed = project(Path(folder), "killed", options.epochs)
        process = start(killed, options.gpus_per_net)
        if process.wait() or digests(killed) != wanted:
            print("the last resumed run failed, or ended with other weights or metrics", file=sys.stderr)
            return 1
    print(f"{kills} kills, {rounds + 1} resumed runs to the end, each with the same weights and metrics, bit by bit")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
