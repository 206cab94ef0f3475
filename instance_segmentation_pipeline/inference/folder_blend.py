"""Predictions on the images of a folder, of several nets or experiments, fused: Musket's ``ansemblePredictions``.

Each was written by ``predict_to_directory`` or ``musket predict``: ``predictions.json`` in a folder of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.formats.annotation_text import read_annotation_json
from ..data.image_folder import Directory
from ..detection.arrays import Rle
from ..detection.detections import Detections, MusketPrediction
from ..detection.fusion import DEFAULT_IOU, fuse
from ..errors import ConfigError, DatasetError, nearest, one_line, shortened

NAME = "predictions.json"
METHOD = "weighted"
Callback = Callable[[str, MusketPrediction, Any], object]


@dataclass(frozen=True)
class FolderPredictions:
    """What one ``predictions.json`` holds.

    Attributes:
        path: The file.
        class_names: Names of the classes, in label order.
        images: Height and width of each image, by its name.
        objects: Its annotations, by its name.
        skipped: Names of the images that could not be used.
    """

    path: Path
    class_names: tuple[str, ...]
    images: Mapping[str, tuple[int, int]]
    objects: Mapping[str, Sequence[Mapping[str, Any]]]
    skipped: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> "FolderPredictions":
        """Read a file.

        Raises:
            DatasetError: It is no such file.
        """
        whole = read_annotation_json(path)
        try:
            categories = {int(one["id"]): str(one["name"]) for one in whole["categories"]}
            names = {one["id"]: str(one["file_name"]) for one in whole["images"]}
            sizes = {str(one["file_name"]): (int(one["height"]), int(one["width"])) for one in whole["images"]}
            objects: dict[str, list[Any]] = {name: [] for name in sizes}
            for one in whole["annotations"]:
                objects[names[one["image_id"]]].append({**one, "name": categories[int(one["category_id"])]})
            skipped = frozenset(str(one["file_name"]) for one in whole.get("info", {}).get("skipped", ()))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(
                f"{path} holds no predictions ({one_line(error)}): expected what predict_to_directory wrote."
            ) from error
        return cls(path, tuple(categories[one] for one in sorted(categories)), sizes, objects, skipped)

    def detections(self, name: str, class_names: Sequence[str]) -> Detections:
        """Return what was found in an image, with labels by these names.

        Raises:
            DatasetError: An annotation of it is damaged.
        """
        (height, width), found = self.images[name], self.objects[name]
        try:
            boxes = np.array([one["bbox"] for one in found], np.float32).reshape(-1, 4)
            masks: list[Rle] | None = [_rle(one["segmentation"]) for one in found] if _has_masks(found) else None
            scores = np.array([float(one["score"]) for one in found], np.float32)
            labels = np.array([class_names.index(one["name"]) for one in found], np.int64)
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f"{self.path}: annotations of {shortened(name)} are damaged ({one_line(error)}): predict anew."
            ) from error
        boxes[:, 2:] += boxes[:, :2]
        return Detections(height, width, labels, scores, boxes, masks)


def _has_masks(found: Sequence[Mapping[str, Any]]) -> bool:
    return all("segmentation" in one for one in found)


def _rle(given: Any) -> Rle:
    height, width = (int(side) for side in given["size"])
    return {"size": [height, width], "counts": str(given["counts"])}


def ansemble_predictions(
    source: "str | Path",
    folders: Sequence["str | Path"],
    cb: Callback,
    data: Any,
    weights: "Sequence[float] | None" = None,
) -> list[str]:
    """Call ``cb(file name, prediction, data)`` for each image of a folder, with what several found in it, fused.

    Args:
        source: The folder with the images.
        folders: Where ``predict_to_directory``, of one experiment or of several, has written what it found there.
        cb: Gets Musket's prediction tuple, boxes as minY, minX, maxY, maxX; masks where all have some.
        data: Handed on.
        weights: Of the folders; equal by default.

    Returns:
        The images that were left out, since one of the folders names them as not to be used.

    Raises:
        UserError: A folder has no predictions, or not of each image, or on other classes or sizes.
    """
    shares = _checked(folders, cb, weights)
    members = [FolderPredictions.read(_file_of(folder)) for folder in folders]
    class_names = members[0].class_names
    for one in members[1:]:
        others = sorted(set(one.class_names) ^ set(class_names))
        if others:
            raise DatasetError(
                f"{members[0].path} and {one.path} are of other classes: {shortened(others[0])} is of one alone"
                f"{nearest(others[0], set(class_names) - set(others))}."
            )
    left_out = []
    names = [file.name for file in Directory(source).files]
    chosen = [(name, _place_of(name, members)) for name in names]
    for name, size in chosen:
        if size is None:
            left_out.append(name)
            continue
        found = [one.detections(name, class_names) for one in members]
        cb(name, fuse(found, METHOD, DEFAULT_IOU, shares).to_musket("yxyx"), data)
    return left_out


def _place_of(name: str, members: Sequence[FolderPredictions]) -> "tuple[int, int] | None":
    """Return the size of an image; ``None`` where a folder says that it cannot be used."""
    if any(name in one.skipped for one in members):
        return None
    missing = next((one for one in members if name not in one.images), None)
    if missing is not None:
        raise DatasetError(f"{missing.path} has nothing on {shortened(name)}: predict on the whole folder.")
    sizes = {one.images[name] for one in members}
    if len(sizes) > 1:
        raise DatasetError(
            f"{shortened(name)} has the sizes {sorted(sizes)} in the folders (height, width): predict on the same."
        )
    return sizes.pop()


def _checked(folders: Any, cb: Any, weights: Any) -> "list[float] | None":
    if not isinstance(folders, (list, tuple)) or not folders:
        raise ConfigError(f"folders is {shortened(folders)}, expected a list of folders with {NAME}.")
    if not callable(cb):
        raise ConfigError(f"cb is {shortened(cb)}, expected a function of file name, prediction and data.")
    if weights is None:
        return None
    numbers = list(weights) if isinstance(weights, (list, tuple, np.ndarray)) else []
    sound = all(isinstance(one, (int, float, np.number)) and not isinstance(one, bool) for one in numbers)
    if len(numbers) != len(folders) or not sound or not all(0 <= one < np.inf for one in numbers) or not sum(numbers):
        raise ConfigError(
            f"weights is {shortened(weights)}, expected a number of 0 or more for each of {len(folders)} folders."
        )
    return [float(one) for one in numbers]


def _file_of(folder: Any) -> Path:
    if not isinstance(folder, (str, Path)):
        raise ConfigError(f"folders has {shortened(folder)}, expected the path of a folder with {NAME}.")
    path = Path(folder) / NAME
    if not path.is_file():
        raise ConfigError(
            f"{folder} has no {NAME}: cfg.predict_to_directory and musket predict --output write it, for each net or "
            "experiment into a folder of its own."
        )
    return path


def has_arrays(folders: Any) -> bool:
    """Say whether some folders have arrays of another pipeline: ``.npy`` files, and none predictions of ours."""
    paths = [Path(one) for one in folders if isinstance(one, (str, Path))] if isinstance(folders, (list, tuple)) else []
    return not any((one / NAME).is_file() for one in paths) and any(next(one.glob("*.npy"), None) for one in paths)
