"""What writes annotations image by image, and the names of the files that it writes."""

import errno
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Protocol

from ...detection.detections import Detections
from ...errors import ConfigError, DatasetError
from ...storage.atomic import not_writable, temporary_beside
from ...storage.file_names import file_name_of


class AnnotationWriter(Protocol):
    """Writes the objects of images as files of one format; a context, in which it writes.

    Attributes:
        remarks: What the format could not hold of what was written, a sentence each, when the context is left.
    """

    remarks: list[str]

    def __enter__(self) -> "AnnotationWriter": ...

    def add(self, name: str, found: Detections, place: "int | None" = None) -> None:
        """Write the objects of an image; they are on their way to the disk when this returns.

        Args:
            name: The image's file name, with folders where it lies in some.
            found: The objects.
            place: What images are ordered by in formats of one file, by default when they were added.

        Raises:
            ConfigError: The folder cannot be written to.
            DatasetError: The format cannot hold it; the message is to stand after the image's name.
        """
        ...

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None: ...


class FileNames:
    """Names for a file an image, as that of the image without its suffix, and no two alike.

    Args:
        known: Images whose names are decided first, in this order, whenever they are asked for.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._taken: set[str] = set()
        self._known: dict[str, str] = {}
        self._known = {name: self.of(name) for name in known}

    def others(self) -> list[tuple[str, str]]:
        """Return the known images whose names are others, with these."""
        return [(name, own) for name, own in self._known.items() if own != str(PurePosixPath(name).with_suffix(""))]

    def of(self, name: str) -> str:
        """Return a relative name without suffix; of a name that leads out of the folder, or is taken, another one."""
        if name in self._known:
            return self._known[name]
        path = PurePosixPath(name.replace("\\", "/"))
        inside = not path.is_absolute() and all(file_name_of(part) == part for part in path.parts) and path.parts
        chosen = str(path.with_suffix("")) if inside else file_name_of(name).rpartition(".")[0] or file_name_of(name)
        number = 1
        while chosen.casefold() in self._taken:
            number += 1
            chosen = f"{str(path.with_suffix('')) if inside else file_name_of(name)}-{number}"
        self._taken.add(chosen.casefold())
        return chosen


def write_whole(path: Path, save: Callable[[Path], object]) -> None:
    """Have a file of one image written beside its place, and renamed to it: it is never there in part.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(not_writable(path.parent, error)) from error


def write_link(path: Path, image: Path) -> bool:
    """Make a symbolic link to an image, in the place of another link; what else is there stays.

    Returns:
        Whether it is there: some file systems have no links.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_symlink():
            return True
        try:
            temporary.symlink_to(image)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            return False
        raise ConfigError(not_writable(path.parent, error)) from error
    return True


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write lines of text in UTF-8, as ``write_whole``."""
    text = "".join(f"{line}\n" for line in lines)
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8", errors="backslashreplace"))


def check_masks(found: Detections, format_name: str) -> None:
    """Raise a ``DatasetError`` for objects that have boxes alone."""
    if found.masks is None and len(found):
        raise DatasetError(f"has boxes without masks, which {format_name} cannot hold: write coco")
