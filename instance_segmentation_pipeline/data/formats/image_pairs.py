"""Folders of images, and which file of another folder belongs to each."""

from collections.abc import Container, Sequence
from pathlib import Path

from ...errors import DatasetError, shortened
from ...text import printable
from ..image_folder import SUFFIXES
from .annotation_text import read_annotation_text

MOST_NAMES = 1 << 28
"""Bytes of a file that lists names."""


def folder_entries(folder: Path, what: str) -> list[Path]:
    """Return the entries of a folder in the order of their names, without hidden ones.

    Raises:
        DatasetError: It is no folder, or cannot be listed.
    """
    if not folder.is_dir():
        raise DatasetError(f"{what} {printable(folder, 300)} is no folder.")
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"{what} {printable(folder, 300)} cannot be listed ({error.strerror}).") from None


def by_stem(folder: Path, what: str, ending: str = "") -> dict[str, Path]:
    """Return the images of a folder by name without suffix, and without an ending before it.

    Raises:
        DatasetError: There is none, or two have one name.
    """
    found: dict[str, Path] = {}
    for entry in folder_entries(folder, what):
        if entry.suffix.lower() not in SUFFIXES or not entry.stem.endswith(ending):
            continue
        stem = entry.stem.removesuffix(ending)
        if stem in found:
            raise DatasetError(
                f"{what} {printable(folder, 300)} has {printable(found[stem].name)} and {printable(entry.name)}: of "
                "one name, one image is expected."
            )
        found[stem] = entry
    if not found:
        ends = f"{ending}.png" if ending else ", ".join(sorted(SUFFIXES))
        raise DatasetError(f"{what} {printable(folder, 300)} has no image: expected files that end in {ends}.")
    return found


def listed_names(
    given: "str | Sequence[str] | None", what: str, known: "Container[str]", *, stems: bool = True
) -> "list[str] | None":
    """Return names, of a list or of a file with one a line; ``None`` for all.

    Args:
        given: The list, or the file. A line of it that is no known name is its first word, as in VOC's lists.
        what: The argument, for messages.
        known: The names that there are.
        stems: Take folders and suffixes of images away.

    Raises:
        DatasetError: It is no list of texts, or one is there twice.
    """
    if given is None:
        return None
    if isinstance(given, str):
        text = read_annotation_text(Path(given).expanduser().absolute(), MOST_NAMES)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        names = [line if (_stem(line) if stems else line) in known else line.split()[0] for line in lines]
    elif isinstance(given, (list, tuple)) and all(isinstance(name, str) and name.strip() for name in given):
        names = list(given)
    else:
        raise DatasetError(f"{what} is {shortened(given)}, expected a file with a name a line, or a list of names.")
    names = [_stem(name) for name in names] if stems else names
    if not names:
        raise DatasetError(f"{what} {shortened(given)} names no image.")
    if len(set(names)) < len(names):
        twice = next(name for row, name in enumerate(names) if name in names[:row])
        raise DatasetError(f"{what} names {shortened(twice)} twice.")
    return names


def chosen(found: "dict[str, Path]", names: "list[str] | None", what: str) -> dict[str, Path]:
    """Return those that are listed, in the order of the list; all by default.

    Raises:
        DatasetError: A name is none of them.
    """
    if names is None:
        return found
    unknown = [name for name in names if name not in found]
    if unknown:
        raise DatasetError(f"{what} has no image {shortened(unknown[0])}, and {len(unknown)} in all, that only names.")
    return {name: found[name] for name in names}


def check_pairs(images: "dict[str, Path]", others: "dict[str, Path]", folder: Path, what: str) -> None:
    """Raise an error for images without a file of the other kind."""
    alone = [name for name in images if name not in others]
    if alone:
        raise DatasetError(
            f"{what} {printable(folder, 300)} has no file for {len(alone)} of {len(images)} images, the first "
            f"{shortened(images[alone[0]].name)}: expected one of the same name, also for "
            "those without objects."
        )


def _stem(name: str) -> str:
    last = name.replace("\\", "/").rpartition("/")[2].strip()
    return Path(last).stem if Path(last).suffix.lower() in SUFFIXES else last
