"""Finds masks that lie in images: Pascal VOC's pairs, a folder an image, two folders of images and masks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DatasetError
from ..annotation_files import VOC_CLASSES
from ..formats.mask_images import read_values
from .annotation_sources import by_parts, class_file
from .folder_tree import Listing
from .mask_values import MaskValues, values_of
from .sources import Candidate

_MASK_WORDS = ("mask", "label", "annot", "seg", "gt", "ids", "instance", "groundtruth", "ground_truth", "target", "png")
_LOSSLESS = frozenset({".png", ".tif", ".tiff", ".bmp", ".gif"})
_SAMPLED = 8
"""Mask images of a folder that are opened."""
_Found = dict[Path, tuple[dict[str, Any], MaskValues]]


def voc(root: Path, tree: Sequence[Listing]) -> Iterator[Candidate]:
    """Find folders as Pascal VOC has them."""
    for one in tree:
        if not {"JPEGImages", "SegmentationObject", "SegmentationClass"} <= set(one.folders):
            continue
        arguments: dict[str, Any] = {"root": str(one.path)}
        names = class_file([one.path, root])
        if names is not None:
            arguments["classes"] = names
        notes = _voc_notes(one, names)
        sets = one.path / "ImageSets" / "Segmentation"
        lists = {part: sets / f"{name}.txt" for part, name in (("train", "train"), ("validation", "val"))}
        parts: dict[str, dict[str, Any]] = {"": arguments}
        if all(path.is_file() for path in lists.values()):
            parts = {part: {**arguments, "only": str(path)} for part, path in lists.items()}
        evidence = f"{one.path.name} has JPEGImages, SegmentationObject and SegmentationClass, as Pascal VOC's"
        yield Candidate("voc", parts, evidence, notes)


def object_folders(root: Path, tree: Sequence[Listing]) -> Iterator[Candidate]:
    """Find folders with a folder an image, which has the image in ``images`` and its objects in ``masks``."""
    found: dict[Path, dict[str, Any]] = {}
    for one in tree:
        some = list(one.folders.values())[:6]
        pairs = [folder for folder in some if (folder / "images").is_dir() and (folder / "masks").is_dir()]
        if some and len(pairs) == len(some) and all(_is_one_an_image(folder) for folder in pairs):
            found[one.path] = {"folder": str(one.path)}
    yield from by_parts("object_masks", found, root, "{} has a folder an image, with images and masks in it")


def folder_pairs(root: Path, tree: Sequence[Listing]) -> Iterator[Candidate]:
    """Find folders of images beside folders of masks of the same names."""
    found: _Found = {}
    taken: set[Path] = set()
    with_images = [one for one in tree if one.images() and "SegmentationObject" not in _siblings(one.path)]
    likely = {one.path: one.path != root and _speaks_of_masks(one.path) for one in with_images}
    for images in with_images:
        if images.path in taken or likely[images.path]:
            continue
        for masks in sorted(with_images, key=lambda one: (not likely[one.path], _distance(images.path, one.path))):
            ending = _ending(images, masks)
            if ending is None or (masks.path == images.path and not ending):
                continue
            told = _values(masks, ending)
            if told is not None:
                found[images.path] = _arguments(root, images, masks, ending, told), told
                taken.add(masks.path)
                break
    notes = tuple(dict.fromkeys(note for _, told in found.values() for note in told.notes))
    given = {path: arguments for path, (arguments, _) in _agreeing(found).items()}
    for candidate in by_parts("id_masks", given, root, "{} has images, and a mask of the same name for each"):
        yield Candidate(candidate.provider, candidate.parts, candidate.evidence, notes)


FINDERS = (voc, object_folders, folder_pairs)


def _voc_notes(one: Listing, names: "str | None") -> tuple[str, ...]:
    """Say where masks have classes that VOC has no names for."""
    if names is not None:
        return ()
    most = 0
    for file in _spread(Path(one.folders["SegmentationClass"]), _SAMPLED):
        try:
            values = np.unique(read_values(file))
        except DatasetError:
            continue
        most = max(most, int(values[values != 255].max(initial=0)))
    if most <= len(VOC_CLASSES):
        return ()
    return (f"the masks have the class {most}, but VOC names {len(VOC_CLASSES)}: give classes.",)


def _is_one_an_image(folder: Path) -> bool:
    return sum(1 for _ in (folder / "images").iterdir()) == 1


def _siblings(folder: Path) -> "set[str]":
    try:
        return {entry.name for entry in folder.parent.iterdir() if entry.name == "SegmentationObject"}
    except OSError:
        return set()


def _speaks_of_masks(folder: Path) -> bool:
    return any(word in folder.name.casefold() for word in _MASK_WORDS)


def _distance(one: Path, other: Path) -> int:
    common = sum(1 for left, right in zip(one.parts, other.parts, strict=False) if left == right)
    return len(one.parts) + len(other.parts) - 2 * common


def _ending(images: Listing, masks: Listing) -> "str | None":
    """Return what follows the name of each image in that of its mask; ``None`` where an image has none."""
    stems = sorted({file.stem for file in masks.images() if file.suffix.lower() in _LOSSLESS})
    there = set(stems)
    names = [file.stem for file in images.images()]
    same = images.path == masks.path
    if same:
        return _ending_within(names)
    if set(names) <= there:
        return ""
    first = min(names, key=len)
    for stem in stems:
        if stem.startswith(first) and stem != first:
            ending = stem[len(first) :]
            if all(f"{name}{ending}" in there for name in names):
                return ending
    return None


def _ending_within(names: "list[str]") -> "str | None":
    """Return what follows an image's name in that of its mask, where both lie in one folder."""
    there = set(names)
    for word in ("_mask", "-mask", "_masks", "_label", "_labels", "_seg", "_gt", "_instance", "_ids"):
        masks = {name for name in names if name.endswith(word)}
        if masks and {name.removesuffix(word) for name in masks} == there - masks:
            return word
    return None


def _spread(folder: Path, count: int) -> "list[Path]":
    files = sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in _LOSSLESS)
    step = max(1, len(files) // count)
    return files[::step][:count]


def _values(masks: Listing, ending: str) -> "MaskValues | None":
    """Return what the values of some masks tell, ``None`` where they are photographs."""
    files = [file for file in masks.images() if file.stem.endswith(ending) and file.suffix.lower() in _LOSSLESS]
    step = max(1, len(files) // _SAMPLED)
    try:
        return values_of(files[::step][:_SAMPLED])
    except DatasetError:
        return None


def _arguments(root: Path, images: Listing, masks: Listing, ending: str, told: MaskValues) -> "dict[str, Any]":
    arguments: dict[str, Any] = {"images": str(images.path), "masks": str(masks.path), **told.arguments()}
    if ending:
        arguments["ending"] = ending
    names = class_file([masks.path, images.path.parent, root])
    if names is not None and told.are_classes:
        arguments["classes"] = names
        lines = [
            line for line in Path(names).read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
        if len(lines) != len(told.classes):  # names of all classes; those that were seen are some of them
            arguments.pop("colours", None)
    return arguments


def _agreeing(found: _Found) -> _Found:
    """Give folders whose values are classes the same classes: those that were seen in any."""
    told = [values for _, values in found.values()]
    if len(told) < 2 or not all(values.are_classes for values in told):
        return found
    joined = told[0].joined(told[1:])
    made = {}
    for path, (arguments, _) in found.items():
        own = {**arguments, **joined.arguments()}
        if isinstance(arguments["classes"], str):
            own["classes"] = arguments["classes"]
        made[path] = own, joined
    return made
