"""A project on a machine that does not see it: copied there, and what is trained comes back while it is trained."""

import contextlib
import io
import os
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import ConfigError
from ..storage.atomic import write_atomically
from ..storage.run_lock import NAME as LOCK

LIMIT = 2 << 30
"""Bytes of a project that are copied at most."""

INTERVAL = 1.0
"""Seconds between looks at what has changed."""

LEFT_OUT = ("previous", "predictions", "examples", "reports", "logs")
"""What is left out of the experiment's own folder: it can be made anew, or is of earlier runs."""


class Courier:
    """Stands where the project is: hands out copies of it, and takes files in.

    Args:
        root: The project's folder; outside a project, the experiment's.
        config: The experiment's YAML, below it.
    """

    def __init__(self, root: str, config: str) -> None:
        self.root, self.config = Path(root), Path(config)

    def pack(self) -> bytes:
        """Return the project as a tar archive, without other experiments and what can be made anew.

        Raises:
            ConfigError: It has more than ``LIMIT`` bytes.
        """
        found = list(self._files())
        size = sum(path.stat().st_size for path in found)
        if size > LIMIT:
            raise ConfigError(
                f"{self.root} has {size / 2**30:.1f} GiB, and at most {LIMIT / 2**30:g} GiB are copied to a node that "
                "does not see it: put it on storage that all nodes share."
            )
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
            for path in found:
                archive.add(path, str(path.relative_to(self.root)), recursive=False)
        return buffer.getvalue()

    def where(self) -> str:
        """Return the experiment's YAML, relative to the project."""
        return str(self.config.relative_to(self.root))

    def take(self, name: str, content: bytes) -> None:
        """Write a file of the project, whole."""
        with write_atomically(self.root / name) as temporary:
            temporary.write_bytes(content)

    def _files(self) -> Iterator[Path]:
        experiments, own = self.root / "experiments", self.config.parent
        for folder, folders, names in os.walk(self.root, followlinks=True):
            here = Path(folder)
            left_out = ("__pycache__", *LEFT_OUT) if here == own else ("__pycache__",)
            folders[:] = [name for name in folders if not name.startswith(".") and name not in left_out]
            if experiments == here or experiments in here.parents:
                folders[:] = [name for name in folders if _is_on_the_way(here / name, own)]
            yield from (here / name for name in names if not name.startswith(".") and name != LOCK)


def _is_on_the_way(folder: Path, own: Path) -> bool:
    return folder == own or folder in own.parents or own in folder.parents


@contextlib.contextmanager
def carried(pack: bytes, config: str, send: Callable[[str, bytes], None]) -> Iterator[Path]:
    """Unpack a project, and send the files of its experiment that change in the block.

    Args:
        pack: What ``Courier.pack`` returned.
        config: What ``Courier.where`` returned.
        send: Gets the name of a file, relative to the project, and its content.

    Yields:
        The experiment's YAML in the copy.
    """
    with tempfile.TemporaryDirectory(prefix="musket-project-") as folder:
        root = Path(folder, "project")
        with tarfile.open(fileobj=io.BytesIO(pack)) as archive:
            archive.extractall(root, filter="data")
        path = root / config
        sender = _Sender(root, path.parent, send)
        sender.start()
        try:
            yield path
        finally:
            sender.finish()


class _Sender(threading.Thread):
    """Looks for files that have changed, and sends them in the order in which they were written."""

    def __init__(self, root: Path, folder: Path, send: Callable[[str, bytes], None]) -> None:
        super().__init__(daemon=True)
        self.root, self.folder, self.send = root, folder, send
        self.known = self._states()
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(INTERVAL):
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


def _linked(changed: list, links: list[Path]) -> bool:
    """Give files second names, which keep what they hold now; say whether all were still there."""
    try:
        for (_, path), link in zip(changed, links, strict=True):
            os.link(path, link)
    except FileNotFoundError:
        return False
    return True
