"""What many items and many experiments cost: seconds, and megabytes at most, each measured in a process of its own.

A dataset of 200,000 items in five folds: the first ``kfold()``, a later start, and a later start from a split file of
an earlier version. A project of finished experiments, one of them trained, the others copies of another rate:
choosing among them, and ``musket analize`` the first and the second time. Usage:

    python benchmarks/growth.py [--items 200000] [--experiments 40]
"""

import argparse
import importlib
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
SHAPES = REPOSITORY / "examples" / "shapes"
CONFIG = f"""#%Musket MMDetection 1.0
configPath: {REPOSITORY / "configs" / "rtmdet-ins_tiny_small-images.py"}
pretrained: false
shape: [64, 64]
imagesPerGpu: 4
folds_count: 2
stages:
  - epochs: 1
dataset:
  get_shapes: {{count: 24, size: 96}}
lr: RATE
"""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--experiments", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch, "config.yaml")
        config.write_text(CONFIG.replace("RATE", "0.001") + "testSplit: 0.1\n", encoding="utf-8")
        config.write_text(config.read_text().replace("folds_count: 2", "folds_count: 5"), encoding="utf-8")
        measure(f"{options.items} items, first kfold()", kfold, config, options.items)
        measure(f"{options.items} items, a later start", kfold, config, options.items)
        as_before(config)
        measure(f"{options.items} items, a later start, file of an earlier version", kfold, config, options.items)
        project = Path(scratch, "project")
        finished_experiments(project, options.experiments)
        measure(f"{options.experiments} experiments, choosing those to train", choose, project)
        measure(f"{options.experiments} experiments, analize", analize, project)
        measure(f"{options.experiments} experiments, analize again", analize, project)
        print(f"  the page: {(project / 'report.html').stat().st_size / 1e6:.2f} MB")


def measure(name: str, work: Callable[..., None], *arguments: Any) -> None:
    """Run ``work`` in a process of its own, which imports first, and print its seconds and memory."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_measured, args=(name, work, *arguments))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"{name} failed")


def _measured(name: str, work: Callable[..., None], *arguments: Any) -> None:
    for module in LOADED[work]:
        importlib.import_module(module)

    before, began, used = _peak(), time.perf_counter(), time.process_time()
    work(*arguments)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    print(
        f"{name}: {seconds:.2f} s ({used:.2f} s of CPU), {_peak() - before:.0f} MB more than {before:.0f}", flush=True
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def kfold(config: Path, count: int) -> None:
    """Split a dataset whose items cost nothing."""
    from musket_core import generic
    from musket_core.datasets import DataSet, PredictionItem

    class Many(DataSet):
        def __len__(self) -> int:
            return count

        def __getitem__(self, item: int) -> PredictionItem:
            return PredictionItem(str(item), None, None)

    cfg = generic.parse(str(config))
    cfg.use_dataset(Many())
    cfg.kfold()


def as_before(config: Path) -> None:
    """Lay the split files out as earlier versions did: a position a line, no digest."""
    import json

    for path in config.parent.glob("config.yaml.*_split"):
        mark, _, body = path.read_text(encoding="utf-8").split("\n", 2)
        path.write_text("\n".join([mark, *_dashed(json.loads(body))]) + "\n", encoding="utf-8")


def _dashed(value: Any) -> list[str]:
    lines = []
    for entry in value:
        below = _dashed(entry) if isinstance(entry, list) else [str(entry)]
        lines += [f"- {below[0]}", *(f"  {line}" for line in below[1:])]
    return lines


def finished_experiments(project: Path, count: int) -> None:
    """Train one experiment, and copy it."""
    shutil.copytree(SHAPES / "modules", project / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    first = project / "experiments" / "e000"
    first.mkdir(parents=True)
    (first / "config.yaml").write_text(CONFIG.replace("RATE", "0.001"), encoding="utf-8")
    program = Path(sys.executable).with_name("musket")
    subprocess.run([program, "fit", "--project", str(project)], check=True, capture_output=True)
    for number in range(1, count):
        copy = project / "experiments" / f"e{number:03}"
        shutil.copytree(first, copy, copy_function=os.link)
        (copy / "config.yaml").unlink()
        (copy / "config.yaml").write_text(CONFIG.replace("RATE", f"0.{number + 1000}"), encoding="utf-8")


def choose(project: Path) -> None:
    """Ask each experiment whether it is finished."""
    from musket_core.projects import Project

    assert all(one.isCompleted() for one in Project(str(project)).experiments())


def analize(project: Path) -> None:
    """Write table, CSV and page."""
    from instance_segmentation_pipeline.cli import main as musket

    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    status = musket(["analize", "--inputFolder", str(project)])
    sys.stdout = sys.__stdout__
    assert status == 0


LOADED: dict[Callable[..., None], tuple[str, ...]] = {
    kfold: ("musket_core.generic", "instance_segmentation_pipeline.experiment.pipeline_config"),
    choose: ("musket_core.projects",),
    analize: (),
}
"""Modules whose import is no part of what is measured."""

if __name__ == "__main__":
    main()
