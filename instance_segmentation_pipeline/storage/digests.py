"""What tells whether a stored answer is still one to the question: digests of files and settings."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from .regular_file import open_regular


def digest(*values: object) -> str:
    """Return a short digest of plain values; those that JSON does not know count by their text."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, which is read again only when its size or time has changed."""
    state = path.stat()
    return _digest_of_file(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of_file(path: str, size: int, modified: int) -> str:
    mark = hashlib.sha256()
    with open_regular(path, "rb") as file:
        while chunk := file.read(1 << 20):
            mark.update(chunk)
    return mark.hexdigest()
