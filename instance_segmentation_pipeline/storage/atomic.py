"""How files of an experiment are written: into a temporary file beside the place, synced, renamed over it.

The temporary file's name cannot be guessed, and the file is made by this process or not at all: neither a link nor a
file that somebody laid there is ever written through.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from .yaml_files import yaml_text

_TEMPORARY = re.compile(
    r"\..{0,120}\.(?P<host>[A-Za-z0-9_-]{1,40})-(?P<pid>\d{1,10})-[0-9a-f]{16}\.tmp[^/]{0,40}", re.DOTALL
)

_IN_THE_WAY = "a file has this name, or that of a folder above it: move it away, or give another folder"
_ADVICE = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk",
    errno.EISDIR: "a folder in it has the name of a file that is written: move it away",
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.ENAMETOOLONG: "give a shorter name",
}


def temporary_beside(path: Path) -> Path:
    """Return a name for a temporary file in the folder of ``path``, which nobody can guess; no file is made.

    It tells the machine and the process that writes it (``writer_of``), and keeps the suffix of ``path``.
    """
    stem = os.fsencode(path.stem)[:100].decode("utf-8", "ignore")
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= 40 else ""
    return path.with_name(f".{stem}.{host_name()}-{os.getpid()}-{secrets.token_hex(8)}.tmp{suffix}")


def writer_of(temporary: Path) -> "tuple[str, int] | None":
    """Return machine and process id of who writes a temporary file, ``None`` where the name is none of ours."""
    match = _TEMPORARY.fullmatch(temporary.name)
    return None if match is None else (match["host"], int(match["pid"]))


def host_name() -> str:
    """Return this machine's name as temporary names tell it: letters, digits, ``_`` and ``-``, 40 at most."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname())[:40] or "host"


def create_exclusively(path: Path) -> None:
    """Make an empty file that was not there before, not even as a link.

    Raises:
        FileExistsError: Something of that name is there.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666))


def _refuse_device(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise OSError(errno.EINVAL, "it is a device or a socket, no file", str(path))


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to; on success it is synced and renamed over ``path``.

    The temporary file is there, empty, when the block begins, and gone when it ends.

    Raises:
        OSError: ``path`` is, or leads to, a device, which a rename would put a file in the place of; or the system's.
    """
    path = Path(path)
    _refuse_device(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    create_exclusively(temporary)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def not_writable(folder: Path, error: OSError) -> str:
    """Return the sentence about a folder in which nothing can be written, with the advice for its reason."""
    advice = _ADVICE.get(error.errno or 0, "see to the folder's rights, or give another")
    return f"{folder} cannot be written to ({error.strerror or error}): {advice}."


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder survive a power cut, where the file system knows how."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    with contextlib.suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically; halves of surrogate pairs, which UTF-8 has no bytes for, become escapes."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_yaml(path: Path, data: object, header: str = "") -> None:
    """Write ``data`` as YAML that the safe loader reads back, atomically; ``header`` is put before it."""
    write_text(path, header + yaml_text(data))


def save_with(path: Path, save: Callable[[str], object]) -> None:
    """Call ``save`` with a temporary name, then move what it wrote to ``path``, atomically."""
    with write_atomically(path) as temporary:
        save(str(temporary))


def keep_beside(path: Path, kept: Path) -> None:
    """Give a file a second name, which it keeps when another file takes its place; ``path`` is there all the time."""
    temporary = temporary_beside(kept)
    try:
        try:
            os.link(path, temporary)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            create_exclusively(temporary)
            shutil.copy2(path, temporary)
        temporary.replace(kept)
    finally:
        temporary.unlink(missing_ok=True)
