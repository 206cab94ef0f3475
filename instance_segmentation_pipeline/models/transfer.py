"""Weights of one model into another: heads that depend on the classes, and a report of what became of each tensor."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config

from ..errors import WeightsError
from .checkpoints import classes_of, read_checkpoint, reading_for, state_of
from .class_count import native_class_count, set_class_count
from .config_tree import Node, walk

LEAST_MATCH = 0.5
"""A checkpoint that fills fewer of a model's tensors than this share is taken for another architecture's."""

State = dict[str, torch.Tensor]


class ClassLayout(NamedTuple):
    """Where the classes lie in a tensor.

    Attributes:
        dimension: The dimension that grows with the number of classes.
        per_class: By how much it grows for a class.
        rest: What is left, such as the background's row.
    """

    dimension: int
    per_class: int
    rest: int


@dataclass(frozen=True)
class HeadPolicy:
    """What happens to tensors whose shape depends on the number of classes.

    Attributes:
        layout: Their names, and where classes lie in them.
        reset: Start them anew; otherwise rows of classes of the same name are kept.
        class_names: The model's class names, in label order.
        trusted: Whether the checkpoint's file may run code.
        key: What of the YAML names the checkpoint.
    """

    layout: dict[str, ClassLayout] = field(default_factory=dict)
    reset: bool = False
    class_names: Sequence[str] = ()
    trusted: bool = False
    key: str = "weightsPath"


@dataclass(frozen=True)
class LoadReport:
    """What became of a model's tensors and a checkpoint's."""

    loaded: int
    total: int
    anew: tuple[str, ...]
    by_class: tuple[str, ...]
    reshaped: tuple[str, ...]
    missing: tuple[str, ...]
    dropped: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.loaded} of {self.total} tensors loaded"]
        for title, keys in (
            ("start anew", self.anew),
            ("taken class by class", self.by_class),
            ("of another shape", self.reshaped),
            ("missing", self.missing),
            ("dropped", self.dropped),
        ):
            if keys:
                shown = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
                parts.append(f"{len(keys)} {title} ({shown})")
        return "; ".join(parts)


def load_into(model: torch.nn.Module, path: Path, policy: "HeadPolicy | None" = None) -> LoadReport:
    """Load a checkpoint's tensors into a model.

    Args:
        model: The model; tensors that the checkpoint does not fill stay as they are.
        path: The checkpoint.
        policy: What happens to tensors that depend on the classes; by default they are taken like all others.

    Raises:
        WeightsError: The file cannot be read, or fits too little of the model.
    """
    policy = policy or HeadPolicy()
    checkpoint = read_checkpoint(path, policy.trusted)
    source, target = state_of(checkpoint), model.state_dict()
    by_class = {} if policy.reset else _rows_by_class(source, target, policy, classes_of(checkpoint))
    special = set(policy.layout) if policy.reset else set(by_class)
    usable, reshaped = dict(by_class), []
    for name, tensor in target.items():
        if name in special or name not in source:
            continue
        if source[name].shape == tensor.shape:
            usable[name] = source[name]
        else:
            reshaped.append(name)
    wanted = len(target) - len(policy.layout)
    filled = len([name for name in usable if name not in policy.layout])
    if filled < LEAST_MATCH * wanted:
        raise WeightsError(
            f"{path} is a checkpoint of another architecture: it fills {filled} of the {wanted} tensors of this model "
            f"({filled / max(1, wanted):.0%}); give {policy.key} a checkpoint that belongs to configPath."
        )
    model.load_state_dict(usable, strict=False)
    anew = sorted(set(policy.layout) - set(usable))
    missing = sorted(name for name in target if name not in source and name not in policy.layout)
    dropped = sorted(name for name in source if name not in target)
    names = (anew, sorted(by_class), sorted(set(reshaped) - set(anew)), missing, dropped)
    return LoadReport(len(usable), len(target), *(tuple(keys) for keys in names))


def _rows_by_class(source: State, target: State, policy: HeadPolicy, old_names: "tuple[str, ...] | None") -> State:
    """Return class-dependent tensors whose rows come from the checkpoint where class names agree.

    Without class names in the checkpoint nothing is known about its rows, and shapes alone decide, elsewhere.
    """
    if old_names is None or tuple(old_names) == tuple(policy.class_names):
        return {}
    filled = {}
    shared = [(new, old_names.index(name)) for new, name in enumerate(policy.class_names) if name in old_names]
    for name, layout in policy.layout.items():
        if name not in source:
            continue
        old, new = source[name], target[name].clone()
        if old.dim() != new.dim() or old.shape[layout.dimension] != layout.per_class * len(old_names) + layout.rest:
            continue
        class_first = "reg" in name.rpartition(".")[0].rpartition(".")[2]
        now = [_rows(index, len(policy.class_names), layout, class_first) for index in range(len(policy.class_names))]
        then = [_rows(index, len(old_names), layout, class_first) for index in range(len(old_names))]
        pairs = [pair for a, b in shared for pair in zip(now[a], then[b], strict=True)]
        pairs += zip(_others(new, layout, now), _others(old, layout, then), strict=True)
        for row, former in pairs:
            new.select(layout.dimension, row).copy_(old.select(layout.dimension, former))
        filled[name] = new
    return filled


def _rows(index: int, count: int, layout: ClassLayout, class_first: bool) -> list[int]:
    """Return the rows of a class.

    Box regression keeps the rows of a class together; anchors repeat all classes, and the background behind them; a
    layer that reads class scores among its inputs has them behind its features.
    """
    if layout.dimension == 1:
        return [layout.rest + index * layout.per_class + part for part in range(layout.per_class)]
    if class_first:
        return [index * layout.per_class + part for part in range(layout.per_class)]
    stride = count + layout.rest // layout.per_class
    return [part * stride + index for part in range(layout.per_class)]


def _others(tensor: torch.Tensor, layout: ClassLayout, classes: list[list[int]]) -> list[int]:
    """Return the rows that belong to no class, in order."""
    taken = {row for rows in classes for row in rows}
    return [row for row in range(tensor.shape[layout.dimension]) if row not in taken]


def class_dependent(config: Config) -> dict[str, ClassLayout]:
    """Return the tensors whose shape depends on the number of classes, by name.

    Found by building the model on no device twice, once with a class more, and comparing shapes: no list of
    layer names decides it.
    """
    count = _count(config.model)
    more = copy.deepcopy(config.model)
    set_class_count(more, count + 1)
    with reading_for(config):
        now, then = _shapes(config.model), _shapes(more)
    layouts = {}
    for name, shape in now.items():
        changed = [d for d, (size, grown) in enumerate(zip(shape, then[name], strict=True)) if size != grown]
        if changed:
            per_class = then[name][changed[0]] - shape[changed[0]]
            layouts[name] = ClassLayout(changed[0], per_class, shape[changed[0]] - per_class * count)
    return layouts


def _count(model: Node) -> int:
    things = [node["num_things_classes"] for _, node in walk(model) if "num_things_classes" in node]
    return native_class_count(model) or int(things[0])


def _shapes(model: Node) -> dict[str, tuple[int, ...]]:
    from mmengine.registry import init_default_scope

    from .mmdet_compat import MODELS

    init_default_scope("mmdet")
    with torch.device("meta"):
        built = MODELS.build(copy.deepcopy(model))
    return {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}
