"""Which annotations are meant, of what was recognised, with the classes that were asked for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.annotation_files import PROVIDERS
from ..data.recognition.sources import Recognition, Source, recognise
from ..errors import ConfigError, DatasetError, UserError
from ..text import printable

FORMATS = {
    "coco_json": "COCO JSON",
    "id_masks": "images and masks",
    "voc": "Pascal VOC",
    "object_masks": "a folder an image, a mask an object",
    "labelme": "LabelMe JSON",
    "yolo_seg": "YOLO texts",
    "csv_rle": "a table of run lengths",
    "cvat": "CVAT XML",
}


def source_of(path: Path, classes: "Sequence[str] | None") -> Source:
    """Return the annotations in a folder or file.

    Args:
        path: Where they lie.
        classes: Names of the classes, in label order, where they were asked for.

    Raises:
        UserError: There are none, several, or none that can be read.
    """
    found = recognise(path)
    source = _only(path, found)
    return source if classes is None else _with_classes(source, classes)


def format_of(source: Source) -> str:
    """Return how people call a source's format."""
    return FORMATS.get(source.provider, source.provider)


def _only(path: Path, found: Recognition) -> Source:
    shown = printable(path, 300)
    if len(found.sources) == 1:
        return found.sources[0]
    if found.sources:
        told = [f"{format_of(source)} ({place})" for source in found.sources if (place := _place(source))]
        raise DatasetError(
            f"{shown} has {len(found.sources)} kinds of annotations: {'; '.join(told[:6])}: give --from the file or "
            "folder of those that are meant."
        )
    if found.problems:
        more = f" (and {len(found.problems) - 1} more)" if found.problems[1:] else ""
        raise DatasetError(f"the annotations in {shown} cannot be read{more}: {found.problems[0]}")
    known = ", ".join(FORMATS.get(name, name) for name in PROVIDERS)
    if not found.images:
        raise DatasetError(f"{shown} has no images and no annotations: give a folder with both: {known}.")
    raise DatasetError(
        f"{shown} has {found.images} images and nothing that tells their objects: give a folder with both: {known}."
    )


def _place(source: Source) -> str:
    """Return the file or folder that ``--from`` would name."""
    for arguments in source.parts.values():
        for key in ("annotations", "data", "table", "file", "root", "folder", "labels", "masks"):
            if key in arguments:
                return f"--from {printable(arguments[key], 300)}"
    return printable(source.root, 300)


def _with_classes(source: Source, classes: "Sequence[str]") -> Source:
    parts: dict[str, dict[str, Any]] = {
        part: {**arguments, "classes": list(classes)} for part, arguments in source.parts.items()
    }
    try:
        datasets = {part: PROVIDERS[source.provider](**arguments) for part, arguments in parts.items()}
    except UserError as error:
        known = ", ".join(source.class_names[:20])
        raise ConfigError(f"--classes {','.join(classes)}: {str(error).rstrip('.')}; there are: {known}.") from None
    return replace(source, parts=parts, datasets=datasets, notes=())
