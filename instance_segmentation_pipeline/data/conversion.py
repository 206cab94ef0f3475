"""Datasets and predictions written as files of another format: image by image, into a folder that is then whole."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from ..detection.arrays import UInt8Array
from ..detection.crowds import Crowds
from ..detection.detections import Detections
from ..errors import ConfigError, DatasetError, sentence
from ..storage.atomic import host_name, not_writable
from ..storage.leftovers import remove_left_folders
from ..text import one_line_of, printable
from .annotated_images import AnnotatedImages, crowds_of
from .data_folder import FolderDataSet, inner_of
from .formats.annotated_image import ImageAnnotations
from .formats.coco_json import CocoWriter
from .formats.image_pairs import by_stem
from .formats.labelme_json import NO_CLASSES
from .formats.saving import annotation_writer
from .formats.writing import AnnotationWriter, FileNames, write_lines, write_whole
from .image_file import image_size
from .item_cache import place_of
from .item_reader import ItemReader
from .protocols import Dataset

MODES = ("reference", "link", "copy")
"""What becomes of images: annotations name them where they are, or they are linked or copied into ``images``."""
LISTED = "images.txt"
"""Names of the images that mask images were written of, where these stay in a folder that may have others."""
_FLAT = frozenset({"yolo", "ids", "labelme"})
"""Formats whose files of an image lie in one folder."""


@dataclass(frozen=True)
class Entry:
    """An image and its objects.

    Attributes:
        name: What names it in its dataset.
        found: Its objects.
        file: Its file, ``None`` where the dataset makes it.
        pixels: The image ``(height, width, 3)`` uint8 RGB, where there is no file.
        crowds: Labels from 0 and masks of its regions whose objects are not told apart.
    """

    name: str
    found: Detections
    file: "Path | None" = None
    pixels: "UInt8Array | None" = None
    crowds: "Crowds | None" = None


@dataclass(frozen=True)
class Entries:
    """Images and their objects, read one by one.

    Attributes:
        count: How many there are.
        read: Reads one by its position, or raises a ``DatasetError``.
        class_names: Names of the classes, in label order.
        base: The folder that all files of the images are in, or in folders below it; ``None`` where there are none.
        folders: How many folders they are in.
        sources: The files of the images, as ``_entry_of`` spells them: none of them is replaced.
    """

    count: int
    read: Callable[[int], Entry]
    class_names: Sequence[str]
    base: "Path | None" = None
    folders: int = 1
    sources: "frozenset[str]" = frozenset()


@dataclass(frozen=True)
class Target:
    """Where and how to write.

    Attributes:
        folder: The folder.
        format_name: One of ``saving.WRITTEN``.
        images: One of ``MODES``.
        scored: Write scores where the format has a place for them.
        polygons: Have COCO's JSON hold polygons.
        overwrite: Replace files that are there.
    """

    folder: Path
    format_name: str
    images: str
    scored: bool = False
    polygons: bool = False
    overwrite: bool = False


@dataclass
class Conversion:
    """What was written.

    Attributes:
        images: How many images.
        objects: How many objects.
        skipped: Images that could not be, with the reason, a line each.
        remarks: What the format could not hold.
        kept: How many files were in the folder before, and still are.
    """

    images: int = 0
    objects: int = 0
    skipped: "list[str]" = field(default_factory=list)
    remarks: "list[str]" = field(default_factory=list)
    kept: int = 0


def file_of(dataset: Dataset, position: int) -> "ImageAnnotations | None":
    """Return what the files of an item's annotations tell; ``None`` where its dataset makes or changes it."""
    inner: Any = dataset
    while True:
        if type(inner) is FolderDataSet:
            inner = inner_of(inner)[0]
            continue
        owner, position = place_of(inner, position)
        if owner is inner:
            break
        inner = owner
    return inner.images[position] if type(inner) is AnnotatedImages else None


def dataset_entries(dataset: Dataset, reader: ItemReader, class_names: Sequence[str]) -> Entries:
    """Return the items of any dataset; of those that lie in files no pixel is read."""
    files = [file_of(dataset, position) for position in range(len(dataset))]

    def read(position: int) -> Entry:
        told = files[position]
        if told is not None:
            return _annotated(told)
        name, image, objects = reader.read(dataset, position)
        masks = None if objects.masks is None else objects.masks.to_rles()
        scores = np.ones(len(objects), np.float32)
        found = Detections(objects.height, objects.width, objects.labels, scores, objects.bboxes, masks)
        return Entry(name, found, None, image, objects.crowds)

    return Entries(len(dataset), read, class_names, *_files(files))


def predicted_entries(
    dataset: Dataset, found: Callable[[int], Detections], reader: ItemReader, class_names: Sequence[str]
) -> Entries:
    """Return the items of a dataset with what was found in each, ``found(position)``."""
    files = [file_of(dataset, position) for position in range(len(dataset))]

    def read(position: int) -> Entry:
        told, there = files[position], found(position)
        if told is not None:
            return Entry(told.name, there, told.file)
        name, image = reader.image(dataset, position)
        return Entry(name, there, None, image)

    return Entries(len(dataset), read, class_names, *_files(files))


def _annotated(image: ImageAnnotations) -> Entry:
    try:
        height, width = image_size(image.file)
        labels, masks = image.objects(height, width)
        crowds = crowds_of(image, height, width)
    except DatasetError as error:
        raise DatasetError(f"{image.told_by}: image {image.name!r} {error}") from None
    scores = np.ones(len(labels), np.float32)
    found = Detections(height, width, labels, scores, masks.tight_boxes(), masks.to_rles())
    return Entry(image.name, found, image.file, None, crowds)


def _files(files: "Sequence[ImageAnnotations | None]") -> "tuple[Path | None, int, frozenset[str]]":
    """Return the folder that all files are in, or in folders below it, how many folders they are in, and the files."""
    folders = {str(one.file.absolute().parent) for one in files if one is not None}
    real = {folder: os.path.realpath(folder) for folder in folders}
    there = {f"{real[str(one.file.absolute().parent)]}/{one.file.name}" for one in files if one is not None}
    return (Path(os.path.commonpath(folders)) if folders else None), len(folders), frozenset(there)


def _entry_of(path: Path) -> str:
    """Return a file's path with the links in its folder's path followed, and not itself, where it is a link."""
    return f"{os.path.realpath(path.parent)}/{path.name}"


def annotated_entries(dataset: AnnotatedImages) -> Entries:
    """Return the images of files: of each, the size is read, and no pixel."""
    return Entries(
        len(dataset),
        lambda position: _annotated(dataset.images[position]),
        dataset.class_names,
        *_files(dataset.images),
    )


def convert(entries: Entries, target: Target, positions: "Iterable[int] | None" = None) -> Conversion:
    """Write images and their objects; the folder appears, or changes, when all is written.

    Args:
        entries: The images; one that cannot be read is left out, and named.
        target: Where and how.
        positions: Those to write, all by default: a bar over them shows how far it is.

    Raises:
        ConfigError: The folder has files, and ``overwrite`` is not asked for; or it cannot be written to.
        DatasetError: No image could be read.
    """
    check_target(entries, target)
    remove_left_folders(target.folder)
    hidden = f".{target.folder.name[:80]}.{host_name()}-{os.getpid()}-{secrets.token_hex(8)}.tmp"
    staging, done = target.folder.with_name(hidden), Conversion()
    try:
        try:
            staging.mkdir(parents=True)
        except OSError as error:
            raise ConfigError(not_writable(target.folder.parent, error)) from error
        _Writing(entries, target, staging).write(range(entries.count) if positions is None else positions, done)
        if not done.images:
            raise DatasetError(f"no image could be converted: {done.skipped[0] if done.skipped else 'there is none'}.")
        _put_in_place(staging, target.folder, done)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return done


def declaration(entries: Entries, target: Target) -> "dict[str, Any]":
    """Return what the YAML has for ``dataset`` to read what was written."""
    folder, names = target.folder, list(entries.class_names)
    images = entries.base if target.images == "reference" else folder / "images"
    with_images: dict[str, Any] = {} if images is None else {"images": str(images)}
    if target.format_name == "coco":
        named = with_images if target.images == "reference" else {}
        return {"coco_json": {"annotations": str(folder / "annotations.json"), **named}}
    if target.format_name == "yolo":
        return {"yolo_seg": {"data": str(folder / "data.yaml"), "part": "train"}}
    if target.format_name == "labelme":
        ignored: dict[str, Any] = {} if set(names).isdisjoint(NO_CLASSES) else {"ignore": []}
        return {"labelme": {"folder": str(folder), "classes": names, **ignored}}
    if target.format_name == "csv":
        return {"csv_rle": {"table": str(folder / "annotations.csv"), **with_images, "classes": names}}
    told = {"classes": str(folder / "classes.txt")}
    if target.images == "reference" and images is not None:
        told["only"] = str(folder / LISTED)
    by_class = {"class_masks": str(folder / "class_masks")} if len(names) > 1 else {}
    return {"id_masks": {**with_images, "masks": str(folder / "masks"), **told, **by_class}}


class _Writing:
    """Writes entries, and links or copies their images."""

    def __init__(self, entries: Entries, target: Target, staging: Path) -> None:
        self._entries, self._target, self._staging = entries, target, staging
        self._names = FileNames()
        self._places: dict[str, str] = {}
        self._renamed: list[tuple[str, str]] = []
        self._written: list[str] = []
        self._crowds_left = 0

    def write(self, positions: "Iterable[int]", done: Conversion) -> None:
        target = self._target
        writer = annotation_writer(
            target.format_name,
            self._staging,
            self._entries.class_names,
            scored=target.scored,
            polygons=target.polygons,
            image_path=lambda name: self._places.pop(name, name),
        )
        with writer:
            for position in positions:
                name = f"image {position}"
                try:
                    entry = self._entries.read(position)
                    name = entry.name
                    own, place = self._place(entry)
                    if target.format_name == "labelme":
                        self._places[own] = place
                    self._add(writer, place if target.format_name in ("coco", "csv") else own, entry)
                    self._keep_image(entry, place)
                except DatasetError as error:
                    told = one_line_of(sentence(error).rstrip("."), 300)
                    done.skipped.append(told if name in told else f"{printable(name, 100)} {told}")
                    continue
                done.images += 1
                done.objects += len(entry.found)
                self._written.append(own)
        if target.format_name == "ids" and target.images == "reference":
            write_lines(self._staging / LISTED, self._written)
        done.remarks = list(writer.remarks)
        if self._renamed:
            before, after = (printable(name, 100) for name in self._renamed[0])
            done.remarks.append(f"{len(self._renamed)} images have other names there, the first {before} is {after}")
        if self._crowds_left:
            done.remarks.append(
                f"{self._crowds_left} crowds, whose objects are not told apart, are left out: coco alone can hold them"
            )

    def _add(self, writer: AnnotationWriter, name: str, entry: Entry) -> None:
        if isinstance(writer, CocoWriter):
            writer.add(name, entry.found, crowds=entry.crowds)
            return
        writer.add(name, entry.found)
        self._crowds_left += 0 if entry.crowds is None else len(entry.crowds[0])

    def _place(self, entry: Entry) -> tuple[str, str]:
        """Return an image's own name, and how annotations in the folder name its file."""
        name = self._relative(entry)
        suffix = PurePosixPath(name).suffix
        if self._target.images == "reference":
            if self._target.format_name in _FLAT:
                own = self._names.of(PurePosixPath(name).name) + suffix
                kept = own.strip() == PurePosixPath(name).name or entry.file is None
                if self._target.format_name == "ids" and not kept:
                    raise ConfigError(
                        f"--images reference: no mask can have the name of the image {printable(name, 100)} (another "
                        "has it, or a file is not to be called that): give link or copy."
                    )
                return own, name if entry.file is None else os.path.relpath(entry.file, self._target.folder)
            return _table_name(name) if self._target.format_name == "csv" else name, name
        before = PurePosixPath(name).name if self._target.format_name in _FLAT else name
        own = self._names.of(before) + suffix
        if own != before:
            self._renamed.append((before, own))
        if self._target.format_name == "csv":
            return own, _table_name(own)
        return own, f"images/{own}"

    def _relative(self, entry: Entry) -> str:
        if entry.file is None:
            name = entry.name.replace("\\", "/")
            copied = self._target.images == "copy"
            return f"{name}.png" if copied and PurePosixPath(name).suffix.lower() != ".png" else name
        base = self._entries.base
        return entry.file.name if base is None else entry.file.absolute().relative_to(base).as_posix()

    def _keep_image(self, entry: Entry, place: str) -> None:
        if self._target.images == "reference":
            return
        path = self._staging / (f"images/{place}" if self._target.format_name == "csv" else place)
        if entry.file is not None and self._is_there(entry.file, self._target.folder / path.relative_to(self._staging)):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._target.images == "copy" and entry.file is None:
            assert entry.pixels is not None
            picture = Image.fromarray(entry.pixels)
            write_whole(path, lambda temporary: picture.save(temporary, format="PNG"))
            return
        if entry.file is None:
            raise ConfigError(
                f"image {printable(entry.name, 100)} lies in no file, its dataset makes it: give --images copy, which "
                "writes it, or --images reference, which names it."
            )
        try:
            if self._target.images == "link":
                path.symlink_to(entry.file.absolute())
            else:
                shutil.copyfile(entry.file, path)
        except OSError as error:
            raise ConfigError(not_writable(path.parent, error)) from error

    def _is_there(self, file: Path, place: Path) -> bool:
        """Say whether an image lies already where it is to be found.

        Raises:
            ConfigError: Another image of the dataset lies there.
        """
        taken = _entry_of(place)
        if taken == _entry_of(file):
            return True
        if taken in self._entries.sources:
            raise ConfigError(f"{printable(place)} is an image of the dataset itself: give another folder as --output.")
        return False


def _table_name(name: str) -> str:
    """Return a name as a table has it, or raise a ``DatasetError`` for one that would be read as another."""
    if name != name.strip() or name.encode(errors="replace").decode() != name:
        raise DatasetError(
            "has a name that a table cannot hold (it begins or ends with a blank, or is no text in UTF-8): rename it"
        )
    return name


def check_target(entries: Entries, target: Target) -> None:
    """Raise a ``ConfigError`` where nothing can be written, or would not be found: before anything is.

    The folder has files, and ``overwrite`` is not asked for; or it is none; or the format looks for images elsewhere.
    """
    _check_images(entries, target)
    folder = target.folder
    if folder.is_symlink() and not folder.exists():
        raise ConfigError(f"{printable(folder)} is a link to nothing: give another folder.")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{printable(folder)} is no folder: give another.")
    if not target.overwrite and any(folder.iterdir()):
        raise ConfigError(
            f"{printable(folder)} has files already: give another folder, or --overwrite true, which replaces those of "
            "the same names."
        )


def _check_images(entries: Entries, target: Target) -> None:
    """Refuse to leave images where the format would not find them."""
    if target.images != "reference" or target.format_name not in ("yolo", "ids"):
        return
    if target.format_name == "yolo":
        raise ConfigError("--images reference: YOLO looks for labels beside the folder of images: give link or copy.")
    try:
        if entries.base is not None and entries.folders == 1:
            by_stem(entries.base, "images")
    except DatasetError as error:
        raise ConfigError(f"--images reference: {str(error).rstrip('.')}: give link or copy.") from None
    if entries.base is not None and entries.folders > 1:
        raise ConfigError(
            f"--images reference: the images lie in several folders below {printable(entries.base)}, but masks are "
            "found by the names in one: give link or copy."
        )


def _put_in_place(staging: Path, folder: Path, done: Conversion) -> None:
    """Give what was written its place: the folder by one renaming, or its files one by one where it has some."""
    try:
        if not folder.exists() or (not folder.is_symlink() and not any(folder.iterdir())):
            if folder.exists():
                folder.rmdir()
            staging.rename(folder)
            return
        written = [path.relative_to(staging) for path in staging.rglob("*") if path.is_symlink() or path.is_file()]
        before = {path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
        for path in written:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).replace(folder / path)
        done.kept = len(before - set(written))
    except OSError as error:
        raise ConfigError(not_writable(folder, error)) from error
