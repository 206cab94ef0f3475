"""YOLO's ``data.yaml``: names of classes, and where the images of each part are; labels lie beside ``images``.

Source of the format: https://docs.ultralytics.com/datasets/segment/#dataset-format, and ``img2label_paths`` for the
place of labels: the last folder ``images`` of a path becomes ``labels``, the suffix ``.txt``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...errors import DatasetError, one_line, shortened
from ...storage.yaml_files import parse_yaml
from ...text import printable
from ..class_names import checked_names
from ..image_folder import SUFFIXES
from .annotation_text import read_annotation_text
from .yolo_text import YoloImage

PARTS = ("train", "val", "test")
_MOST_BYTES = 1 << 24
_MOST_LISTED = 1 << 28


@dataclass(frozen=True)
class YoloData:
    """What a ``data.yaml`` says.

    Attributes:
        path: The file.
        class_names: Names of the classes, in label order.
        parts: By the name of a part, the folders and lists that its images are in.
        root: What those are relative to.
    """

    path: Path
    class_names: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]
    root: Path

    def images(self, part: str) -> list[YoloImage]:
        """Return the images of a part, in the order of their paths, those of lists in the order of the list.

        Raises:
            DatasetError: A folder or list is not there, has no image, or has one twice.
        """
        found: dict[Path, None] = {}
        for given in self.parts[part]:
            place = self._place(part, given)
            for file in _listed(place, self.root) if place.is_file() else _within(place):
                if file in found:
                    raise DatasetError(f"{self.path}: {part} has the image {printable(file, 300)} twice.")
                found[file] = None
        if not found:
            raise DatasetError(f"{self.path}: {part} has no image: expected files that end in .jpg, .png and the like.")
        return [YoloImage(self._name(file), file, labels_of(file), len(self.class_names)) for file in found]

    def _place(self, part: str, given: str) -> Path:
        """Return a folder or list: relative to ``path``, to the file itself, or, as exporters write it, to neither."""
        spelled = given.replace("\\", "/")
        for base in (self.root, self.path.parent):
            for name in (given, spelled, spelled.removeprefix("../")):
                place = base / name
                try:
                    if place.exists():
                        return place.absolute()
                except (OSError, ValueError):  # too long, or with a zero byte
                    continue
        raise DatasetError(
            f"{self.path}: {part} is {shortened(given)}, which is not in {printable(self.root, 300)}: correct path or "
            f"{part}."
        )

    def _name(self, file: Path) -> str:
        base = self.root.absolute()
        return file.relative_to(base).as_posix() if base in file.parents else str(file)


def read_yolo_data(path: Path) -> YoloData:
    """Read a ``data.yaml``; nothing that it names is downloaded or run.

    Raises:
        DatasetError: What is wrong with it, with its name.
    """
    text = read_annotation_text(path, _MOST_BYTES)
    try:
        whole = parse_yaml(text)
    except yaml.YAMLError as error:
        raise DatasetError(f"{path} is no YAML: {one_line(error)}.") from None
    if not isinstance(whole, dict):
        raise DatasetError(f"{path} is {shortened(whole)}, expected a mapping with names, train and val.")
    names = _names(path, whole)
    parts = {part: _places(path, part, whole[part]) for part in PARTS if whole.get(part)}
    if not parts:
        raise DatasetError(f"{path} has none of {', '.join(PARTS)}: expected where the images of each are.")
    return YoloData(path, names, parts, _root(path, whole.get("path")))


def labels_of(image: Path) -> Path:
    """Return where the labels of an image are."""
    places = [number for number, part in enumerate(image.parts[:-1]) if part == "images"]
    parts = list(image.parts)
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _names(path: Path, whole: "dict[Any, Any]") -> tuple[str, ...]:
    names, count = whole.get("names"), whole.get("nc")
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise DatasetError(
                f"{path} has names for the classes {shortened(list(names))}, expected 0 to {len(names) - 1}."
            )
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DatasetError(f"{path} has names {shortened(names)}, expected a list, or a mapping of numbers to names.")
    try:
        found = checked_names([str(name) if type(name) in (int, float) else name for name in names])
    except DatasetError as error:
        raise DatasetError(f"{path}: names: {error}") from None
    if count is not None and count != len(found):
        raise DatasetError(f"{path} has nc {shortened(count)}, but {len(found)} names: correct one of them.")
    return found


def _places(path: Path, part: str, given: object) -> tuple[str, ...]:
    places = given if isinstance(given, list) else [given]
    if not all(isinstance(place, str) and place.strip() for place in places):
        raise DatasetError(f"{path} has {part} {shortened(given)}, expected a folder, a list of images, or several.")
    return tuple(places)


def _root(path: Path, given: object) -> Path:
    """Return what the parts are relative to: ``path``, by itself or within the file's folder, where it is there."""
    if given is None:
        return path.parent
    if not isinstance(given, str):
        raise DatasetError(f"{path} has path {shortened(given)}, expected a folder.")
    place = path.parent / Path(given.replace("\\", "/")).expanduser()
    try:
        return place if place.is_dir() else path.parent
    except (OSError, ValueError):
        return path.parent


def _within(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    except OSError as error:
        raise DatasetError(f"{printable(folder, 300)} cannot be listed ({error.strerror}).") from None


def _listed(path: Path, root: Path) -> Iterator[Path]:
    """Give the images of a list, one a line: relative to the list where they begin with ``./``, else to the root."""
    for number, line in enumerate(read_annotation_text(path, _MOST_LISTED).splitlines(), start=1):
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        places = [base / name for base in (path.parent, root)]
        try:
            file = next((place for place in places if place.is_file()), None)
        except (OSError, ValueError):
            file = None
        if file is None:
            raise DatasetError(f"{path}: line {number} names the image {shortened(name)}, which is not there.")
        yield file.absolute()
