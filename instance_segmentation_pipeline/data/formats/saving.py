"""The formats that annotations are written in, by their names on the command line."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import ConfigError, nearest, shortened
from .coco_json import CocoWriter
from .id_images import IdImageWriter
from .labelme_json import LabelmeWriter
from .rle_csv import CsvWriter
from .writing import AnnotationWriter, FileNames
from .yolo_text import YoloWriter

WRITTEN = {
    "coco": "annotations.json",
    "yolo": "data.yaml",
    "labelme": "",
    "ids": "masks",
    "csv": "annotations.csv",
}
"""What each format's annotations are called in their folder."""
KEEPS_SCORES = frozenset({"coco", "labelme", "csv"})


def annotation_writer(
    name: str,
    folder: Path,
    class_names: Sequence[str],
    *,
    scored: bool = False,
    polygons: bool = False,
    image_path: "Callable[[str], str]" = str,
    names: "FileNames | None" = None,
    linked: "Path | None" = None,
) -> AnnotationWriter:
    """Return what writes annotations of a format into a folder.

    Args:
        name: One of ``WRITTEN``.
        folder: The folder; it is made.
        class_names: Names of the classes, in label order.
        scored: Write scores, in the formats of ``KEEPS_SCORES``.
        polygons: Have COCO's JSON hold polygons instead of RLE.
        image_path: Gives the path of an image as LabelMe's JSON in the folder is to have it, by the image's name.
        names: Names of the files of images; each as the image by default.
        linked: The folder with the images, to which YOLO's folder gets links; none are made by default.

    Raises:
        ConfigError: There is no such format, or it cannot hold the name of a class.
    """
    _check_names(name, class_names)
    if name == "coco":
        return CocoWriter(folder / WRITTEN[name], class_names, scored, polygons)
    if name == "yolo":
        return YoloWriter(folder, class_names, names=names, linked=linked)
    if name == "labelme":
        return LabelmeWriter(folder, class_names, scored, image_path, names)
    if name == "ids":
        return IdImageWriter(folder, class_names, names)
    if name == "csv":
        return CsvWriter(folder / WRITTEN[name], class_names, scored)
    raise ConfigError(f"{shortened(name)} is no format{nearest(name, WRITTEN)}: it is one of {', '.join(WRITTEN)}.")


def _check_names(name: str, class_names: Sequence[str]) -> None:
    """Refuse names of classes that would be read as others: of lines, of cells, of YAML."""
    for one in class_names:
        if name in ("ids", "csv") and one != one.strip():
            raise ConfigError(f"class {one!r} begins or ends with a blank, which {name} cannot hold: rename it.")
        if name in ("ids", "yolo") and len(f"{one}.".splitlines()) > 1:
            raise ConfigError(f"class {one!r} has a line break, which {name} cannot hold: rename it.")
