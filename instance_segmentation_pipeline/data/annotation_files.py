"""Providers of this package: datasets that the YAML declares by the files that they lie in, with no Python."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, nearest, shortened
from .annotated_images import AnnotatedImages
from .class_names import checked_names
from .formats.coco_json import read_coco


def coco_json(
    annotations: str, images: "str | None" = None, classes: "Sequence[str] | None" = None, missing: str = "error"
) -> AnnotatedImages:
    """Return the images and objects of a COCO JSON.

    Args:
        annotations: The JSON file.
        images: The folder that its file names are in; by default the JSON's own.
        classes: Names of the categories to take, in label order; by default all, in the order of their ids.
        missing: ``error``, or ``skip`` to leave out images whose files are not there.

    Raises:
        DatasetError: The file is wrong; the message says where.
        ConfigError: An argument is.
    """
    file = _path(annotations, "annotations of coco_json")
    folder = file.parent if images is None else _path(images, "images of coco_json")
    wanted = None if classes is None else checked_names(classes)
    if missing not in ("error", "skip"):
        raise ConfigError(f"missing of coco_json is {shortened(missing)}, expected error or skip.")
    names, found = read_coco(file, folder, wanted, skip_missing=missing == "skip")
    return AnnotatedImages(file, names, found)


PROVIDERS: "dict[str, Callable[..., AnnotatedImages]]" = {"coco_json": coco_json}
"""By the names that ``dataset`` has for them."""


def check_arguments(name: str, positional: Sequence[Any], named: "dict[str, Any]") -> None:
    """Raise a ``ConfigError`` for arguments that a provider of this package does not take."""
    signature = inspect.signature(PROVIDERS[name])
    known = list(signature.parameters)
    unknown = [str(key) for key in named if key not in known]
    if unknown:
        raise ConfigError(
            f"{name} has no argument {shortened(unknown[0])}{nearest(unknown[0], known)}: it has {', '.join(known)}."
        )
    try:
        signature.bind(*positional, **named)
    except TypeError as error:
        raise ConfigError(f"{name}: {error}; its arguments are {', '.join(known)}.") from None


def _path(value: object, what: str) -> Path:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{what} is {shortened(value)}, expected a path.")
    return Path(value).expanduser().absolute()
