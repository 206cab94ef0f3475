"""How many objects a model finds in an image at most: what its config says, and ``maxDetections`` set in it."""

from typing import Any

from ..errors import ConfigError
from .config_tree import Node, walk

ANSWERS = ("max_per_img", "max_per_image")
CANDIDATES = ("nms_pre", "top_k")
"""What answers are chosen of; fewer than the answers would be the limit."""

QUERIES = ("num_queries", "num_proposals")
"""Each finds one object at most, and has weights of its own."""


def detection_limits(model: Node) -> dict[str, int]:
    """Return how many detections a model gives for an image at most, by the keys of its config that say so."""
    limits = {}
    for path, node in walk(model):
        keys: tuple[str, ...] = ()
        if _answers(path):
            keys = ANSWERS
        elif "test_cfg" not in path:
            keys = QUERIES
        limits.update({_dotted(path, key): node[key] for key in keys if _is_count(node.get(key))})
    return limits


def set_detection_count(model: Node, count: int) -> str:
    """Let a model find so many objects in an image, in place; what they are chosen of is raised where it is less.

    Args:
        model: The model's config.
        count: Objects in an image.

    Returns:
        A line on what was set.

    Raises:
        ConfigError: The model has fewer queries, or nothing that says how many objects it finds.
    """
    limits = detection_limits(model)
    fewer = {key: limit for key, limit in limits.items() if key.rpartition(".")[2] in QUERIES and limit < count}
    if fewer:
        key, limit = next(iter(fewer.items()))
        raise ConfigError(
            f"maxDetections is {count}, but the model has {limit} queries, each of which finds one object: set "
            f"maxDetections to {limit} at most, or {key} by configOptions, whose weights then start anew."
        )
    if not any(key.rpartition(".")[2] in ANSWERS for key in limits):
        raise ConfigError(
            f"maxDetections: the config of {model.get('type')} does not say how many objects it finds "
            f"({' or '.join(ANSWERS)} of its test_cfg): set what it has by configOptions, and remove maxDetections."
        )
    changed = []
    for path, node in walk(model):
        for key in (*ANSWERS, *CANDIDATES):
            there: Any = node.get(key)
            is_raised = key in CANDIDATES or not _answers(path)
            if not _in_testing(path) or not _is_count(there) or (is_raised and not 0 <= there < count):
                continue
            node[key] = count
            if there != count:
                changed.append(f"{_dotted(path, key)} in place of {there}")
    return f"detections: {count} an image" + (f" ({', '.join(changed)})" if changed else "")


def _in_testing(path: str) -> bool:
    return "test_cfg" in path.split(".")


def _answers(path: str) -> bool:
    """Say whether a node of the config is of what the model answers, and not of what it proposes to itself."""
    return _in_testing(path) and path.rsplit(".", maxsplit=1)[-1] != "rpn"


def _dotted(path: str, key: str) -> str:
    return f"model.{path}.{key}".replace("..", ".")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
