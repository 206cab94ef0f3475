"""How weights get into a model: resolving, safe reading, and which tensors are taken.

Files are read by ``checkpoint_reader``, which runs no code.
"""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config

from ..errors import WeightsError, shortened
from ..storage.experiment_files import StageFiles
from ..storage.zip_files import is_whole
from ..zoo.catalogue import successor_of
from ..zoo.downloads import HOW_TO_GO_WITHOUT, fetch, is_remote
from .checkpoint_reader import read_file, reading_for_models
from .class_count import native_class_count, set_class_count
from .config_file import walk

LEAST_MATCH = 0.5
"""A checkpoint that fills fewer of a model's tensors than this share is taken for another architecture's."""


def resolve_weights(weights_path: str, base: Path, cache: "Path | None" = None) -> Path:
    """Return the local file that ``weightsPath`` names.

    Args:
        weights_path: A path, absolute or relative to ``base``; a URL or a model zoo's name, fetched once.
        base: Folder of the YAML file.
        cache: Folder for downloads; by default torch's.

    Raises:
        WeightsError: There is no such file, or it cannot be fetched.
    """
    if is_remote(weights_path):
        return fetch(weights_path, cache, "weightsPath")
    path = (base / Path(weights_path).expanduser()).resolve()
    if not path.is_file():
        raise WeightsError(f"weightsPath {weights_path!r} does not exist: {path} was looked for.")
    return path


def localize_initial_weights(config: Config, cache: "Path | None" = None) -> None:
    """Replace, in place, every download that a model's config names as weights by a local file.

    Raises:
        WeightsError: One is neither cached nor can be fetched, its scheme is unknown, or the file cannot be read.
    """
    for path, node, key in _weights_named(config.model):
        source = str(node[key])
        what = f"model.{path}.{key}: the weights" if path else f"model.{key}: the weights"
        if is_remote(source):
            node[key] = str(fetch(source, cache, what))
        elif not Path(source).expanduser().exists():
            raise WeightsError(f"{what} {source} do not exist: {HOW_TO_GO_WITHOUT}.")
        else:
            node[key] = str(Path(source).expanduser().absolute())
        read_file(Path(node[key]), config.get("trust_weights", False))


def _weights_named(model: Any) -> list[tuple[str, Any, str]]:
    """Return path, mapping and key of each checkpoint that a model's config names, in ``init_cfg`` at any depth too."""
    named = []
    for path, node in walk(model):
        kind = node.get("type")
        if str(getattr(kind, "__name__", kind)) in ("Pretrained", "PretrainedInit") and node.get("checkpoint"):
            named.append((path, node, "checkpoint"))
        named += [(path, node, key) for key in ("pretrained", "teacher_ckpt") if isinstance(node.get(key), str)]
    return named


def read_checkpoint(path: Path, trusted: bool = False) -> dict:
    """Read a checkpoint of MMDetection 2.x or 3.x onto the CPU; without running code, unless it is trusted.

    Args:
        path: The file.
        trusted: Whether the file may run code, as unpickling does.

    Raises:
        WeightsError: It is absent, damaged, of MMDetection 1.x, or holds objects beyond tensors and plain data.
    """
    checkpoint = read_file(path, trusted)
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


def reading_for(config: Config) -> AbstractContextManager:
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


def _refuse_first_generation(checkpoint: dict, path: Path) -> None:
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


def state_of(checkpoint: dict) -> dict[str, torch.Tensor]:
    """Return the model's tensors of a checkpoint, without the prefix that parallel wrappers add."""
    state = checkpoint.get("state_dict", checkpoint.get("model", checkpoint))
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def classes_of(checkpoint: dict) -> "tuple[str, ...] | None":
    """Return the class names that a checkpoint of MMDetection 2.x or 3.x carries."""
    meta = checkpoint.get("meta") or {}
    names = (meta.get("dataset_meta") or {}).get("classes", meta.get("CLASSES"))
    return tuple(str(name) for name in names) if isinstance(names, (list, tuple)) else None


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
    """

    layout: dict = field(default_factory=dict)
    reset: bool = False
    class_names: Sequence[str] = ()
    trusted: bool = False


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
            f"({filled / max(1, wanted):.0%}); give weightsPath a checkpoint that belongs to configPath."
        )
    model.load_state_dict(usable, strict=False)
    anew = sorted(set(policy.layout) - set(usable))
    missing = sorted(name for name in target if name not in source and name not in policy.layout)
    dropped = sorted(name for name in source if name not in target)
    names = (anew, sorted(by_class), sorted(set(reshaped) - set(anew)), missing, dropped)
    return LoadReport(len(usable), len(target), *(tuple(keys) for keys in names))


def _rows_by_class(source: dict, target: dict, policy: HeadPolicy, old_names: "tuple[str, ...] | None") -> dict:
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


def _count(model: Any) -> int:
    things = [node["num_things_classes"] for _, node in walk(model) if "num_things_classes" in node]
    return native_class_count(model) or things[0]


def _shapes(model: Any) -> dict:
    from mmengine.registry import init_default_scope

    from .mmdet_compat import MODELS

    init_default_scope("mmdet")
    with torch.device("meta"):
        built = MODELS.build(copy.deepcopy(model))
    return {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}


def save_as_best(last: Path, path: str, metric: str, score: float) -> None:
    """Write the weights of a whole checkpoint to ``path`` as the best ones, with their score."""
    checkpoint = read_checkpoint(last)
    meta = {name: value for name, value in checkpoint["meta"].items() if name not in ("rows", "random_states")}
    torch.save({"meta": {**meta, metric: score}, "state_dict": checkpoint["state_dict"]}, path)
