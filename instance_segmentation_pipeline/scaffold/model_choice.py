"""A model that was asked for by the name that ``musket models`` lists, and how many objects it finds."""

import contextlib
import math
from pathlib import Path

from ..errors import ConfigError
from ..models.config_file import ZOO_SCOPE, locate, read_native
from ..models.detection_count import set_detection_count
from ..zoo.own_configs import SCOPE
from .choice import Plan

MORE = 1.3
"""Images that were not looked at may be fuller by so much."""


def model_of(name: str) -> str:
    """Return ``configPath`` of a model.

    Args:
        name: As ``musket models`` lists it, with or without ``mmdet::``; or a file.

    Raises:
        ConfigError: There is none of that name.
    """
    if not name.strip():
        raise ConfigError("--model is empty: give a name of musket models, or leave it out.")
    path = Path(name)
    if path.suffix == ".py" and path.is_file():
        return str(path.absolute())
    scoped = name if name.startswith((ZOO_SCOPE, SCOPE)) else f"{ZOO_SCOPE}{name}"
    if scoped.startswith(ZOO_SCOPE) and not scoped.endswith(".py"):
        scoped += ".py"
    try:
        locate(scoped, Path.cwd())
    except ConfigError as error:
        raise ConfigError(f"--model {str(error).removeprefix('configPath ')}") from None
    return scoped


def most_detections(plan: Plan) -> "int | None":
    """Return ``maxDetections``: somewhat more than were seen in an image, ``None`` where the model's own is kept.

    A model of queries finds one object with each, and has no more of them.
    """
    if plan.detections is None:
        return None
    count = 100 * math.ceil(plan.detections * MORE / 100)
    with contextlib.suppress(ConfigError):
        set_detection_count(read_native(locate(plan.model, Path.cwd())).model, count)
        return count
    return None
