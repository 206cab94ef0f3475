"""The formats that predictions on a folder are written in, and what cannot be written."""

from collections.abc import Sequence

from ..errors import ConfigError, nearest, shortened

FORMATS = {"coco": "coco", "yolo": "yolo", "labelme": "labelme", "png": "ids", "csv": "csv"}
"""What is found may be written in, and how ``data.formats`` calls it."""
FILE_AN_IMAGE = frozenset({"yolo", "labelme", "png"})
"""Those that have a file for each image, called as it is."""


def check_outputs(formats: object, page: object, arrays: bool, with_masks: bool) -> None:
    """Raise a ``ConfigError`` where what is asked for cannot be written.

    Args:
        formats: Names of formats.
        page: Whether there is to be a page of pictures.
        arrays: Whether masks are written in place of pictures.
        with_masks: Whether the model has masks.
    """
    if isinstance(formats, (str, bytes)) or not isinstance(formats, Sequence):
        raise ConfigError(f"formats is {shortened(formats)}, expected a list of {', '.join(FORMATS)}.")
    for name in formats:
        if not isinstance(name, str) or name not in FORMATS:
            guess = nearest(str(name), FORMATS)
            raise ConfigError(f"{shortened(name)} is no format{guess}: it is one of {', '.join(FORMATS)}.")
        if name not in ("coco", "csv") and not with_masks:
            raise ConfigError(f"{name} holds masks, and this model has none: predictions.json has its boxes.")
    if not isinstance(page, bool):
        raise ConfigError(f"page is {shortened(page)}, expected True or False.")
    if page and arrays:
        raise ConfigError("a page shows pictures, and binaryArray=True writes masks in their place: leave one out.")
