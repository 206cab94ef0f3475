"""Files of strangers are opened here: what is no regular file is refused, and nobody waits for a pipe's other end."""

import errno
import os
import stat
from pathlib import Path
from typing import IO, Any

MOST_TEXT = 1 << 28
"""Bytes of the largest text that is read whole: splits of some ten million items."""


def open_regular(path: "str | Path", mode: str = "r", most: "int | None" = None, **options: Any) -> IO[Any]:
    """Open a file, as ``open`` does.

    Args:
        path: The file.
        mode: As ``open`` takes it.
        most: Bytes that it may have; by default any number.
        options: As ``open`` takes them.

    Raises:
        IsADirectoryError: It is a folder.
        OSError: It is a pipe, a device or a socket, has more bytes, or cannot be opened.
    """
    try:
        file = open(path, mode, opener=_opened, **options)  # noqa: SIM115 - it is handed on
    except ValueError as error:  # a zero byte in the name
        raise OSError(errno.EINVAL, f"no file can have its name ({error})", str(path)) from None
    size = os.fstat(file.fileno()).st_size
    if most is not None and size > most:
        file.close()
        raise OSError(errno.EFBIG, f"it has {size} bytes, expected {most} at most", str(path))
    return file


def read_text(path: "str | Path", encoding: str = "utf-8", most: int = MOST_TEXT) -> str:
    """Return a file's text; errors are those of ``open_regular``, and ``UnicodeDecodeError``."""
    with open_regular(path, most=most, encoding=encoding) as file:
        return str(file.read())


def named_file(base: Path, name: str) -> Path:
    """Return the path, without links, of a file named relative to a folder; unlike ``Path.resolve`` it never raises."""
    path = base / os.path.expanduser(name)  # noqa: PTH111 - Path.expanduser raises for a user that is not known
    try:
        return Path(os.path.realpath(path))  # Path.resolve raises for a loop of links
    except ValueError:  # a zero byte in the name
        return path


def absence(path: Path) -> "str | None":
    """Return why there is no regular file at a path, in words that follow its name; ``None`` where there is one."""
    try:
        kind = path.stat().st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return f"does not exist: {path} was looked for"
        return f"cannot be looked at ({error.strerror}): {path} was looked for"
    except ValueError as error:  # a zero byte in the name
        return f"can be no file's name ({error})"
    if stat.S_ISREG(kind):
        return None
    what = "a folder" if stat.S_ISDIR(kind) else "a pipe, a device or a socket"
    return f"is no file, but {what}: {path} was looked for"


def _opened(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "it is a pipe, a device or a socket, no file", path)
