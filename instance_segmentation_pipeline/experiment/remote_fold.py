"""What a node of a cluster runs: one fold of an experiment that another process began."""

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..launch.deadline import Deadline
from ..launch.executors import Executor
from ..storage.metrics_csv import read_rows
from .run_arguments import FoldRequest
from .run_options import RunOptions

if TYPE_CHECKING:
    from .fold_trainer import FoldOutcome


def train_fold(
    config: Path, executor: Executor, cache: "Path | None", stop: Deadline, request: FoldRequest
) -> "tuple[FoldOutcome, str]":
    """Train a fold of a project in this place, resuming what is there, on the split that the run has made.

    Args:
        config: The experiment's YAML.
        executor: What has the devices of the net.
        cache: Folder for downloads.
        stop: When the run ends.
        request: The fold, its first stage, and how many of its items.

    Returns:
        What came of it, and a sentence about it.
    """
    from musket_core import generic

    from .fold_trainer import FoldTrainer

    began = time.monotonic()
    cfg = generic.parse(str(config))
    cfg.run = RunOptions(
        gpus_per_net=len(executor.devices), lease=tuple(executor.devices), cache=cache, resume=True, is_part=True
    )
    stages = [cfg.files.stage(request.fold, stage) for stage in range(request.first_stage, len(cfg.stages))]
    before = sum(len(read_rows(stage.metrics)) for stage in stages)
    cfg.check()
    outcome = FoldTrainer(cfg).train(request, executor, stop)
    start = f", from epoch {before}" if before else ""
    return outcome, f"trained on {socket.gethostname()} in {time.monotonic() - began:.0f} s{start}"
