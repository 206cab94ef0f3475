"""Files of strangers are opened here: what is no regular file is refused, and nobody waits for a pipe's other end."""

import errno
import os
import stat
from pathlib import Path
from typing import IO, Any


def open_regular(path: "str | Path", mode: str = "r", **options: Any) -> IO[Any]:
    """Open a file, as ``open`` does.

    Raises:
        IsADirectoryError: It is a folder.
        OSError: It is a pipe, a device or a socket, or cannot be opened.
    """
    return open(path, mode, opener=_opened, **options)


def read_text(path: "str | Path", encoding: str = "utf-8") -> str:
    """Return a file's text; errors are those of ``open_regular``, and ``UnicodeDecodeError``."""
    with open_regular(path, encoding=encoding) as file:
        return str(file.read())


def _opened(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "it is a pipe, a device or a socket, no file", path)
