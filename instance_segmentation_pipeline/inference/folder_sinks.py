"""What becomes of what is found in the images of a folder: COCO's JSON with pictures, or a function of the caller's."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..data.formats.coco_json import CocoWriter
from ..data.formats.saving import annotation_writer
from ..data.formats.writing import AnnotationWriter, FileNames
from ..data.image_folder import Directory
from ..detection.arrays import UInt8Array
from ..detection.detections import Detections, MusketPrediction
from ..detection.masks import decode_masks
from ..errors import ConfigError, DatasetError, PredictionError, UserError
from ..storage.atomic import not_writable, write_atomically
from ..text import printable
from .detector import Detector, Ensemble
from .folder_page import Shown, place_of_picture, write_page
from .output_formats import FILE_AN_IMAGE, FORMATS


class Answer(NamedTuple):
    """An image of a folder and what was found in it."""

    name: str
    image: UInt8Array
    found: Detections


class FolderSink(Protocol):
    """Takes what is found in the images of a folder.

    Attributes:
        in_order: Whether images must be taken in the order of their names: one device answers then.
    """

    in_order: bool

    def look(self, answer: Answer, folder: Directory) -> None:
        """See an image and what was found in it, in the process that predicts."""
        ...

    def take(self, name: str, found: Detections, place: int) -> None:
        """Take what was found in an image, whose position in the folder is ``place``, in the process that asked."""
        ...


class CallbackSink:
    """Calls ``function(file name, prediction, data)`` for each image, with Musket's prediction tuple."""

    in_order = True

    def __init__(self, function: Callable[[str, MusketPrediction, Any], object], data: Any, bbox_order: str) -> None:
        self._function, self._data, self._bbox_order = function, data, bbox_order

    def look(self, answer: Answer, folder: Directory) -> None:
        """Do nothing: the function gets no image."""

    def take(self, name: str, found: Detections, place: int) -> None:
        """Call the function."""
        self._function(name, found.to_musket(self._bbox_order), self._data)


class CocoSink:
    """Writes ``predictions.json``, and a picture of each image or its masks as an array; a context, in which it takes.

    Args:
        target: The folder to write to.
        folder: The images; ``predictions.json`` names those that cannot be used.
        class_names: Names of the classes, in label order.
        threshold: Pictures show what has a score of it or more; ``None`` writes masks in their place, those of all that
            was found: ``<file name>.npy``, ``(N, height, width)`` bool.
        formats: Names of ``FORMATS``: what is found is written in these, too, in a folder of that name each; in those
            but COCO's what has a score of ``least`` or more.
        least: That score.
        page: Write ``index.html``, a page of the pictures.

    Raises:
        ConfigError: ``target`` has the images, or cannot be written to.
    """

    in_order = False

    def __init__(
        self,
        target: Path,
        folder: Directory,
        class_names: Sequence[str],
        threshold: "float | None",
        formats: Sequence[str] = (),
        least: float = 0.5,
        page: bool = False,
    ) -> None:
        if target.resolve() == folder.path.resolve():
            raise ConfigError(f"{printable(target)} is the folder with the images: give another to write to.")
        self._target, self._class_names, self._threshold = target, class_names, threshold
        self._written = CocoWriter(target / "predictions.json", class_names)
        self._written.skipped = folder.reasons
        self._folder, self._least, self._page = folder, least, page
        self._counts: dict[int, tuple[int, int]] = {}
        self._formats = [name for name in dict.fromkeys(formats) if name != "coco"]
        self._names = FileNames(folder.names if set(self._formats) & FILE_AN_IMAGE else ())
        self._further = [self._writer(name) for name in self._formats]
        self._contexts = contextlib.ExitStack()

    def _writer(self, name: str) -> AnnotationWriter:
        place = self._target / name
        if place.resolve() in (self._folder.path.resolve(), *self._folder.path.resolve().parents):
            raise ConfigError(f"the images are in {printable(place)}, where {name} is written: give another output.")
        return annotation_writer(
            FORMATS[name],
            place,
            self._class_names,
            scored=True,
            image_path=self._from(place),
            names=self._names,
            linked=self._folder.path,
        )

    def _from(self, place: Path) -> Callable[[str], str]:
        return lambda name: Path(os.path.relpath(self._folder.path / name, place)).as_posix()

    def __enter__(self) -> "CocoSink":
        with contextlib.ExitStack() as entered:
            for writer in (self._written, *self._further):
                entered.enter_context(writer)
            self._contexts = entered.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._contexts.__exit__(*error)
        for remark in dict.fromkeys((*self._renamed(), *(one for writer in self._further for one in writer.remarks))):
            print(printable(remark), file=sys.stderr)  # noqa: T201
        if self._page and error[0] is None:
            names = self._folder.names
            images = [Shown(names[place], *counts) for place, counts in sorted(self._counts.items())]
            try:
                title = f"Predictions on {printable(self._folder.path, 200)}"
                write_page(self._target / "index.html", images, list(self._folder.reasons.items()), title)
            except OSError as failure:
                raise ConfigError(not_writable(self._target, failure)) from failure

    def _renamed(self) -> list[str]:
        others = self._names.others()
        if not others:
            return []
        formats = ", ".join(name for name in self._formats if name in FILE_AN_IMAGE)
        before, after = (printable(name, 100) for name in others[0])
        return [f"{len(others)} images have other names in {formats}: the first, {before}, is {after}"]

    def look(self, answer: Answer, folder: Directory) -> None:
        """Draw the picture of an image, or write its masks."""
        place = self._target / place_of_picture(answer.name)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if self._threshold is None:
                _write_masks(place.with_name(f"{place.name}.npy"), answer.found)
            else:
                self._draw(place.with_name(f"{place.name}.jpg"), answer, self._threshold)
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EISDIR):  # of this picture's own name
                raise ConfigError(not_writable(self._target, error)) from error
            folder.skip(answer.name, error)
        except Exception as error:
            folder.skip(answer.name, error)

    def _draw(self, path: Path, answer: Answer, threshold: float) -> None:
        from ..visualization.draw import draw_instances, write_jpeg

        shown = answer.found.above(threshold)
        write_jpeg(path, draw_instances(answer.image, shown.instances(), self._class_names, shown.scores))

    def take(self, name: str, found: Detections, place: int) -> None:
        """Write what was found."""
        self._written.add(name, found, place)
        shown = found.above(self._least)
        if self._page:
            self._counts[place] = (len(shown), len(found))
        for writer in self._further:
            try:
                writer.add(name, shown, place)
            except DatasetError as error:
                self._folder.skip(name, error)


def _write_masks(path: Path, found: Detections) -> None:
    """Write masks as one array, a mask at a time: all of a large image with many objects need not be in memory."""
    masks = found.masks or []
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        header = {"descr": "|b1", "fortran_order": False, "shape": (len(masks), found.height, found.width)}
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
        for mask in masks:
            file.write(decode_masks([mask], found.height, found.width).tobytes())


def answered(model: "Detector | Ensemble", folder: Directory, batch: Sequence[tuple[str, UInt8Array]]) -> list[Answer]:
    """Return what a model finds in some images; one that it fails on is skipped, and costs the others nothing.

    Raises:
        UserError: What is wrong is not the image's fault: so it is where memory has room for each, and not for all.
    """
    return _answered(model, folder, folder.seen(batch))


def _answered(
    model: "Detector | Ensemble", folder: Directory, batch: Sequence[tuple[str, UInt8Array, UInt8Array]]
) -> list[Answer]:
    if not batch:
        return []
    try:
        found = model.detect([seen for _, _, seen in batch])
    except Exception as error:
        out_of_memory = isinstance(error, PredictionError)
        if isinstance(error, UserError) and not out_of_memory:
            raise
        if len(batch) == 1:
            folder.skip(batch[0][0], error)
            return []
        alone = [answer for entry in batch for answer in _answered(model, folder, [entry])]
        if out_of_memory and len(alone) == len(batch):
            raise
        return alone
    return [Answer(name, image, one) for (name, image, _), one in zip(batch, found, strict=True)]
