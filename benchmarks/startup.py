"""CPU seconds of starting up, beside ``import torch, mmdet``: importing musket_core, parsing, ``musket`` commands.

Each is a fresh process on one thread, run by turns; the least of the rounds counts, user and system time together.
Usage:

    python benchmarks/startup.py [--rounds 3] [--imports]

``--imports`` adds, for each, the slowest imports by their own time.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "examples" / "shapes" / "experiments" / "shapes" / "config.yaml"
YARDSTICK = "import torch, mmdet"
PYTHON = {
    YARDSTICK: "import torch, mmdet",
    "from musket_core import generic": "from musket_core import generic",
    "generic.parse(config)": f"from musket_core import generic; generic.parse({str(CONFIG)!r})",
    "musket fit --help": "from instance_segmentation_pipeline.cli import main; main(['fit', '--help'])",
    "musket predict --help": "from instance_segmentation_pipeline.cli import main; main(['predict', '--help'])",
    "import keras (for comparison)": "from musket_core import generic; import keras",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--imports", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds: dict[str, list[float]] = {name: [] for name in PYTHON}
        for number in range(options.rounds + 1):  # the first one compiles and warms the disk
            for name, code in PYTHON.items():
                took = _cpu_seconds(code, folder)
                if number:
                    seconds[name].append(took)
        base = min(seconds[YARDSTICK])
        for name, took in seconds.items():
            print(f"{name:34} {min(took):6.2f} s CPU  x {min(took) / base:.2f}")
        if options.imports:
            for name, code in PYTHON.items():
                print(f"\n{name}:", *_slowest(code, folder), sep="\n  ")


def _environment() -> dict:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _cpu_seconds(code: str, folder: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{code!r} failed:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _slowest(code: str, folder: str, count: int = 8) -> list[str]:
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    rows = re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", done.stderr, re.MULTILINE)
    return [f"{int(own) / 1000:6.0f} ms  {name}" for own, name in sorted(rows, key=lambda row: -int(row[0]))[:count]]


if __name__ == "__main__":
    main()
