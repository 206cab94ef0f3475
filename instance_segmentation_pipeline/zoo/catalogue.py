"""MMDetection's model zoo as its metafiles in the installed package describe it.

A catalogue of configs with published results and weights, and the way from the name of an older config to its
successor: the folder that published weights lie in still carries the 2.x name of their config.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class ZooEntry:
    """One published model.

    Attributes:
        config: The config's name, ``<folder>/<file>.py``.
        architecture: The collection it belongs to, such as ``Mask R-CNN``.
        backbone: What the name tells of the backbone, such as ``r50``.
        box_ap: Published box AP on COCO val2017, in percent; ``None`` where none is published.
        mask_ap: Published mask AP, likewise.
        memory: Memory of its training in GB, likewise.
        weights: URL of its weights, likewise.
    """

    config: str
    architecture: str
    backbone: str
    box_ap: "float | None"
    mask_ap: "float | None"
    memory: "float | None"
    weights: "str | None"

    @property
    def older_name(self) -> str:
        """The config's name in MMDetection 2.x; empty where no weights tell it."""
        return self.weights.rstrip("/").split("/")[-2] if self.weights else ""


@lru_cache(maxsize=1)
def zoo_folder() -> Path:
    """Return the folder of MMDetection's config zoo inside the installed package."""
    from importlib.util import find_spec

    spec = find_spec("mmdet")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / ".mim" / "configs"


@lru_cache(maxsize=1)
def zoo_names() -> tuple[str, ...]:
    """Return the zoo's config names, ``<folder>/<file>.py``, without the base files."""
    folder = zoo_folder()
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))
    return tuple(sorted(name for name in found if not name.startswith("_base_/")))


@lru_cache(maxsize=1)
def catalogue() -> tuple[ZooEntry, ...]:
    """Return the published models of all metafiles, sorted by config name."""
    entries: dict[str, ZooEntry] = {}
    known = set(zoo_names())
    for metafile in sorted(zoo_folder().rglob("metafile.yml")):
        data = yaml.load(metafile.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        models = data.get("Models", []) if isinstance(data, dict) else data
        for model in models or []:
            entry = _entry(model)
            if entry is not None and entry.config in known:
                entries[entry.config] = entry
    return tuple(entries[name] for name in sorted(entries))


def entry_of(config: str) -> "ZooEntry | None":
    """Return the catalogue's entry of a config, named with or without folder and ``.py``."""
    wanted = config if config.endswith(".py") else config + ".py"
    return next((e for e in catalogue() if wanted in (e.config, e.config.rpartition("/")[2])), None)


def successor_of(stem: str) -> str:
    """Return the zoo config that follows an older config, by the parts of its name; empty when little is shared.

    Args:
        stem: File name of a MMDetection 1.x or 2.x config or checkpoint, without ending.
    """
    wanted = _parts(stem)
    best, score = "", 0.0
    for name, parts in _candidates():
        shared = len(wanted & parts)
        similarity = shared / max(1, len(wanted | parts)) + 0.01 * shared
        if similarity > score:
            best, score = name, similarity
    return best if len(wanted & _parts_of(best)) * 2 >= min(len(wanted), 8) and score > 0.3 else ""


@lru_cache(maxsize=1)
def _candidates() -> tuple[tuple[str, frozenset[str]], ...]:
    """Return pairs of a zoo config and the parts of one of its names, new or old."""
    pairs = [(name, _parts(Path(name).stem)) for name in zoo_names()]
    pairs += [(entry.config, _parts(entry.older_name)) for entry in catalogue() if entry.older_name]
    return tuple(pairs)


def _parts_of(name: str) -> frozenset[str]:
    return frozenset[str]().union(*(parts for candidate, parts in _candidates() if candidate == name))


RENAMED = {"mstrain": "ms", "dcn": "dconv", "coco": "", "nohead": "", "foveabox": "fovea"}
JOINED = {
    "fast_mask_rcnn": "fast rcnn",
    "mask_rcnn": "mask rcnn",
    "faster_rcnn": "faster rcnn",
    "wider_face": "widerface",
    "double_heads": "dh",
}
BACKBONE = re.compile(
    r"(?:^|_)((?:r|x|s|res2net-?|regnetx?-?|swin-|pvt-|hrnetv2p-|convnext-|mobilenetv2|d53|hourglass|resnest)[^_]*)"
)


def _parts(stem: str) -> frozenset[str]:
    """Split a config's name to comparable parts; date, hash and 2.x spellings are levelled."""
    text = stem.lower()
    for old, new in JOINED.items():
        text = text.replace(old, new)
    words = re.split(r"[_\-+ ]+", text)
    words = [part for word in words for part in re.split(r"(?<=^x101)|(?<=^r50)|(?<=^r101)", word) if part]
    parts = (RENAMED.get(word, word) for word in words)
    return frozenset(p for p in parts if p and not re.fullmatch(r"\d{8}|[0-9a-f]{8}|\d+gpu|\d+xb?\d+|1", p))


def _entry(model: Mapping[str, Any]) -> "ZooEntry | None":
    config = str(model.get("Config", "")).removeprefix("configs/")
    if not config:
        return None
    metadata = model.get("Metadata") or {}
    collection = model.get("In Collection")
    results = model.get("Results") or []
    weights = model.get("Weights")
    return ZooEntry(
        config=config,
        architecture=str(collection or config.partition("/")[0]),
        backbone=_backbone(Path(config).stem),
        box_ap=_metric(results, "box AP"),
        mask_ap=_metric(results, "mask AP"),
        memory=_number(metadata.get("Training Memory (GB)")),
        weights=weights if isinstance(weights, str) and weights.startswith("http") else None,
    )


def _backbone(stem: str) -> str:
    found = BACKBONE.search(stem.partition("_")[2] or stem)
    return found.group(1) if found else ""


def _metric(results: Iterable[Mapping[str, Any]], name: str) -> "float | None":
    for result in results:
        value = (result.get("Metrics") or {}).get(name)
        if value is not None:
            return _number(value)
    return None


def _number(value: object) -> "float | None":
    try:
        return float(str(value).split()[0])
    except (ValueError, IndexError):
        return None
