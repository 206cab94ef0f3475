"""Datasets that a YAML declares are read in their data folder, from wherever and from whichever thread they are asked.

Providers and items open files by names relative to that folder, but the current folder belongs to the whole process:
it is entered for each reading, by one thread at a time, and left again.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from musket_core import context
from musket_core.datasets import DataSet, PredictionItem

from .protocols import Item

_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - it is the process's
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


class DataFolder:
    """The folder that a project's datasets are read in.

    Args:
        path: The folder.
        project: What musket_core is told to be the project's folder meanwhile.
    """

    def __init__(self, path: Path, project: Path) -> None:
        self.path, self.project = path, project

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be in the folder, with no other thread in one; whatever the block does to the current folder is undone."""
        with _lock:
            before, project = _current(), getattr(context.context, "projectPath", None)
            context.context.projectPath = str(self.project)
            try:
                os.chdir(self.path)
                yield
            finally:
                if project is not None:
                    context.context.projectPath = project
                if before is not None:
                    os.chdir(before)


def _current() -> "str | None":
    try:
        return os.getcwd()  # noqa: PTH109 - asked for each item
    except FileNotFoundError:  # it was deleted
        return None


class FolderDataSet:
    """A dataset whose every reading happens in its data folder; all else is the dataset's own.

    It is an instance of the classes that the dataset is one of, has its attributes, and what is set on it is set on the
    dataset. Positions count from the end when they are negative, and those past the end are an ``IndexError``.

    Args:
        inner: A Musket dataset, or anything with items and a length.
        folder: Where it is read.
    """

    def __init__(self, inner: Any, folder: DataFolder) -> None:
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_folder", folder)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._inner)

    def __reduce__(self) -> tuple[type["FolderDataSet"], tuple[Any, DataFolder]]:
        return FolderDataSet, (self._inner, self._folder)

    def __len__(self) -> int:
        with self._folder.entered():
            return len(self._inner)

    def __bool__(self) -> bool:
        return len(self) > 0

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, slice):
            return [self[position] for position in range(*item.indices(len(self)))]
        with self._folder.entered():
            return read_whole(self._inner[range(len(self._inner))[item]])

    def __iter__(self) -> Iterator[Item]:
        return (self[position] for position in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name in ("_inner", "_folder"):  # asked for while it is being copied
            raise AttributeError(name)
        with self._folder.entered():
            value = getattr(self._inner, name)
        owner = getattr(value, "__self__", None)
        return self._in_folder(value) if owner is self._inner and callable(value) else self._wrapped(value)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._inner, name)

    def __dir__(self) -> list[str]:
        return dir(self._inner)

    def __str__(self) -> str:
        return str(self._inner)

    def __repr__(self) -> str:
        return repr(self._inner)

    def _in_folder(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*arguments: Any, **options: Any) -> Any:
            with self._folder.entered():
                return self._wrapped(read_whole(method(*arguments, **options)))

        return call

    def _wrapped(self, value: Any) -> Any:
        """Return a dataset that this one gives out, its root or the one before it, read in the same folder."""
        if value is self._inner:
            return self
        given = isinstance(value, DataSet) and type(value) is not FolderDataSet
        return FolderDataSet(value, self._folder) if given else value


def inner_of(dataset: FolderDataSet) -> tuple[Any, DataFolder]:
    """Return the dataset itself, and the folder that it is read in."""
    return dataset._inner, dataset._folder  # noqa: SLF001 - as attributes they would hide the dataset's own


def read_whole(item: Any) -> Any:
    """Return an item whose image and target are read: some open their files only when they are asked for them."""
    lazy = isinstance(item, PredictionItem) and any(hasattr(type(item), name) for name in ("x", "y"))
    return PredictionItem(item.id, item.x, item.y, item.prediction) if lazy else item
