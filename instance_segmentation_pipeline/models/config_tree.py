"""Finding one's way in the mappings and lists of a native config."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

Node = dict[str, Any]
"""A mapping inside a config: MMEngine's ``ConfigDict``, or a plain one."""

Pipeline = list[Node]
"""Configs of transforms, in the order in which they are applied."""


def walk(node: object, path: str = "") -> Iterator[tuple[str, Node]]:
    """Yield ``(dotted path, mapping)`` for every mapping inside a config, the outermost first."""
    if isinstance(node, dict):
        yield path, node
        for key in list(node):
            yield from walk(node[key], f"{path}.{key}" if path else str(key))
    elif isinstance(node, (list, tuple)):
        for number, entry in enumerate(node):
            yield from walk(entry, f"{path}.{number}" if path else str(number))


def value_at(config: object, path: str) -> Any:
    """Return what lies at a dotted path, ``None`` where there is nothing."""
    node: Any = config
    for part in path.split("."):
        if isinstance(node, (list, tuple)):
            node = node[int(part)] if part.isdecimal() and int(part) < len(node) else None
        else:
            node = node.get(part) if isinstance(node, (dict, Config)) else None
    return node


def type_name(node: Node) -> str:
    """Return the name of a part's ``type`` without its scope; configs in the new style hold the class itself."""
    kind = node.get("type")
    return kind.rpartition(".")[2] if isinstance(kind, str) else str(getattr(kind, "__name__", kind))


def is_pretrained(node: Node) -> bool:
    """Say whether a part of a model starts from weights that its config names."""
    init = node.get("init_cfg")
    return isinstance(init, dict) and type_name(init) in ("Pretrained", "PretrainedInit")
