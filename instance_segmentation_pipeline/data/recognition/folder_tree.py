"""A folder and those in it, each listed once; large trees are looked at in part."""

from dataclasses import dataclass, field
from pathlib import Path

from ...errors import DatasetError
from ...text import printable
from ..image_folder import SUFFIXES

DEPTH = 4
MOST_FOLDERS = 3000
MOST_FOLLOWED = 40
"""Folders within one folder that are looked into; what has more holds one an image."""
_PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "holdout",
    "testing": "holdout",
    "holdout": "holdout",
}


@dataclass(frozen=True)
class Listing:
    """What lies in one folder.

    Attributes:
        path: The folder.
        folders: Folders in it, by name.
        files: Other entries, in the order of their names; hidden ones are left out.
    """

    path: Path
    folders: "dict[str, Path]" = field(default_factory=dict)
    files: "list[Path]" = field(default_factory=list)

    def images(self) -> list[Path]:
        """Return the files that are images by their suffix."""
        return [file for file in self.files if file.suffix.lower() in SUFFIXES]

    def of(self, *suffixes: str) -> list[Path]:
        """Return the files of some suffixes, in small letters."""
        return [file for file in self.files if file.suffix.lower() in suffixes]


def listed(folder: Path) -> Listing:
    """List a folder.

    Raises:
        DatasetError: It is none, or cannot be listed.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"{printable(folder, 300)} cannot be listed ({error.strerror}): give a folder.") from None
    folders = {entry.name: entry for entry in entries if entry.is_dir()}
    return Listing(folder, folders, [entry for entry in entries if entry.name not in folders])


def tree_of(root: Path) -> list[Listing]:
    """List a folder and those in it, the outer ones first.

    Raises:
        DatasetError: The folder itself is none, or cannot be listed.
    """
    found, level = [listed(root)], [root]
    for _ in range(DEPTH):
        below: list[Path] = []
        for one in found[-len(level) :]:
            below += list(one.folders.values())[:MOST_FOLLOWED]
        level = []
        for folder in below[: MOST_FOLDERS - len(found)]:
            try:
                found.append(listed(folder))
                level.append(folder)
            except DatasetError:  # another's: what can be read is told
                continue
        if not level:
            break
    return found


def part_of(path: Path, root: Path) -> "str | None":
    """Return the part of a split that a path's name, or that of a folder above it below ``root``, speaks of."""
    names = [path.stem, *(parent.name for parent in path.parents if root in parent.parents)]
    for name in names:
        words = "".join(letter if letter.isalpha() else " " for letter in name.casefold()).split()
        told = [_PARTS[word] for word in words if word in _PARTS]
        if told:
            return told[0]
    return None
