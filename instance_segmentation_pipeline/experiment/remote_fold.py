"""What a node of a cluster runs: one fold of an experiment that another process began."""

from pathlib import Path

from ..storage.metrics_csv import read_rows


def train_fold(config: Path, fold: int, devices: int, on_gpus: bool, cache: "str | None") -> int:
    """Train a fold of a project in this place, resuming what is there.

    Args:
        config: The experiment's YAML.
        fold: Number of the fold.
        devices: How many devices its net trains on.
        on_gpus: Whether those are GPUs, which are numbered from 0 here.
        cache: Folder for downloads.

    Returns:
        How many epochs there were already.
    """
    from musket_core import generic

    cfg = generic.parse(str(config))
    cfg.setAllowResume(True)
    cfg.cache = None if cache is None else Path(cache)
    cfg.gpus = devices
    cfg.lease = [f"cuda:{number}" for number in range(devices)] if on_gpus else ["cpu"] * devices
    before = sum(len(read_rows(cfg.files.stage(fold, stage).metrics)) for stage in range(len(cfg.stages)))
    cfg.train_fold(fold)
    return before
