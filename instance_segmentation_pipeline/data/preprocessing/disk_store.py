"""Bytes by position in one SQLite file, which several processes read and write at the same time.

The file's name and its ``about`` table tell what its items were made of. Each entry is a transaction of its own: a
process that is killed leaves whole entries, or an unfinished one that SQLite takes back. A file that cannot be read is
made anew, and where it cannot be written, items are read as without it, and a line says so.
"""

import contextlib
import os
import sqlite3
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ...errors import ConfigError
from ...storage.atomic import not_writable
from ...text import printable
from .item_codec import FORMAT

T = TypeVar("T")

WAIT = 60.0
"""Seconds that a process waits for another one's transaction."""

_TABLES = {("table", "about"), ("table", "items")}
_stores: "weakref.WeakSet[DiskStore]" = weakref.WeakSet()


class DiskStore:
    """A store in a file.

    Args:
        path: The file; it is made where there is none.
        key: What tells what the items were made of.
        size: Bytes that the file may have; ``None`` for any number.

    Raises:
        ConfigError: The file cannot be made, or something else is in its place.
    """

    def __init__(self, path: Path, key: str, size: "int | None" = None) -> None:
        self.path, self.key, self.size = path.absolute(), key, size
        self._about = {"format": str(FORMAT), "key": key}
        self._is_full = False
        self._lock = threading.RLock()
        self._open: tuple[int, sqlite3.Connection] | None = None
        _stores.add(self)
        if os.path.lexists(self.path) and (self.path.is_symlink() or not self.path.is_file()):
            what = "a link" if self.path.is_symlink() else "no file"
            raise ConfigError(f"disk-cache: {self.path} is {what}: move it away.")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"disk-cache: {not_writable(self.path.parent, error)}") from None
        self._run(lambda connection: None)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "key": self.key, "size": self.size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def get(self, position: int) -> "bytes | None":
        """Return what is kept at a position."""
        rows = self._run(
            lambda connection: connection.execute("SELECT data FROM items WHERE position = ?", (position,)).fetchall()
        )
        return rows[0][0] if rows and isinstance(rows[0][0], bytes) else None

    def put(self, position: int, data: bytes) -> None:
        """Keep something at a position, unless another process has kept it, or there is no room."""
        if self._is_full:
            return
        if self.size is not None and self.path.exists() and self.path.stat().st_size + len(data) > self.size:
            self._stop(f"it has {self.size >> 20} megabytes, as many as it may")
            return
        self._run(
            lambda connection: connection.execute("INSERT OR IGNORE INTO items VALUES (?, ?)", (position, data)),
            writes=True,
        )

    def drop(self, position: int) -> None:
        """Forget what is kept at a position."""
        self._run(
            lambda connection: connection.execute("DELETE FROM items WHERE position = ?", (position,)), writes=True
        )

    def __len__(self) -> int:
        rows = self._run(lambda connection: connection.execute("SELECT count(*) FROM items").fetchall())
        return int(rows[0][0]) if rows else 0

    def close(self) -> None:
        """Close the file; it is opened again when it is asked for."""
        if self._open is not None:
            with contextlib.suppress(sqlite3.Error):
                self._open[1].close()
            self._open = None

    def _run(self, action: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> "T | None":
        """Return what an action on the file gives, ``None`` where the file cannot be had.

        Raises:
            ConfigError: The file cannot be opened at all.
        """
        with self._lock:
            for again in (True, False):
                try:
                    return action(self._connection())
                except sqlite3.OperationalError as error:
                    told = str(error)
                    if "malformed" not in told and "no such table" not in told:
                        if self._open is None:
                            raise ConfigError(f"disk-cache: {self.path} cannot be opened ({told}).") from None
                        if writes:
                            self._stop(told)
                        return None
                    self._renew(told)
                except sqlite3.DatabaseError as error:
                    self._renew(str(error))
                if not again:
                    self._stop("it is damaged again and again")
            return None

    def _connection(self) -> sqlite3.Connection:
        try:
            inode = self.path.stat().st_ino
        except OSError:
            inode = 0
        if self._open is not None and self._open[0] == inode:
            return self._open[1]
        self.close()
        connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA synchronous = NORMAL")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._open = (self.path.stat().st_ino, connection)
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables where there are none, and see to it that the file is this store's."""
        found = set(connection.execute("SELECT type, name FROM sqlite_master").fetchall())
        if not found:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
            connection.execute("CREATE TABLE IF NOT EXISTS items (position INTEGER PRIMARY KEY, data BLOB)")
            connection.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", list(self._about.items()))
            connection.execute("COMMIT")
            found = set(connection.execute("SELECT type, name FROM sqlite_master").fetchall())
        if found != _TABLES:
            raise sqlite3.DatabaseError("it has other tables")
        if dict(connection.execute("SELECT name, value FROM about LIMIT 9").fetchall()) != self._about:
            raise sqlite3.DatabaseError("it is of something else")

    def _renew(self, why: str) -> None:
        """Drop a file that cannot be read: its items are made anew."""
        self._say(f"{self.path.name} cannot be read ({why}) and is made anew")
        self.close()
        for path in (self.path.with_name(self.path.name + "-journal"), self.path):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _stop(self, why: str) -> None:
        if not self._is_full:
            self._say(f"{self.path.name} takes no more items ({why}): further ones are read each time")
        self._is_full = True

    @staticmethod
    def _say(text: str) -> None:
        print(printable(f"  note: disk-cache: {text}"), file=sys.stderr)  # noqa: T201


def _before_fork() -> None:
    """Close all files: SQLite's connections must not be carried into another process."""
    for store in list(_stores):
        store._lock.acquire()  # noqa: SLF001
        store.close()


def _after_fork() -> None:
    for store in list(_stores):
        with contextlib.suppress(RuntimeError):
            store._lock.release()  # noqa: SLF001


def _in_child() -> None:
    for store in list(_stores):
        store._lock = threading.RLock()  # noqa: SLF001


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
