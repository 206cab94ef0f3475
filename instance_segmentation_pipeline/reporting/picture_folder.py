"""Pictures of a page, kept in a folder beside it: each is drawn once, and again only when what it shows has changed.

A folder of pictures has a record, ``pictures.json``, of what its pictures were made from. Only files that the record
lists are ever removed.
"""

import contextlib
import json
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..storage.atomic import write_atomically, write_text
from ..storage.regular_file import read_text

RECORD = "pictures.json"
_NAME = re.compile(r"[a-z0-9_]{1,60}-[0-9a-f]{16}-\d{1,6}\.(png|jpg)")


@dataclass(frozen=True)
class Drawing:
    """A picture that was just drawn: heading it stands under, caption, PNG or JPEG, width and height in pixels."""

    heading: str
    caption: str
    data: bytes
    size: tuple[int, int]

    @classmethod
    def of_png(cls, heading: str, caption: str, data: bytes) -> "Drawing":
        """Return a PNG with the size that its header gives (PNG specification, section 11.2.2)."""
        return cls(heading, caption, data, struct.unpack(">II", data[16:24]))

    @property
    def suffix(self) -> str:
        """The file name's ending."""
        return ".png" if self.data.startswith(b"\x89PNG") else ".jpg"


@dataclass(frozen=True)
class Picture:
    """A picture in a folder: heading, caption, name of its file, width and height in pixels."""

    heading: str
    caption: str
    file: str
    width: int
    height: int


class PictureFolder:
    """The pictures of one experiment, by parts: one part is drawn at once, from the same data.

    Args:
        path: The folder; it is made when the first picture is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = _read_record(path / RECORD)
        self._now: dict[str, dict[str, Any]] = {}

    def pictures(self, part: str, digest: str, draw: Callable[[], Iterable[Drawing]]) -> list[Picture]:
        """Return the pictures of a part: those that lie here, or those that ``draw`` gives.

        Args:
            part: What is shown: lower-case letters, digits and underscores.
            digest: 16 hexadecimal digits that stand for all that the pictures depend on.
            draw: Called when there are no pictures of this part and digest.
        """
        kept = self._before.get(part, {})
        if kept.get("digest") == digest and all((self.path / one["file"]).is_file() for one in kept["pictures"]):
            self._now[part] = kept
        else:
            drawn = [self._write(f"{part}-{digest}-{number}", one) for number, one in enumerate(draw())]
            self._now[part] = {"digest": digest, "pictures": [asdict(one) for one in drawn]}
        return [Picture(**one) for one in self._now[part]["pictures"]]

    def close(self) -> None:
        """Write the record, and remove pictures that were not asked for since the folder was opened."""
        if self._now != self._before:
            write_text(self.path / RECORD, json.dumps(self._now, indent=1))
            self._remove(_files(self._before) - _files(self._now))

    def remove(self) -> None:
        """Remove all pictures and the record; files of others stay, and the folder with them."""
        self._remove(_files(self._before) | {RECORD})
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _write(self, stem: str, drawing: Drawing) -> Picture:
        name = stem + drawing.suffix
        with write_atomically(self.path / name) as temporary:
            temporary.write_bytes(drawing.data)
        return Picture(drawing.heading, drawing.caption, name, *drawing.size)

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)


def remove_others(folder: Path, used: Iterable[Path]) -> None:
    """Remove the picture folders below ``folder`` that are not among ``used``."""
    there = {path.parent for path in folder.glob(f"*/{RECORD}")}
    for path in sorted(there - set(used)):
        PictureFolder(path).remove()


def _files(record: dict[str, dict[str, Any]]) -> set[str]:
    return {one["file"] for part in record.values() for one in part["pictures"]}


def _read_record(path: Path) -> dict[str, dict[str, Any]]:
    """Return a record; one that is damaged counts as none, and its pictures are drawn again."""
    try:
        record: dict[str, dict[str, Any]] = json.loads(read_text(path))
        for part in record.values():
            pictures = [Picture(**one) for one in part["pictures"]]
            if not isinstance(part["digest"], str) or not all(_NAME.fullmatch(one.file) for one in pictures):
                return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    return record
