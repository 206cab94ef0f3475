"""Images of a folder, read one by one; entries that are no readable image are named, counted and left out."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

from ..detection.arrays import UInt8Array
from ..errors import DatasetError, sentence, shortened
from ..text import one_line_of, printable
from .image_file import read_image

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
NAMED = 10
"""Entries that a message names; of further ones it tells how many they are."""


class Directory:
    """The images of a folder, in the order of their names.

    Args:
        path: The folder.
        without: An entry that is none of the images.
        steps: What images go through before a net sees them, by name and pixels; nothing by default.
        recursive: Take the images of all folders below, too; links to folders are not followed. Names are paths below
            ``path``, with slashes.

    Attributes:
        names: Name of each entry.
        skipped: Names of the entries that could not be used, so far.
        reasons: What is wrong with each of them, by name.
        first_pages: Names of the files of several pages, of which the first is looked at, so far.

    Raises:
        DatasetError: There is no such folder, it cannot be listed, or there is no image in it.
    """

    def __init__(
        self,
        path: "str | Path",
        without: "Path | None" = None,
        steps: "Callable[[str, UInt8Array], UInt8Array] | None" = None,
        recursive: bool = False,
    ) -> None:
        if not isinstance(path, (str, PathLike)):
            raise DatasetError(f"{shortened(path)} is no path: give a folder of images.")
        self.path, self._steps = Path(path), steps
        self.reasons: dict[str, str] = {}
        self.first_pages: list[str] = []
        try:
            there = self._below(without) if recursive else self.path.iterdir()
            entries = [entry for entry in there if entry.suffix.lower() in SUFFIXES]
            self.files = sorted(entry for entry in entries if without is None or not _same(entry, without))
        except (NotADirectoryError, FileNotFoundError):
            raise DatasetError(f"{printable(self.path)} is no folder: give one with images.") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise DatasetError(f"{printable(self.path)} cannot be read ({reason}): give a folder of images.") from None
        if not self.files:
            kinds = ", ".join(sorted(SUFFIXES))
            raise DatasetError(f"{printable(self.path)} has no image: expected files that end in {kinds}.")
        self.names = [file.relative_to(self.path).as_posix() for file in self.files]

    def _below(self, without: "Path | None") -> Iterator[Path]:
        """Yield the entries of all folders; one that cannot be listed is skipped, and named."""
        next(self.path.iterdir(), None)  # raises where the folder itself cannot be listed

        def unlisted(error: OSError) -> None:
            where = Path(os.fsdecode(error.filename))
            self.skip(where.relative_to(self.path).as_posix(), DatasetError(f"cannot be listed ({error.strerror})"))

        for folder, below, files in os.walk(self.path, onerror=unlisted):
            here = Path(folder)
            below[:] = sorted(name for name in below if without is None or not _same(here / name, without))
            links = (name for name in below if (here / name).is_symlink())
            yield from (here / name for name in (*files, *links))

    @property
    def skipped(self) -> list[str]:
        """Names of the entries that could not be used, so far."""
        return list(self.reasons)

    def __len__(self) -> int:
        return len(self.files)

    def skip(self, name: str, error: BaseException) -> None:
        """Remember that an entry could not be used."""
        self.reasons[name] = one_line_of(sentence(error).rstrip("."), 160)

    def seen(self, batch: Sequence[tuple[str, UInt8Array]]) -> list[tuple[str, UInt8Array, UInt8Array]]:
        """Return name, image, and the image as a net sees it; those that a step fails on are skipped."""
        seen = []
        for name, image in batch:
            try:
                seen.append((name, image, image if self._steps is None else self._steps(name, image)))
            except DatasetError as error:
                self.skip(name, error)
        return seen

    def learn(self, reasons: Mapping[str, str], first_pages: Sequence[str]) -> None:
        """Remember what another process, which read some of the images, found of them."""
        self.reasons.update(reasons)
        self.first_pages += [name for name in first_pages if name not in self.first_pages]

    def put_in_order(self) -> None:
        """Bring what is remembered into the order of the entries."""
        place = {name: number for number, name in enumerate(self.names)}
        reasons = sorted(self.reasons.items(), key=lambda one: place.get(one[0], len(place)))
        self.reasons.clear()
        self.reasons.update(reasons)
        self.first_pages.sort(key=place.__getitem__)

    def images(self, some: "range | None" = None) -> Iterator[tuple[str, UInt8Array]]:
        """Yield file name and image ``(height, width, 3)`` uint8 RGB; rotated as the camera says.

        Args:
            some: Positions of the entries to read; all by default.
        """
        for number in range(len(self)) if some is None else some:
            try:
                found = read_image(self.files[number])
            except (DatasetError, MemoryError) as error:
                self.skip(self.names[number], error)
                continue
            if found.pages > 1:
                self.first_pages.append(self.names[number])
            yield self.names[number], found.pixels

    def batches(
        self, size: int, limit: int = -1, some: "range | None" = None
    ) -> Iterator[list[tuple[str, UInt8Array]]]:
        """Yield lists of up to ``size`` images, ``limit`` in all; at the end say on stderr what was skipped.

        Of ``some`` positions alone nothing is said: ``tell`` does, when all are read.
        """
        batch: list[tuple[str, UInt8Array]] = []
        if limit != 0:
            for number, entry in enumerate(self.images(some), start=1):
                batch.append(entry)
                if len(batch) == size or number == limit:
                    yield batch
                    batch = []
                if number == limit:
                    break
        if batch:
            yield batch
        if some is None:
            self.tell()

    def tell(self) -> None:
        """Say on stderr what was skipped, and of which files a part was looked at."""
        for line in self.remarks():
            print(printable(line), file=sys.stderr)  # noqa: T201

    def remarks(self) -> list[str]:
        """Return a sentence about the entries that were skipped, and one about files of several pages."""
        lines = []
        if self.reasons:
            named = [f"{printable(name, 100)} {reason}" for name, reason in self.reasons.items()]
            where = printable(self.path, 200)
            lines.append(f"{len(self.reasons)} of {len(self)} files in {where} cannot be used: {_listed(named, '; ')}")
        if self.first_pages:
            named = [printable(name, 100) for name in self.first_pages]
            lines.append(f"of files with several pages only the first is looked at: {_listed(named, ', ')}")
        return lines


def _same(entry: Path, other: Path) -> bool:
    try:
        return entry.samefile(other)
    except OSError:  # a link to nothing, a loop, or there is no other yet
        return False


def _listed(parts: list[str], separator: str) -> str:
    return separator.join(parts if len(parts) <= NAMED else [*parts[:NAMED], f"and {len(parts) - NAMED} more"])
