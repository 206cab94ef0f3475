"""From the names that annotations give images to files: also names with Windows' separators."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import DatasetError, shortened
from ...text import printable
from ..image_folder import SUFFIXES


def existing_images(names: "Sequence[str]", folder: Path, told_by: Path) -> list[Path]:
    """Return the file of each name, within a folder or absolute.

    Raises:
        DatasetError: The folder is none, or files are missing: how many, and the first.
    """
    if not folder.is_dir():
        raise DatasetError(f"{told_by}: the folder of its images, {printable(folder, 300)}, is none.")
    files, missing = [], []
    for name in names:
        found = _found(name, folder)
        if found is None:
            missing.append(name)
        else:
            files.append(found)
    if missing:
        raise DatasetError(
            f"{told_by} names {len(names)} images, of which {len(missing)} are not in {printable(folder, 300)}, the "
            f"first {shortened(missing[0])}: give the folder as images, or missing: skip to leave them out."
        )
    return files


def images_by_name_or_stem(
    names: "Sequence[str]", folder: Path, told_by: Path, *, skip_missing: bool
) -> list[Path | None]:
    """Return the file of each name, with its suffix or without, within a folder; of missing ones ``None`` or an error.

    Raises:
        DatasetError: The folder is none, or files are missing: how many, and the first.
    """
    if not folder.is_dir():
        raise DatasetError(f"{told_by}: the folder of its images, {printable(folder, 300)}, is none.")
    stems = {entry.stem: entry for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES}
    files = [_found(name, folder) or stems.get(name) for name in names]
    missing = [name for name, file in zip(names, files, strict=True) if file is None]
    if len(missing) == len(names) or (missing and not skip_missing):
        raise DatasetError(
            f"{told_by} names {len(names)} images, of which {len(missing)} are not in {printable(folder, 300)}, the "
            f"first {shortened(missing[0])}: give the folder as images, or missing: skip to leave them out."
        )
    return files


def are_there(names: "Sequence[str]", folder: Path) -> list[bool]:
    """Say of each name whether there is such a file."""
    return [_found(name, folder) is not None for name in names]


def _found(name: str, folder: Path) -> "Path | None":
    for spelled in dict.fromkeys((name, name.replace("\\", "/"))):
        path = folder / spelled
        try:
            if path.is_file():
                return path
        except (OSError, ValueError):  # too long, or with a zero byte
            continue
    return None
