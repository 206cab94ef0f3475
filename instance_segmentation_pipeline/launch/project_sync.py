"""A project on a machine that does not see it: copied there, and what is trained comes back while it is trained."""

import contextlib
import io
import os
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..errors import ConfigError
from ..storage.atomic import write_atomically
from ..storage.experiment_search import OF_RUNS
from ..storage.run_lock import NAME as LOCK

LIMIT = 2 << 30
"""Bytes of a project that are copied at most."""

INTERVAL = 1.0
"""Seconds between looks at what has changed."""

LEFT_OUT = ("previous", "predictions", "examples", "reports", "logs", LOCK)
"""What is left out of the experiment's own folder: it can be made anew, or is of earlier runs."""

BLOCK = 512
"""Bytes of an archive's header, and what contents are filled up to (POSIX pax)."""


class ProjectServer:
    """Stands where the project is: hands out copies of it, and takes files in.

    Links to what is copied too stay links, in the copy; what others lead to is copied in their place.

    Args:
        root: The project's folder; outside a project, the experiment's.
        config: The experiment's YAML, below it.
    """

    def __init__(self, root: str, config: str) -> None:
        self.root, self.config = Path(root), Path(config)
        self._real_root = os.path.realpath(root)
        self._own = self.config.parent.relative_to(self.root)

    def pack(self) -> bytes:
        """Return the project as a tar archive, without other experiments and what can be made anew.

        Raises:
            ConfigError: It has more than ``LIMIT`` bytes, or a link leads to a folder that holds the project.
        """
        buffer, size = io.BytesIO(), 0
        with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
            for path, entry in self._entries(self.root, Path(), (self._real_root,)):
                size += BLOCK + -(-entry.size // BLOCK) * BLOCK
                if size > LIMIT:
                    raise ConfigError(
                        f"{self.root} has more than {LIMIT / 2**30:g} GiB, which is the most that is copied to a node "
                        "that does not see it: put it on storage that all nodes share."
                    )
                if not entry.isfile():
                    archive.addfile(entry)
                    continue
                with path.open("rb") as file:
                    archive.addfile(entry, file)
        return buffer.getvalue()

    def where(self) -> str:
        """Return the experiment's YAML, relative to the project."""
        return str(self.config.relative_to(self.root))

    def take(self, name: str, content: bytes) -> None:
        """Write a file of the project, whole."""
        with write_atomically(self.root / name) as temporary:
            temporary.write_bytes(content)

    def _entries(self, folder: Path, name: Path, above: tuple[str, ...]) -> Iterator[tuple[Path, tarfile.TarInfo]]:
        """Yield what is copied of a folder, and how.

        Args:
            folder: The folder.
            name: Its name in the copy.
            above: The folder and those that it was reached through, without links: to none of them is gone again.
        """
        for path in sorted(folder.iterdir()):
            inside = name / path.name
            if self._is_left_out(inside):
                continue
            target = self._target(path)
            if target is None:
                continue
            entry = tarfile.TarInfo(inside.as_posix())
            within = self._within(target)
            if path.is_symlink() and within is not None:
                entry.type, entry.linkname = tarfile.SYMTYPE, os.path.relpath(within, name)
                yield path, entry
            elif os.path.isfile(target):  # noqa: PTH113 - no path of ours
                entry.size, entry.mode = os.stat(target).st_size, 0o644  # noqa: PTH116
                yield path, entry
            elif os.path.isdir(target):  # noqa: PTH112
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                yield path, entry
                if path.is_symlink():
                    self._check_link(path, target)
                if target not in above or not path.is_symlink():
                    yield from self._entries(path, inside, (*above, target))

    @staticmethod
    def _target(path: Path) -> "str | None":
        """Return what a path leads to, without links; ``None`` where there is nothing."""
        try:
            return os.path.realpath(path, strict=True)
        except OSError:  # a link to nothing, or in a circle
            return None

    def _within(self, target: str) -> "Path | None":
        """Return the name that a target has in the copy, ``None`` where it is not copied by itself."""
        if target != self._real_root and not target.startswith(self._real_root + os.sep):
            return None
        name = Path(os.path.relpath(target, self._real_root))
        return None if any(self._is_left_out(part) for part in (name, *name.parents)) else name

    def _check_link(self, path: Path, target: str) -> None:
        if self._real_root.startswith(target.rstrip(os.sep) + os.sep):
            raise ConfigError(
                f"{path} leads to {target}, which holds the project itself, so that it cannot be copied to a node: "
                "remove the link, or put the project on storage that all nodes share."
            )

    def _is_left_out(self, name: Path) -> bool:
        """Say whether what has this name in the project is not copied; of data, everything is."""
        if not name.parts:
            return False
        is_hidden = name.name.startswith(".")
        if name.parent == self._own and (name.name in LEFT_OUT or is_hidden):
            return True
        is_on_the_way = name == self._own or name in self._own.parents or self._own in name.parents
        if name.parts[0] == "experiments" and not is_on_the_way and (self.root / name).is_dir():
            return True
        below = name.relative_to(self._own).parts if self._own in name.parents else name.parts
        if is_hidden and (len(name.parts) == 1 or below[0] in OF_RUNS):
            return True
        return name.name == "__pycache__" and below[0] != "data"


@contextlib.contextmanager
def synced_copy(pack: bytes, config: str, send: Callable[[str, bytes], None]) -> Iterator[Path]:
    """Unpack a project, and send the files of its experiment that change in the block.

    Args:
        pack: What ``ProjectServer.pack`` returned.
        config: What ``ProjectServer.where`` returned.
        send: Gets the name of a file, relative to the project, and its content.

    Yields:
        The experiment's YAML in the copy.
    """
    with tempfile.TemporaryDirectory(prefix="musket-project-") as folder:
        root = Path(folder, "project")
        with tarfile.open(fileobj=io.BytesIO(pack)) as archive:
            archive.extractall(root, filter="data")
        path = root / config
        sender = _ChangeUploader(root, path.parent, send)
        sender.start()
        try:
            yield path
        finally:
            sender.finish()


class _ChangeUploader(threading.Thread):
    """Looks for files that have changed, and sends them in the order in which they were written."""

    def __init__(self, root: Path, folder: Path, send: Callable[[str, bytes], None]) -> None:
        super().__init__(daemon=True)
        self.root, self.folder, self.send = root, folder, send
        self.known = self._states()
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(INTERVAL):
            with contextlib.suppress(Exception):  # what was not taken is sent again; at the end it is an error
                self._send_changed()

    def finish(self) -> None:
        """Send the last changes."""
        self.ended.set()
        self.join()
        self._send_changed()

    def _states(self) -> dict[Path, tuple[int, int]]:
        states = {}
        for path in self.folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and not path.name.startswith("."):
                    state = path.stat()
                    states[path] = (state.st_mtime_ns, state.st_size)
        return states

    def _send_changed(self) -> None:
        with tempfile.TemporaryDirectory(prefix="sending-", dir=self.root.parent) as kept:
            while True:
                states = self._states()
                changed = sorted((state, path) for path, state in states.items() if self.known.get(path) != state)
                links = [Path(kept) / str(number) for number in range(len(changed))]
                if _linked(changed, links) and self._states() == states:
                    break  # all of one moment: what is trained is replaced file by file
                for link in links:
                    link.unlink(missing_ok=True)
            for (state, path), link in zip(changed, links, strict=True):
                self.send(path.relative_to(self.root).as_posix(), link.read_bytes())
                self.known[path] = state


def _linked(changed: Sequence[tuple[object, Path]], links: list[Path]) -> bool:
    """Give files second names, which keep what they hold now; say whether all were still there."""
    try:
        for (_, path), link in zip(changed, links, strict=True):
            os.link(path, link)
    except FileNotFoundError:
        return False
    return True
