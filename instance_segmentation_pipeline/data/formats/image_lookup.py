"""From the names that annotations give images to files: also names with Windows' separators."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import DatasetError, shortened
from ...text import printable
from ..image_folder import SUFFIXES


def existing_images(names: "Sequence[str]", folder: Path, told_by: Path) -> list[Path]:
    """Return the file of each name, within a folder or absolute.

    Raises:
        DatasetError: The folder is none, or files are missing: how many, and the first; or two are one file.
    """
    if not folder.is_dir():
        raise DatasetError(f"{told_by}: the folder of its images, {printable(folder, 300)}, is none.")
    files: list[Path] = []
    missing: list[str] = []
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
    _check_differ(names, files, told_by)
    return files


def images_by_name_or_stem(
    names: "Sequence[str]", folder: Path, told_by: Path, *, skip_missing: bool
) -> list[Path | None]:
    """Return the file of each name, with its suffix or without, within a folder; of missing ones ``None`` or an error.

    Raises:
        DatasetError: The folder is none, or files are missing: how many, and the first; or one could be either of two
            files, or two are one file.
    """
    if not folder.is_dir():
        raise DatasetError(f"{told_by}: the folder of its images, {printable(folder, 300)}, is none.")
    stems: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.suffix.lower() in SUFFIXES:
            stems.setdefault(entry.stem, []).append(entry)
    files = [_one_of(name, _found(name, folder), stems.get(name, []), told_by) for name in names]
    _check_differ(names, files, told_by)
    missing = [name for name, file in zip(names, files, strict=True) if file is None]
    if len(missing) == len(names) or (missing and not skip_missing):
        raise DatasetError(
            f"{told_by} names {len(names)} images, of which {len(missing)} are not in {printable(folder, 300)}, the "
            f"first {shortened(missing[0])}: give the folder as images, or missing: skip to leave them out."
        )
    return files


def _one_of(name: str, exact: "Path | None", others: "list[Path]", told_by: Path) -> "Path | None":
    if exact is None and len(others) > 1:
        raise DatasetError(
            f"{told_by} names the image {shortened(name)}, which {shortened(others[0].name)} and "
            f"{shortened(others[1].name)} may be: write names with their suffixes."
        )
    return exact or (others[0] if others else None)


def _check_differ(names: "Sequence[str]", files: "Sequence[Path | None]", told_by: Path) -> None:
    seen: dict[Path, str] = {}
    for name, file in zip(names, files, strict=True):
        if file is not None and seen.setdefault(file, name) is not name:
            raise DatasetError(
                f"{told_by} has the image {shortened(file.name)} twice, as {shortened(seen[file])} and "
                f"{shortened(name)}: make them one name."
            )


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
