"""Providers of this package: datasets that the YAML declares by the files that they lie in, with no Python."""

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError, DatasetError, nearest, shortened
from .annotated_images import AnnotatedImages
from .class_names import checked_names
from .formats.annotated_image import AnnotatedImage
from .formats.annotation_text import read_annotation_text
from .formats.coco_json import read_coco
from .formats.cvat_xml import read_cvat
from .formats.image_lookup import images_by_name_or_stem
from .formats.image_pairs import by_stem, check_pairs, chosen, folder_entries, listed_names
from .formats.labelme_json import NO_CLASSES, read_labelme
from .formats.mask_images import MaskFolder, MaskImage, meanings
from .formats.rle_csv import Columns, read_table
from .formats.yolo_data import read_yolo_data
from .formats.yolo_text import YoloImage

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""Classes of Pascal VOC, by the values 1 to 20 of its masks."""
Names = str | Sequence[str]
"""A list, or the name of a file with one a line."""


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


def id_masks(  # noqa: PLR0913 - each is an argument in the YAML
    images: str,
    masks: str,
    classes: Names = ("object",),
    class_masks: "str | None" = None,
    values: str = "objects",
    colours: "Sequence[Any] | None" = None,
    background: Any = 0,
    ignore: "Sequence[Any]" = (),
    ending: str = "",
    only: "Names | None" = None,
) -> AnnotatedImages:
    """Return images whose masks lie in images of the same names: one for all objects of an image.

    Args:
        images: Folder of the images.
        masks: Folder of the masks.
        classes: Class names in label order, or a file with one a line.
        class_masks: Folder of images whose values are the classes of the objects.
        values: What a value of ``masks`` is: one of the ``objects``; or one of the ``classes``, whose regions that
            hang together are the objects.
        colours: Value or colour ``[red, green, blue]`` of each class; by default they count from 1.
        background: Value or colour that is no object.
        ignore: Further ones.
        ending: What follows the image's name in that of the mask, such as ``_mask``.
        only: Names of the images to take, or a file with one a line.

    Raises:
        DatasetError: A folder or file is wrong.
        ConfigError: An argument is.
    """
    if values not in ("objects", "classes"):
        raise ConfigError(f"values of id_masks is {shortened(values)}, expected objects or classes.")
    names = _class_names(classes, "classes of id_masks")
    by_class = values == "classes" or class_masks is not None
    if values == "classes" and class_masks is not None:
        raise ConfigError("values: classes of id_masks and class_masks both tell the classes: give one of them.")
    if not by_class and len(names) > 1:
        raise ConfigError(
            f"id_masks has {len(names)} classes, but nothing tells which object is of which: give values: classes, or "
            "class_masks."
        )
    if not by_class and colours is not None:
        raise ConfigError("colours of id_masks are those of classes: give values: classes, or class_masks.")
    for key, given in (("ignore", ignore), ("colours", colours or ())):
        if not isinstance(given, (list, tuple)):
            raise ConfigError(f"{key} of id_masks is {shortened(given)}, expected a list of values or colours.")
    if not isinstance(ending, str):
        raise ConfigError(f"ending of id_masks is {shortened(ending)}, expected a text.")
    meant = meanings(len(names), by_class, colours, background, ignore)
    folder = _path(images, "images of id_masks")
    there = by_stem(folder, "images")
    if ending and folder == _path(masks, "masks of id_masks"):  # one folder has both
        there = {stem: file for stem, file in there.items() if not stem.endswith(ending)}
    files = chosen(there, listed_names(only, "only", there), str(folder))
    drawn = _partners(files, _path(masks, "masks of id_masks"), "masks", ending)
    told = None
    if class_masks is not None:
        told = _partners(files, _path(class_masks, "class_masks of id_masks"), "class_masks", ending)
    found = [
        MaskImage(file.name, file, drawn[stem], meant, None if told is None else told[stem])
        for stem, file in files.items()
    ]
    return AnnotatedImages(folder, names, found)


def voc(root: str, only: "Names | None" = None, classes: Names = VOC_CLASSES) -> AnnotatedImages:
    """Return the images of a folder as Pascal VOC has it: JPEGImages, SegmentationObject and SegmentationClass.

    Args:
        root: The folder.
        only: Names of the images, or a file with one a line, such as ``ImageSets/Segmentation/train.txt``; by default
            those that have masks.
        classes: Class names in label order, or a file with one a line; a first one that is the background is left out.

    Raises:
        DatasetError: A folder or file is wrong.
    """
    folder = _path(root, "root of voc")
    drawn = by_stem(folder / "SegmentationObject", "masks")
    names = _class_names(classes, "classes of voc")
    names = names[1:] if names[0].strip("_").lower() in ("background", "bg") else names
    return id_masks(
        images=str(folder / "JPEGImages"),
        masks=str(folder / "SegmentationObject"),
        class_masks=str(folder / "SegmentationClass"),
        classes=names,
        ignore=[255],
        only=sorted(drawn) if only is None else only,
    )


def object_masks(
    folder: str, images: str = "images", masks: str = "masks", classes: Names = ("object",), only: "Names | None" = None
) -> AnnotatedImages:
    """Return the images of a folder that has a folder for each: with the image, and with a mask image an object.

    Args:
        folder: The folder.
        images: Name of the folder within each that has its image; exactly one.
        masks: Name of the folder within each that has its masks; without one there are no objects.
        classes: The class's name, in a list.
        only: Names of the folders to take, or a file with one a line.

    Raises:
        DatasetError: A folder or file is wrong.
        ConfigError: An argument is.
    """
    names = _class_names(classes, "classes of object_masks")
    if len(names) > 1:
        raise ConfigError(f"classes of object_masks has {len(names)} names, expected one: nothing tells them apart.")
    for key, given in (("images", images), ("masks", masks)):
        if not isinstance(given, str) or not given.strip():
            raise ConfigError(f"{key} of object_masks is {shortened(given)}, expected a folder's name.")
    whole = _path(folder, "folder of object_masks")
    within = {entry.name: entry for entry in folder_entries(whole, "folder") if entry.is_dir()}
    if not within:
        raise DatasetError(f"{whole} has no folders: expected one an image.")
    found = []
    for name, one in chosen(within, listed_names(only, "only", within), str(whole)).items():
        pictures = list(by_stem(one / images, "images").values())
        if len(pictures) != 1:
            raise DatasetError(f"{one / images} has {len(pictures)} images, expected one.")
        drawn = by_stem(one / masks, "masks").values() if _has_entries(one / masks) else ()
        found.append(MaskFolder(name, pictures[0], one / masks, tuple(drawn)))
    return AnnotatedImages(whole, names, found)


def labelme(
    folder: str, classes: "Names | None" = None, ignore: Sequence[str] = NO_CLASSES, only: "Names | None" = None
) -> AnnotatedImages:
    """Return the images that the JSON files of LabelMe in a folder are of.

    Args:
        folder: The folder of the JSON files.
        classes: Labels in label order, or a file with one a line; by default those that there are, sorted.
        ignore: Labels whose shapes are left out.
        only: Names of the JSON files to take, or a file with one a line.

    Raises:
        DatasetError: A file is wrong; the message says where.
        ConfigError: An argument is.
    """
    whole = _path(folder, "folder of labelme")
    if not isinstance(ignore, (list, tuple)) or not all(isinstance(label, str) for label in ignore):
        raise ConfigError(f"ignore of labelme is {shortened(ignore)}, expected a list of labels.")
    files = {entry.stem: entry for entry in folder_entries(whole, "folder") if entry.suffix.lower() == ".json"}
    if not files:
        raise DatasetError(f"{whole} has no JSON, expected those of LabelMe, one an image.")
    wanted = listed_names(only, "only", {*files, *(f"{stem}.json" for stem in files)})
    stems = None if wanted is None else [name.removesuffix(".json") for name in wanted]
    named = None if classes is None else _class_names(classes, "classes of labelme")
    names, found = read_labelme(list(chosen(files, stems, str(whole)).values()), named, tuple(ignore))
    found = _named_apart(whole, found)
    return AnnotatedImages(whole, names, found)


def yolo_seg(
    data: "str | None" = None,
    part: "str | None" = None,
    images: "str | None" = None,
    labels: "str | None" = None,
    classes: "Names | None" = None,
    only: "Names | None" = None,
) -> AnnotatedImages:
    """Return images whose objects are texts of the same names, as YOLO's segmentation has them.

    Args:
        data: YOLO's ``data.yaml``; without ``part``, its ``train``, ``val`` and ``test`` are training, validation and
            holdout, ``test`` where one of its images has labels.
        part: ``train``, ``val`` or ``test``: the images of that part alone.
        images: Folder of the images, where there is no ``data.yaml``.
        labels: Folder of the texts; an image without one has no objects.
        classes: Class names in the order of their numbers, from 0, or a file with one a line.
        only: Names of the images to take, or a file with one a line.

    Raises:
        DatasetError: A folder or file is wrong.
        ConfigError: An argument is.
    """
    if data is not None:
        if (images, labels, classes, only) != (None, None, None, None):
            raise ConfigError("data of yolo_seg tells images, labels and classes: give it alone, or with part.")
        return _yolo_data(_path(data, "data of yolo_seg"), part)
    if part is not None or images is None or labels is None or classes is None:
        raise ConfigError("yolo_seg needs data, YOLO's data.yaml; or images, labels and classes.")
    folder, texts = _path(images, "images of yolo_seg"), _path(labels, "labels of yolo_seg")
    names = _class_names(classes, "classes of yolo_seg")
    there = by_stem(folder, "images")
    files = chosen(there, listed_names(only, "only", there), str(folder))
    known = {entry.stem for entry in folder_entries(texts, "labels") if entry.suffix == ".txt"}
    if not known & set(files):
        raise DatasetError(f"{texts} has no text of the name of an image in {folder}: expected one, such as a.txt.")
    found = [YoloImage(file.name, file, texts / f"{stem}.txt", len(names)) for stem, file in files.items()]
    return AnnotatedImages(texts, names, found)


def _yolo_data(path: Path, part: "str | None") -> AnnotatedImages:
    told = read_yolo_data(path)
    if part is not None and part not in told.parts:
        raise ConfigError(f"part of yolo_seg is {shortened(part)}, but {path} has {', '.join(told.parts)}.")
    found = {one: told.images(one) for one in (told.parts if part is None else (part,))}
    for one, of_part in found.items():
        if one != "test" and not any(image.told_by.exists() for image in of_part):
            raise DatasetError(
                f"{path}: none of the {len(of_part)} images of {one} has labels, the first would have "
                f"{of_part[0].told_by}."
            )
    if part is not None:
        return AnnotatedImages(path, told.class_names, found[part])
    if not any(image.told_by.exists() for image in found.get("test", ())):
        found.pop("test", None)
    whole = AnnotatedImages(path, told.class_names, [image for of_part in found.values() for image in of_part])
    whole.part({one: len(of_part) for one, of_part in found.items()})
    return whole


def csv_rle(
    table: str,
    images: str,
    classes: "Names | None" = None,
    image_column: str = "ImageId",
    mask_column: str = "EncodedPixels",
    class_column: "str | None" = None,
    relative: bool = False,
    missing: str = "error",
    only: "Names | None" = None,
) -> AnnotatedImages:
    """Return the images and objects of a table with a row an object, its mask as text of run lengths.

    Args:
        table: The CSV.
        images: The folder of its images.
        classes: Class names in label order, or a file with one a line; by default those that there are, sorted.
        image_column: Column of the images' names, with suffix or without.
        mask_column: Column of the run lengths.
        class_column: Column of the classes; by default ``ClassId``, if there is one, else there is one class.
        relative: Starts are distances to the end of the run before, as musket_core's ``isRel`` has them.
        missing: ``error``, or ``skip`` to leave out images whose files are not there.
        only: Names of the images to take, or a file with one a line.

    Raises:
        DatasetError: A folder or file is wrong; the message says where.
        ConfigError: An argument is.
    """
    path, folder = _path(table, "table of csv_rle"), _path(images, "images of csv_rle")
    for key, given in (("image_column", image_column), ("mask_column", mask_column), ("class_column", class_column)):
        if not isinstance(given, str) and not (given is None and key == "class_column"):
            raise ConfigError(f"{key} of csv_rle is {shortened(given)}, expected a column's name.")
    if not isinstance(relative, bool):
        raise ConfigError(f"relative of csv_rle is {shortened(relative)}, expected true or false.")
    if missing not in ("error", "skip"):
        raise ConfigError(f"missing of csv_rle is {shortened(missing)}, expected error or skip.")
    wanted = None if classes is None else _class_names(classes, "classes of csv_rle")
    told = read_table(path, Columns(image_column, mask_column, class_column), wanted)
    names = list(chosen(dict.fromkeys(told.rows, path), listed_names(only, "only", told.rows, stems=False), str(path)))
    files = images_by_name_or_stem(names, folder, path, skip_missing=missing == "skip")
    found = [told.image(name, file, relative) for name, file in zip(names, files, strict=True) if file is not None]
    return AnnotatedImages(path, told.class_names, found)


def cvat(
    file: str,
    images: "str | None" = None,
    classes: "Names | None" = None,
    ignore: Sequence[str] = (),
    missing: str = "error",
) -> AnnotatedImages:
    """Return the images and objects of CVAT's XML for images.

    Args:
        file: The XML.
        images: The folder of its images; by default ``images`` beside the XML, where it is there, else the XML's own.
        classes: Labels in label order, or a file with one a line; by default those that the file declares.
        ignore: Labels whose shapes are left out.
        missing: ``error``, or ``skip`` to leave out images whose files are not there.

    Raises:
        DatasetError: The file is wrong; the message says where.
        ConfigError: An argument is.
    """
    path = _path(file, "file of cvat")
    beside = path.parent / "images"
    folder = _path(images, "images of cvat") if images is not None else beside if beside.is_dir() else path.parent
    if not isinstance(ignore, (list, tuple)) or not all(isinstance(label, str) for label in ignore):
        raise ConfigError(f"ignore of cvat is {shortened(ignore)}, expected a list of labels.")
    if missing not in ("error", "skip"):
        raise ConfigError(f"missing of cvat is {shortened(missing)}, expected error or skip.")
    wanted = None if classes is None else _class_names(classes, "classes of cvat")
    names, found = read_cvat(path, folder, wanted, tuple(ignore), skip_missing=missing == "skip")
    return AnnotatedImages(path, checked_names(names), found)


PROVIDERS: "dict[str, Callable[..., AnnotatedImages]]" = {
    "coco_json": coco_json,
    "id_masks": id_masks,
    "voc": voc,
    "object_masks": object_masks,
    "labelme": labelme,
    "yolo_seg": yolo_seg,
    "csv_rle": csv_rle,
    "cvat": cvat,
}
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


def _named_apart(folder: Path, found: "list[AnnotatedImage]") -> "list[AnnotatedImage]":
    """Name images of one name in different folders by their JSON files.

    Raises:
        DatasetError: Two files are of one image.
    """
    counts = Counter(one.name for one in found)
    apart = [replace(one, name=one.told_by.stem + one.file.suffix) if counts[one.name] > 1 else one for one in found]
    for told in ([one.file.resolve() for one in apart], [one.name for one in apart]):
        seen: dict[Any, AnnotatedImage] = {}
        for key, one in zip(told, apart, strict=True):
            before = seen.setdefault(key, one)
            if before is not one:
                raise DatasetError(
                    f"{folder}: {before.told_by.name} and {one.told_by.name} are both of an image "
                    f"{shortened(one.file.name)}: item ids have to differ."
                )
    return apart


def _path(value: object, what: str) -> Path:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{what} is {shortened(value)}, expected a path.")
    return Path(value).expanduser().absolute()


def _class_names(given: object, what: str) -> tuple[str, ...]:
    """Return class names, of a list or of a file with one a line."""
    if isinstance(given, str):
        path = _path(given, what)
        lines = [line.strip() for line in read_annotation_text(path, 1 << 20).splitlines() if line.strip()]
        if not lines:
            raise DatasetError(f"{path} names no class.")
        given = lines
    return checked_names(given)


def _partners(images: "dict[str, Path]", folder: Path, what: str, ending: str) -> dict[str, Path]:
    """Return the file of a folder that belongs to each image."""
    found = by_stem(folder, what, ending)
    check_pairs(images, found, folder, what)
    return found


def _has_entries(folder: Path) -> bool:
    return folder.exists() and bool(folder_entries(folder, "masks"))
