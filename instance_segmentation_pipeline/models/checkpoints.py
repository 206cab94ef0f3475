"""Checkpoints of MMDetection 2.x and 3.x: reading them, and which of a stage's is the latest whole one."""

from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ..errors import WeightsError, shortened
from ..storage.experiment_files import StageFiles
from ..storage.zip_files import is_whole
from ..zoo.catalogue import successor_of
from ..zoo.downloads import fetch, is_remote
from .checkpoint_reader import read_file, reading_for_models

ENDED_KEY = "musket_ended"
"""What the last checkpoint's ``meta`` has where a hook, such as MMEngine's for early stopping, ended the stage."""

BBOX_ORDER_KEY = "musket_bbox_order"
"""Where a checkpoint's ``meta`` has the order of coordinates in boxes, for answers given without the dataset."""

Checkpoint = dict[str, Any]
"""``state_dict`` and ``meta``, or the tensors themselves, as files of MMDetection hold them."""


def read_checkpoint(path: Path, trusted: bool = False) -> Checkpoint:
    """Read a checkpoint of MMDetection 2.x or 3.x onto the CPU; without running code, unless it is trusted.

    Args:
        path: The file.
        trusted: Whether the file may run code, as unpickling does.

    Raises:
        WeightsError: It is absent, damaged, of MMDetection 1.x, or holds objects beyond tensors and plain data.
    """
    return _checked(read_file(path, trusted), path)


def read_meta(path: Path) -> dict[str, Any]:
    """Return ``meta`` of a checkpoint, without the states of random generators; its tensors are not read.

    A file is read once in the state that its size and time tell, however often it is asked; what is returned is shared.

    Raises:
        WeightsError: As ``read_checkpoint``.
    """
    try:
        state = path.stat()
    except OSError:
        return _meta_of(read_checkpoint(path))  # which says what is wrong
    return _meta(path, (state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=32)
def _meta(path: Path, state: tuple[int, int, int]) -> dict[str, Any]:
    return _meta_of(_checked(read_file(path, mapped=True), path))


def _meta_of(checkpoint: Checkpoint) -> dict[str, Any]:
    meta = checkpoint.get("meta")
    return {name: value for name, value in meta.items() if name != "random_states"} if isinstance(meta, dict) else {}


def _checked(checkpoint: Any, path: Path) -> Checkpoint:
    """Return what a file holds, where it is a checkpoint of MMDetection 2.x or 3.x."""
    if not isinstance(checkpoint, dict):
        raise WeightsError(f"{path} holds a {type(checkpoint).__name__}, expected a dict of weights.")
    states = [checkpoint[key] for key in ("state_dict", "model") if key in checkpoint][:1]
    if not all(isinstance(state, dict) and all(isinstance(name, str) for name in state) for state in states):
        raise WeightsError(
            f"{path} has a state_dict that is {shortened(states[0])}, expected names and their weights: give another "
            "file."
        )
    if not states and not all(isinstance(name, str) for name in checkpoint):
        raise WeightsError(
            f"{path} holds {shortened(checkpoint)}, expected names and their weights: give another file."
        )
    _refuse_first_generation(checkpoint, path)
    return checkpoint


def reading_for(config: Config) -> AbstractContextManager[None]:
    """Return a block in which all that a model of ``config`` loads by itself comes from the reader of this package.

    That is ``init_cfg`` of any module, and what detectors load by keys of their own, built or trained in the block.
    """
    trusted = bool(config.get("trust_weights", False))

    def read(source: str) -> Any:
        local = fetch(source, None, "the model's weights") if is_remote(source) else Path(source).expanduser()
        return read_file(local, trusted)

    return reading_for_models(read)


def last_checkpoint(files: StageFiles) -> "Path | None":
    """Return the latest checkpoint of a stage that is whole, ``None`` where there is none to go on from.

    Raises:
        WeightsError: There are checkpoints, and all of them are damaged.
    """
    if not files.last_weights.exists():
        return None
    there = [path for path in (files.last_weights, files.previous_weights) if path.exists()]
    for path in there:
        if is_whole(path):
            return path
    raise WeightsError(
        f"{files.last_weights} is damaged, and so is the one before it or there is none: delete it to train that stage "
        "anew."
    )


def _refuse_first_generation(checkpoint: Checkpoint, path: Path) -> None:
    """MMDetection 1.x ordered classes and boxes otherwise: its weights would load and be wrong."""
    meta = checkpoint.get("meta")
    version = str(meta.get("mmdet_version", "")) if isinstance(meta, dict) else ""
    state = checkpoint.get("state_dict")
    # 1.x had its RoI heads at the top of the model, 2.0 put them below roi_head
    names = list(state) if isinstance(state, dict) else []
    flat = any(name.startswith(("bbox_head.fc_cls", "bbox_head.0.fc_cls")) for name in names)
    flat = flat and any(name.startswith("rpn_head.") for name in names)  # DETR's head is there in 3.x too
    if not version.startswith(("0.", "1.")) and not flat:
        return
    name = successor_of(path.stem)
    instead = f"mmdet::{name}" if name else "weights of MMDetection 2.x or 3.x"
    raise WeightsError(
        f"{path} is a checkpoint of MMDetection {version or '1.x'}, whose order of classes differs from 3.x's: use "
        f"weightsPath: {instead}."
    )


def state_of(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Return the model's tensors of a checkpoint, without the prefix that parallel wrappers add."""
    state: Any = checkpoint.get("state_dict", checkpoint.get("model", checkpoint))
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def classes_of(checkpoint: Checkpoint) -> "tuple[str, ...] | None":
    """Return the class names that a checkpoint of MMDetection 2.x or 3.x carries."""
    meta = checkpoint.get("meta") or {}
    names = (meta.get("dataset_meta") or {}).get("classes", meta.get("CLASSES"))
    return tuple(str(name) for name in names) if isinstance(names, (list, tuple)) else None


def save_as_best(last: Path, path: str, metric: str, score: float) -> None:
    """Write the weights of a whole checkpoint to ``path`` as the best ones, with their score."""
    checkpoint = read_checkpoint(last)
    meta = {name: value for name, value in checkpoint["meta"].items() if name not in ("rows", "random_states")}
    torch.save({"meta": {**meta, metric: score}, "state_dict": checkpoint["state_dict"]}, path)
