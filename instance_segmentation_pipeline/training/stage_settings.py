"""What decides how a stage learns, as a flat mapping that its checkpoints keep, and what a resume makes of it.

Numbers of data workers, devices that make up the same batch, and places of files decide nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..errors import WeightsError, shortened
from ..models.finished_config import FinishedConfig
from ..models.trained_weights import WHAT_TO_DO
from ..text import printable

META_KEY = "musket_training"
"""Where a checkpoint's ``meta`` has the mapping."""

DATASET = "dataset."
"""How the keys of a declared dataset begin; a dataset that is given from Python has none, and is not compared."""

DATA_FOLDER = "datasets_path"
"""The folder that a declared dataset is read in; checkpoints of before it was kept are not compared by it."""

ITEMS = "training items"
"""How many items a stage is trained on."""

SHOWN = 5
"""Differences that a message shows."""

Settings = dict[str, "str | int | float | bool | None"]

LOADING_ONLY = ("batch_size", "num_workers", "persistent_workers", "pin_memory", "prefetch_factor", "dataset")
STEPPING = ("fused", "foreach")
"""Arguments of an optimizer that change how fast it steps, and nothing beyond rounding."""

PRECISION = ("type", "loss_scale", "dtype", "use_fsdp")
WEIGHT_FILES = ("checkpoint", "pretrained", "teacher_ckpt")
SYNCHRONISED = ("SyncBN", "MMSyncBN", "SyncBatchNorm")
ON_CPU = "OnCpu"
"""How ``cpu_mask_heads`` ends the names of its heads, which compute the same."""

Difference = tuple[str, Any, Any]


def settings_of(prepared: FinishedConfig, epochs: int, lr: "float | None", world_size: int, **further: Any) -> Settings:
    """Return what decides how a stage learns.

    Args:
        prepared: The config before it is given the stage's schedule.
        epochs: Epochs of the stage.
        lr: The stage's learning rate; ``None`` for the prepared one.
        world_size: Devices that train one net.
        further: Plain values from elsewhere, by the names of their properties.
    """
    config: Config = prepared.config
    wrapper = dict(config.optim_wrapper)
    optimizer = dict(wrapper.pop("optimizer"))
    for key in STEPPING:
        optimizer.pop(key, None)
    prepared_lr = optimizer.pop("lr", None)
    for key in PRECISION:
        wrapper.pop(key, None)
    loader = {key: value for key, value in config.train_dataloader.items() if key not in LOADING_ONLY}
    parts = {
        "epochs": epochs,
        "lr": prepared_lr if lr is None else lr,
        "optimizer": optimizer,
        "batch": config.train_dataloader.batch_size * world_size,
        **further,
        "train_dataloader": loader,
        "optim_wrapper": wrapper,
        "param_scheduler": config.get("param_scheduler"),
        "train_cfg": {key: config.train_cfg.get(key) for key in ("max_epochs", "max_iters")},
        "custom_hooks": config.get("custom_hooks"),
        "oversample_thr": prepared.oversample_threshold,
        "model": config.model,
        "train_pipeline": prepared.train_pipeline,
        "val_pipeline": prepared.val_pipeline,
    }
    settings: Settings = {}
    _flatten(parts, "", settings)
    return settings


def _flatten(node: Any, path: str, into: Settings) -> None:
    if isinstance(node, dict):
        for key in node:
            _flatten(node[key], f"{path}.{key}" if path else str(key), into)
    elif isinstance(node, (list, tuple)) and any(isinstance(entry, (dict, list, tuple)) for entry in node):
        for number, entry in enumerate(node):
            _flatten(entry, f"{path}.{number}", into)
    elif isinstance(node, (list, tuple)):
        into[path] = str([_plain(entry, path) for entry in node])
    else:
        into[path] = _plain(node, path)


def _plain(value: Any, path: str) -> "str | int | float | bool | None":
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(getattr(value, "__name__", value))
    key = path.rpartition(".")[2]
    if key in WEIGHT_FILES:
        return Path(text).name
    if key == "type":
        return "BN" if text in SYNCHRONISED else text.removesuffix(ON_CPU)
    return text


def differences(trained: Mapping[str, Any], asked: Mapping[str, Any]) -> list[Difference]:
    """Return key, trained and asked value of each setting that differs, those of the YAML's properties first."""
    keys = dict.fromkeys([*asked, *trained])
    return [(key, trained.get(key), asked.get(key)) for key in keys if trained.get(key) != asked.get(key)]


@dataclass(frozen=True)
class Resumption:
    """How a resumed stage goes on.

    Attributes:
        longer: It has more epochs than it was trained for, and its schedule is that of all of them.
        note: A line to print, empty where there is nothing to say.
        finished: All its epochs are trained.
    """

    longer: bool = False
    note: str = ""
    finished: bool = False


def resumption(
    meta: Mapping[str, Any],
    asked: Settings,
    where: Path,
    is_last: bool,
    what_to_do: str = WHAT_TO_DO,
    besides: Collection[str] = (),
) -> Resumption:
    """Compare what a stage was trained with with what is asked for now.

    Args:
        meta: ``meta`` of the stage's last checkpoint.
        asked: What ``settings_of`` returns now.
        where: The checkpoint, for messages.
        is_last: Whether no other stage starts from this one's weights; such a stage can be given more epochs.
        what_to_do: How a message ends.
        besides: Keys that are not compared.

    Raises:
        WeightsError: Something was changed that cannot be gone on with.
    """
    trained = meta.get(META_KEY)
    if not isinstance(trained, dict):
        return Resumption(note=f"{where.name} does not tell what it was trained with: nothing could be compared")
    is_untold = not all(any(key.startswith(DATASET) for key in each) for each in (trained, asked))
    untold = {*besides, *(DATA_FOLDER for each in (trained, asked) if DATA_FOLDER not in each)}
    changed = [
        one
        for one in differences(trained, asked)
        if not (one[0].startswith(DATASET) and is_untold) and one[0] not in untold
    ]
    if not changed:
        return Resumption()
    key, before, now = changed[0]
    if is_last and len(changed) == 1 and key == "epochs" and isinstance(before, int) and before < now:
        note = (
            f"{now} epochs in place of {before}: it goes on after epoch {meta.get('epoch')}, at the point that a "
            f"schedule of {now} epochs has there"
        )
        return Resumption(True, note)
    raise WeightsError(
        f"{where} was trained with other settings: {_listed(changed)}: {_ending(changed, is_last, what_to_do)}."
    )


def _listed(changed: Sequence[Difference]) -> str:
    shown = [
        f"{printable(key, 80)} {shortened(old, 60)} there, {shortened(new, 60)} now"
        for key, old, new in changed[:SHOWN]
    ]
    more = len(changed) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _ending(changed: Sequence[Difference], is_last: bool, what_to_do: str) -> str:
    if not is_last and changed[0][0] == "epochs" and len(changed) == 1:
        return f"only the last stage can be given more epochs: {what_to_do}"
    return what_to_do
