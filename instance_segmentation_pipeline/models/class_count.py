"""Bringing a number of classes to every head of a native model, by its structure alone.

No list of model names decides anything: counts, lists of weights with one entry a class, things and stuff of
panoptic heads, and branches that learn from semantic maps are told by their keys and lengths. A config of
tomorrow, or a user's own, is treated alike.
"""

from collections import Counter

from ..errors import ConfigError
from .config_tree import Node, walk

SEMANTIC = ("semantic_head", "semantic_roi_extractor")
"""Branches that learn from maps of stuff, which datasets of instances do not have."""


def set_class_count(model: Node, count: int) -> list[str]:
    """Set the number of classes in a native model config, in place.

    Args:
        model: The config's ``model``.
        count: Number of classes, background not counted.

    Returns:
        What was changed, as text for a person; empty when the model has no number of classes at all.

    Raises:
        ConfigError: The model only wraps one of another framework.
    """
    _refuse_wrappers(model)
    changed = _drop_semantic_branches(model)
    things = _set_things(model, count)
    native = native_class_count(model)
    counted = []
    for path, node in walk(model):
        if "num_classes" in node and _is_ours(path, node["num_classes"], native):
            node["num_classes"] = count
            counted.append(f"model.{path}" if path else "model")
    for size in {native, things}:
        if size is not None:
            _resize_weights(model, size, count)
    if counted or things is not None:
        changed.insert(0, f"classes: {count} in {', '.join(counted) or 'the panoptic head'}")
    return changed


def _refuse_wrappers(model: Node) -> None:
    """A wrapper holds another framework's config, whose classes, sizes and losses nothing here can reach."""
    if "meta_architecture" in {str(key).lower() for _, node in walk(model) for key in node}:
        raise ConfigError(
            f"the model {model['type']} wraps a network of Detectron2, whose classes only that framework sets: "
            "use the config of MMDetection's own implementation."
        )


def native_class_count(model: Node) -> "int | None":
    """Return the number of classes that a native model was made for: the one that most of its heads name."""
    counts = Counter(
        node["num_classes"]
        for path, node in walk(model)
        if isinstance(node.get("num_classes"), int) and not _class_agnostic(path) and not _in_backbone(path)
    )
    return max(counts, key=lambda value: (counts[value], value)) if counts else None


def is_class_count(model: Node, path: str, key: str) -> bool:
    """Say whether ``set_class_count`` sets ``key`` of the mapping at a dotted path in a native model."""
    for where, node in walk(model):
        if where == path and key in node:
            ours = key == "num_classes" and _is_ours(path, node[key], native_class_count(model))
            return ours or key in ("num_things_classes", "num_stuff_classes")
    return False


def _is_ours(path: str, value: object, native: "int | None") -> bool:
    """Say whether a count is that of the classes: heads that tell objects from background alone keep theirs."""
    return value == native and not _class_agnostic(path) and not _in_backbone(path)


def _class_agnostic(path: str) -> bool:
    return any("rpn" in part for part in path.split("."))


def _in_backbone(path: str) -> bool:
    return path.split(".", maxsplit=1)[0] == "backbone"


def _set_things(model: Node, count: int) -> "int | None":
    """Set things and stuff of panoptic heads; return how many classes both together were, ``None`` without any.

    Only instances are asked of such a model then: its panoptic and semantic outputs would need stuff.
    """
    native = None
    for _, node in walk(model):
        if isinstance(node.get("num_things_classes"), int):
            native = node["num_things_classes"] + (node.get("num_stuff_classes") or 0)
            node["num_things_classes"] = count
            node["num_stuff_classes"] = 0
        if "panoptic_on" in node or "instance_on" in node:
            node.update(panoptic_on=False, semantic_on=False, instance_on=True)
        if node.get("pad_seg"):
            node["pad_seg"] = False
    return native


def _resize_weights(model: Node, native: int, count: int) -> None:
    """Give lists with one weight a class, and perhaps one for the background, the new length.

    Equal weights stay what they are; unequal ones belong to classes that are gone, and become their mean.
    """
    for _, node in walk(model):
        for key, value in node.items():
            if key == "class_weight" and _is_one_a_class(value, native):
                classes, background = list(value[:native]), list(value[native:])
                node[key] = [sum(classes) / len(classes)] * count + background


def _is_one_a_class(value: object, native: int) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) < 2 or len(value) not in (native, native + 1):
        return False
    return all(isinstance(entry, (int, float)) for entry in value)


def _drop_semantic_branches(model: Node) -> list[str]:
    dropped = []
    for path, node in walk(model):
        for key in SEMANTIC:
            if node.get(key) is not None:
                node[key] = None
                dropped.append(f"{path}.{key}" if path else key)
    return [f"dropped, for lack of semantic maps: {', '.join(dropped)}"] if dropped else []
