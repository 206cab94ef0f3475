"""Whether a zip, which a checkpoint of torch is, is complete."""

import functools
import zipfile
from pathlib import Path

BEGIN = b"PK\x03\x04"
_MOST_GROWTH = 50
"""Times of its size that a zip may hold: those of torch are not compressed."""

_HEADERS = 1 << 16


def is_zip(path: Path) -> bool:
    """Say whether a file begins like a zip."""
    with Path(path).open("rb") as file:
        return file.read(len(BEGIN)) == BEGIN


def is_whole(path: Path) -> bool:
    """Say whether a zip is complete: its directory and the CRC-32 of each record agree; each content is read once."""
    try:
        status = Path(path).stat()
        return _whole(str(path), (status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError:
        return False


@functools.lru_cache(maxsize=256)
def _whole(path: str, state: tuple[int, int, int]) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            if sum(record.file_size for record in records) > _MOST_GROWTH * state[1] + _HEADERS:
                return False
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, MemoryError):
        return False
