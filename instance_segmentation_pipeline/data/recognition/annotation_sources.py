"""Finds files of annotations: COCO's JSON, YOLO's texts, LabelMe's JSON, tables of run lengths."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from ...errors import DatasetError
from ...storage.yaml_files import read_yaml
from ..formats.annotation_text import read_annotation_json
from ..formats.cvat_xml import first_images
from ..formats.yolo_data import PARTS
from .folder_tree import Listing, part_of
from .sources import Candidate

_HEAD = 1 << 20
_LOOKED_AT = 24
"""Files of one folder that are looked into, to tell what they are."""
_OTHER_TASKS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info")
_RUNS = re.compile(r"\d+ \d+( \d+ \d+)*")
_YOLO_PARTS = {"train": "train", "val": "validation", "test": "holdout"}
CLASS_FILES = ("classes.txt", "class_names.txt", "labels.txt", "labelmap.txt", "obj.names", "names.txt")


def coco(root: Path, tree: Sequence[Listing]) -> Iterator[Candidate]:
    """Find JSON files of COCO, those of one folder or of folders named for the parts together."""
    files = [
        file
        for one in tree
        for file in one.of(".json")[:_LOOKED_AT]
        if not file.name.startswith(_OTHER_TASKS) and json_kind(file) == "coco"
    ]
    instances = [file for file in files if file.name.startswith("instances")]
    found = {file: _coco_arguments(file, root, tree) for file in instances or files}
    yield from by_parts("coco_json", found, root, "the JSON {} has images, categories and annotations, as COCO's")


def labelme(root: Path, tree: Sequence[Listing]) -> Iterator[Candidate]:
    """Find folders with LabelMe's JSON files."""
    found: dict[Path, dict[str, Any]] = {}
    for one in tree:
        if "labelme" in [json_kind(file) for file in one.of(".json")[:3]]:
            found[one.path] = {"folder": str(one.path)}
    if len(found) > 1:
        from ..annotation_files import labelme as read

        names = sorted({name for arguments in found.values() for name in read(**arguments).class_names})
        found = {path: {**arguments, "classes": names} for path, arguments in found.items()}
    yield from by_parts("labelme", found, root, "the JSON files in {} have shapes and imagePath, as LabelMe's")


def yolo(root: Path, tree: Sequence[Listing]) -> Iterator[Candidate]:
    """Find YOLO's ``data.yaml``; without one, folders ``images`` and ``labels``."""
    described = False
    for one in tree:
        for file in one.of(".yaml", ".yml")[:_LOOKED_AT]:
            whole = _yaml(file)
            if isinstance(whole, dict) and "names" in whole and any(part in whole for part in PARTS):
                described = True
                there = [part for part in PARTS if whole.get(part)]
                data = {_YOLO_PARTS[part]: {"data": str(file), "part": part} for part in there}
                parts = data if {"train", "validation"} <= set(data) else {"": {"data": str(file)}}
                if not _has_labels(file, "test"):
                    parts.pop("holdout", None)
                yield Candidate("yolo_seg", parts, f"{file.name} has names and train or val, as YOLO's data.yaml")
    if not described:
        yield from _yolo_folders(root, tree)


def tables(root: Path, tree: Sequence[Listing]) -> Iterator[Candidate]:
    """Find tables with a column of run lengths."""
    for one in tree:
        for file in one.of(".csv", ".tsv")[:_LOOKED_AT]:
            arguments = _table_arguments(file, tree)
            if arguments is not None:
                column = arguments.get("mask_column", "EncodedPixels")
                yield Candidate("csv_rle", {"": arguments}, f"{file.name} has run lengths in the column {column}")


def cvat(root: Path, tree: Sequence[Listing]) -> Iterator[Candidate]:
    """Find CVAT's XML for images, those of folders named for the parts together."""
    found: dict[Path, dict[str, Any]] = {}
    for one in tree:
        for file in one.of(".xml")[:_LOOKED_AT]:
            names = first_images(file)
            if names is None:
                continue
            found[file] = {"file": str(file)}
            beside = file.parent / "images"
            folder = _folder_with(names, [beside, file.parent, *_near(file, root, tree)])
            if folder not in (None, beside if beside.is_dir() else file.parent):
                found[file]["images"] = str(folder)
    yield from by_parts("cvat", found, root, "{} has annotations of images, as CVAT's XML")


FINDERS = (yolo, coco, labelme, tables, cvat)


def json_kind(file: Path) -> "str | None":
    """Return ``coco`` or ``labelme`` by the keys at a JSON's beginning and end, ``None`` for another."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_HEAD)
            opened.seek(max(0, file.stat().st_size - _HEAD // 16))
            text += opened.read(_HEAD // 16)
    except OSError:
        return None
    if b'"shapes"' in text and b'"imagePath"' in text:
        return "labelme"
    told = [key for key in (b'"images"', b'"annotations"', b'"categories"') if key in text]
    return "coco" if len(told) >= 2 else None


def class_file(folders: "Sequence[Path]") -> "str | None":
    """Return the first file in some folders that names classes, one a line."""
    for folder in folders:
        for name in CLASS_FILES:
            if (folder / name).is_file():
                return str(folder / name)
    return None


def by_parts(provider: str, found: "dict[Path, dict[str, Any]]", root: Path, evidence: str) -> Iterator[Candidate]:
    """Give one candidate where the names tell the parts of a split, each of them once; else one for each."""
    parts: dict[str, Path] = {}
    for path in found:
        told = part_of(path, root)
        if told is None or told in parts:
            break
        parts[told] = path
    else:
        if {"train", "validation"} <= set(parts) or {"train", "holdout"} <= set(parts):
            names = ", ".join(path.name for path in parts.values())
            ordered = sorted(parts, key=("train", "validation", "holdout").index)
            yield Candidate(provider, {part: found[parts[part]] for part in ordered}, evidence.format(names))
            return
    for path, arguments in found.items():
        yield Candidate(provider, {"": arguments}, evidence.format(path.name))


def _coco_arguments(file: Path, root: Path, tree: Sequence[Listing]) -> "dict[str, Any]":
    """Return the arguments that read a JSON: with the folder in which its first images are."""
    arguments: dict[str, Any] = {"annotations": str(file)}
    whole = read_annotation_json(file)
    images = whole.get("images") if isinstance(whole, dict) else None
    told = [one.get("file_name") for one in images[:5] if isinstance(one, dict)] if isinstance(images, list) else []
    names = [name.replace("\\", "/") for name in told if isinstance(name, str)]
    used = _used_categories(whole)
    if used is not None:
        arguments["classes"] = used
    folder = _folder_with(names, [file.parent, *_near(file, root, tree)])
    if folder is not None and folder != file.parent:
        arguments["images"] = str(folder)
    return arguments


def _used_categories(whole: Any) -> "list[str] | None":
    """Return the names of all categories but that of id 0, where this is a background that no annotation has."""
    try:
        ids = {one["id"]: one["name"] for one in whole["categories"]}
        if 0 not in ids or len(ids) < 2 or any(one["category_id"] == 0 for one in whole["annotations"]):
            return None
        return [str(ids[one]) for one in sorted(ids) if one != 0]
    except (TypeError, KeyError):  # what is wrong with it, the provider tells
        return None


def _near(file: Path, root: Path, tree: Sequence[Listing]) -> "list[Path]":
    """Return the folders of a tree, those first whose name speaks of the part that a file's name speaks of."""
    part = part_of(file, root)
    folders = [one.path for one in tree]
    return sorted(folders, key=lambda folder: part is None or part_of(folder, root) != part)


def _folder_with(names: "Sequence[str]", folders: "Sequence[Path]") -> "Path | None":
    """Return the first folder that has all of some files."""
    if not names:
        return None
    for folder in folders:
        try:
            if all((folder / name).is_file() for name in names):
                return folder
        except (OSError, ValueError):
            continue
    return None


def _yaml(file: Path) -> Any:
    try:
        return read_yaml(file)
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _has_labels(file: Path, part: str) -> bool:
    from ..formats.yolo_data import read_yolo_data

    try:
        return any(image.told_by.exists() for image in read_yolo_data(file).images(part))
    except (KeyError, DatasetError):
        return False


def _yolo_folders(root: Path, tree: Sequence[Listing]) -> Iterator[Candidate]:
    pairs: dict[Path, tuple[Path, Path]] = {}
    for one in tree:
        if not one.images():
            continue
        parts = list(one.path.parts)
        places = [number for number, part in enumerate(parts) if part == "images"]
        if not places or places[-1] < len(root.parts):
            continue
        parts[places[-1]] = "labels"
        labels = Path(*parts)
        if labels.is_dir() and any(entry.suffix == ".txt" for entry in islice(labels.iterdir(), 1000)):
            pairs[one.path] = one.path, labels
    if not pairs:
        return
    names: Any = class_file([root, *(labels for _, labels in pairs.values())])
    notes: tuple[str, ...] = ()
    if names is None:
        count = _class_count([labels for _, labels in pairs.values()])
        names = [f"class {number}" for number in range(count)]
        notes = ("nothing names the classes of the labels: give their names as classes.",)
    found = {
        path: {"images": str(images), "labels": str(labels), "classes": names}
        for path, (images, labels) in pairs.items()
    }
    for candidate in by_parts("yolo_seg", found, root, "labels has texts of the names of images in {}, as YOLO's"):
        yield Candidate(candidate.provider, candidate.parts, candidate.evidence, notes)


def _class_count(folders: "Sequence[Path]") -> int:
    most = 0
    for folder in folders:
        for file in islice(folder.glob("*.txt"), 2000):
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                word = line.split(maxsplit=1)[:1]
                if word and word[0].isdecimal() and len(word[0]) < 6:
                    most = max(most, int(word[0]))
    return most + 1


def _table_arguments(file: Path, tree: Sequence[Listing]) -> "dict[str, Any] | None":
    """Return the arguments that read a table; ``None`` where it has no run lengths, or its images are not there."""
    import csv

    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            first = opened.readline(1 << 16)
            delimiter = max((",", ";", "\t"), key=first.count)
            header = next(csv.reader([first], delimiter=delimiter), [])
            rows = [row for row in islice(csv.reader(opened, delimiter=delimiter), 300) if len(row) == len(header)]
    except (OSError, ValueError, csv.Error):
        return None
    masks = [column for column in range(len(header)) if any(_RUNS.fullmatch(row[column].strip()) for row in rows)]
    if not masks:
        return None
    arguments: dict[str, Any] = {"table": str(file)}
    if header[masks[0]] != "EncodedPixels":
        arguments["mask_column"] = header[masks[0]]
    for column in range(len(header)):
        for part in (None, 0):
            cells = [row[column] if part is None else row[column].rpartition("_")[part] for row in rows]
            folder = _folder_of_ids([cell for cell in dict.fromkeys(cells) if cell][:5], tree)
            if folder is not None:
                name = header[column] if part is None else header[column].rpartition("_")[0]
                if name != "ImageId":
                    arguments["image_column"] = name
                arguments["images"] = str(folder)
                classes = [one for one in header if one.casefold() in ("class", "category", "label", "classname")]
                if classes:
                    arguments["class_column"] = classes[0]
                return arguments
    return None


def _folder_of_ids(names: "list[str]", tree: Sequence[Listing]) -> "Path | None":
    """Return the first folder that has images of some names, with their suffixes or without."""
    for one in tree:
        images = one.images()
        known = {file.name for file in images} | {file.stem for file in images}
        if names and known.issuperset(names):
            return one.path
    return None
