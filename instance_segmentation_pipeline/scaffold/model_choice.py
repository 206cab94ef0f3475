"""A model that was asked for by the name that ``musket models`` lists, and its limits."""

from pathlib import Path

from ..errors import ConfigError
from ..models.config_file import ZOO_SCOPE, locate, read_native
from ..models.prepare import detection_limits
from ..zoo.own_configs import SCOPE
from .choice import Plan


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


def limits_of(plan: Plan) -> list[str]:
    """Return the keys of the model's config that say how many objects an image are found at most."""
    if plan.detections is None:
        return []
    limits = detection_limits(read_native(locate(plan.model, Path.cwd())).model)
    return [key for key, count in limits.items() if count < plan.detections]
