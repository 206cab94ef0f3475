"""Regions that are ignored in training (crowds): what a model makes of MMDetection's ``ignored_instances``."""

import inspect

from .config_tree import Node, type_name, walk
from .mmdet_compat import TASK_UTILS

SHARE = "ignore_iof_thr"
"""Of a box, what has to lie in a region's box for it to be ignored; 0 or less ignores none, as most configs have it."""
ALWAYS = ("CenterRegionAssigner",)
"""Assigners that ignore regions with no option for it."""


def note_on_crowds(model: Node, count: int) -> str:
    """Return a line on what training makes of regions whose objects are not told apart.

    Args:
        model: The model's config.
        count: How many there are.
    """
    whole, able, acting = [], [], []
    for path, node in walk(model):
        kind = type_name(node)
        if not kind.endswith("Assigner"):
            continue
        whole.append(kind)
        if _knows_share(kind):
            able.append(f"model.{path}.{SHARE}")
        if kind in ALWAYS or (able and able[-1].startswith(f"model.{path}.") and (node.get(SHARE) or -1) > 0):
            acting.append(f"model.{path}")
    if acting:
        told = f"boxes that lie in theirs are neither learned nor background ({', '.join(acting)})"
    elif able:
        told = f"to this model they are background: to ignore them, set {' and '.join(able)} to 0.5 by configOptions"
    else:
        what = f" ({', '.join(dict.fromkeys(whole))})" if whole else ""
        told = f"this model{what} has no way to ignore them, they are background in training"
    return f"{count} crowds: {told}; COCO's metrics do not count what is found on them"


def _knows_share(kind: str) -> bool:
    made = TASK_UTILS.get(kind)
    return made is not None and SHARE in inspect.signature(made).parameters
