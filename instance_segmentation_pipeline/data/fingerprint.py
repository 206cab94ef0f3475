"""What tells whether predictions are still those on a dataset: a digest of all its items, without reading all images.

A dataset is known by what it holds for each of its items (ids, names, sizes and times of the files that they name), by
its plain settings, and by the pixels of a few items; never are all images read.
"""

import contextlib
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..storage.digests import digest
from .data_folder import FolderDataSet, inner_of
from .preprocessing.item_steps import Preprocessed
from .protocols import Dataset

SAMPLE = 16
"""Items whose pixels stand for a dataset in a store's fingerprint."""

DEPTH, MEMBERS = 6, 64
"""How deep datasets within datasets are followed, and how many side by side."""

NAMES = ("name", "origName", "parent")
"""Attributes that do not tell what a dataset holds."""

PLAIN = (str, bytes, bool, int, float, complex, np.generic, os.PathLike, type(None))


class Digest(Protocol):
    """A hash of ``hashlib`` that takes more."""

    def update(self, data: bytes, /) -> None:
        """Take more."""
        ...


class ReadsImages(Protocol):
    """Reads the image of an item, as ``ItemReader`` does."""

    def image(self, source: Dataset, index: int, /) -> "tuple[str, Any]":
        """Return id and image of item ``index``."""
        ...


def dataset_mark(source: Dataset, reader: ReadsImages) -> str:
    """Return what stands for a dataset in a fingerprint.

    These are its length, what it holds for each item, its plain settings, and ids and pixels of ``SAMPLE`` items. What
    changes while items are read, such as a cache or a counter, does not count.
    """
    count, listing = len(source), _Listing()
    before = dict(_held(source, range(count), listing, "", DEPTH))
    mark = hashlib.sha256(str(count).encode())
    for number in sorted({round(place) for place in np.linspace(0, count - 1, min(SAMPLE, count))}) if count else ():
        name, image = reader.image(source, int(number))
        mark.update(f"{name}{image.shape}".encode(errors="backslashreplace"))
        mark.update(np.ascontiguousarray(image).tobytes())
    after = dict(_held(source, range(count), listing, "", DEPTH))
    for key in sorted(before):
        if after.get(key) == before[key]:
            mark.update(f"{key}={before[key]}".encode())
    return mark.hexdigest()[:16]


def _held(
    source: object, items: Sequence[int], listing: "_Listing", prefix: str, depth: int
) -> Iterator[tuple[str, str]]:
    """Give name and digest of what a dataset holds for some of its items, and of its plain settings.

    Datasets that it is made of are followed: those with parts of it by their positions, all others whole.
    """
    if isinstance(source, FolderDataSet):
        inner, folder = inner_of(source)
        with folder.entered():
            yield from list(_held(inner, items, listing, prefix, depth))
        return
    if isinstance(source, Preprocessed):
        yield prefix + "preprocessing", digest(source.setting)
        while isinstance(source, Preprocessed):
            source = source.parent
        yield from _held(source, items, listing, prefix, depth)
        return
    held = getattr(source, "__dict__", None)
    if held is None or depth == 0:
        return
    count = _length(source)
    if held.get("ds") is not None and count is not None and _length(held.get("indexes")) == count:
        chosen = [int(held["indexes"][item]) for item in items]
        yield prefix + "indexes", digest(chosen)
        yield from _held(held["ds"], chosen, listing, prefix + "ds.", depth - 1)
        return
    yield from _held_itself(held, count, items, listing, prefix, depth)


def _held_itself(
    held: dict[str, Any], count: "int | None", items: Sequence[int], listing: "_Listing", prefix: str, depth: int
) -> Iterator[tuple[str, str]]:
    """Give name and digest of a dataset's attributes; ``count`` is how many items it has."""
    folders = _folders_in(held.values())
    for name, value in held.items():
        key = f"{prefix}{name}"
        if name not in NAMES and isinstance(value, PLAIN):
            yield key, _of_setting(value)
        elif count is not None and isinstance(value, (list, tuple, np.ndarray)) and _length(value) == count:
            yield key, _of_items(value, items, _FileStates(listing, folders))
        elif type(value).__module__.partition(".")[0] == "pandas":
            yield key, _of_table(value)
        elif isinstance(value, (list, tuple)) and len(value) <= MEMBERS and all(_is_dataset(part) for part in value):
            for number, part in enumerate(value):
                yield from _held(part, range(_length(part) or 0), listing, f"{key}.{number}.", depth - 1)
        elif _is_dataset(value):
            whole = range(_length(value) or 0)
            yield from _held(value, items if len(whole) == count else whole, listing, f"{key}.", depth - 1)


def _folders_in(values: Iterable[object]) -> list[str]:
    """Return the folders that a dataset's attributes name, alone or in short lists."""
    folders: list[str] = []
    for value in values:
        few = value if isinstance(value, (list, tuple)) and len(value) <= MEMBERS else None
        named = (value, getattr(value, "path", None)) if few is None else few
        paths = [str(one) for one in named if isinstance(one, (str, Path)) and str(one)]
        folders += [path for path in paths if os.path.isdir(path)]  # noqa: PTH112 - no text is too long for it
    return folders


def _of_setting(value: object) -> str:
    """Return the digest of a plain value; a file counts by size and time, a folder by its name."""
    if not isinstance(value, (str, Path)):
        return digest(value)
    path = Path(value)
    try:
        state = path.stat()
    except (OSError, ValueError):
        return digest(str(value))
    return digest(path.name, None if path.is_dir() else (state.st_size, state.st_mtime_ns))


def _of_items(values: Any, items: Sequence[int], states: "_FileStates") -> str:
    """Return the digest of what a dataset holds for each of some items; names of files count with sizes and times."""
    mark = hashlib.sha256()
    if isinstance(values, np.memmap):
        _add(mark, str(values.filename), states)
        _add(mark, list(items) if len(items) < len(values) else len(items))
    elif isinstance(values, np.ndarray) and values.dtype != object:
        _add(mark, values if len(items) == len(values) else values[np.asarray(items, int)])
    else:
        chosen = list(values) if len(items) == len(values) else [values[item] for item in items]
        kinds = set(map(type, chosen))
        if kinds == {str}:
            mark.update("|".join(map(states.of, chosen)).encode(errors="surrogatepass"))
        elif kinds <= {int, float, bool}:
            mark.update(repr(chosen).encode())
        else:
            _add(mark, chosen, states, 5)
    return mark.hexdigest()


def _add(mark: Digest, value: Any, states: "_FileStates | None" = None, depth: int = 4) -> None:
    """Add a value to a digest: plain ones, arrays, and what lists, mappings and records hold of these."""
    if isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
        text = text if isinstance(text, str) else os.fsdecode(text)
        mark.update((text if states is None else states.of(text)).encode(errors="surrogatepass"))
    elif isinstance(value, PLAIN):
        mark.update(repr(value).encode())
    elif depth and isinstance(value, dict):
        for key, entry in value.items():
            _add(mark, key, None, depth - 1)
            _add(mark, entry, states, depth - 1)
    elif depth and (isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype == object)):
        for entry in value:
            _add(mark, entry, states, depth - 1)
    elif depth and isinstance(value, (set, frozenset)):
        mark.update("".join(sorted(map(repr, value))).encode(errors="surrogatepass"))
    elif hasattr(value, "__array__"):
        flat = np.ascontiguousarray(value)
        checksum = zlib.crc32(flat.data.cast("B")) if flat.size and flat.dtype != object else 0
        mark.update(f"{flat.shape}{flat.dtype}{checksum}".encode())
    elif depth and hasattr(value, "__dict__"):
        _add(mark, vars(value), states, depth - 1)
    elif depth and isinstance(getattr(type(value), "__slots__", None), (list, tuple)):
        _add(mark, [getattr(value, name, None) for name in type(value).__slots__], states, depth - 1)
    mark.update(b"|")


def _of_table(value: Any) -> str:
    """Return the digest of a pandas object."""
    from pandas.util import hash_pandas_object

    try:
        return hashlib.sha256(hash_pandas_object(value).to_numpy().tobytes()).hexdigest()
    except TypeError:  # cells that cannot be hashed
        return digest(list(getattr(value, "columns", ())), len(value))


class _Folder:
    """The files of one folder, listed once; size and time of each are looked up when they are asked for."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.names: set[str] = set()
        self.by_stem: dict[str, list[str]] = {}
        self._states: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            self.names.update(os.listdir(path or "."))  # noqa: PTH208 - names alone, which is far faster
        for name in self.names:
            self.by_stem.setdefault(name.rpartition(".")[0], []).append(name)

    def state_of(self, name: str) -> str:
        """Return size and time of a file, or of the files of that name without suffix; empty where there is none."""
        if name in self.names:
            return self._state(name)
        return " ".join(self._state(one) for one in sorted(self.by_stem.get(name, ())))

    def _state(self, name: str) -> str:
        if name not in self._states:
            self._states[name] = ""
            with contextlib.suppress(OSError, ValueError):
                state = os.stat(f"{self.path}/{name}" if self.path else name)  # noqa: PTH116
                self._states[name] = f"{state.st_size} {state.st_mtime_ns}"
        return self._states[name]


class _Listing(dict[str, _Folder]):
    """Folders by path, each listed once."""

    def __missing__(self, path: str) -> _Folder:
        self[path] = _Folder(path)
        return self[path]


class _FileStates:
    """Sizes and times of the files that texts name: as they are, or within folders that the dataset knows."""

    TRIES = 32
    """So many texts that name no file say that none does."""

    def __init__(self, listing: _Listing, folders: Sequence[str]) -> None:
        self.listing = listing
        self.folders = ["", *folders]
        self._misses = 0
        self._listed: dict[str, list[_Folder]] = {}

    def of(self, text: str) -> str:
        """Return a text, of a file's name with the file's size and time."""
        if self._misses > self.TRIES:
            return text
        within, slash, name = text.rpartition("/")
        if not name:
            return text
        if within not in self._listed:
            inner = within if within or not slash else slash
            self._listed[within] = [self.listing[str(Path(folder, inner))] for folder in self.folders]
        for folder in self._listed[within]:
            state = folder.state_of(name)
            if state:
                self._misses = -(1 << 62)
                return f"{name if text.startswith('/') else text} {state}"
        self._misses += 1
        return text


def _length(value: Any) -> "int | None":
    try:
        return len(value)
    except Exception:
        return None


def _is_dataset(value: object) -> bool:
    plain = isinstance(value, (dict, list, tuple, set, np.ndarray, *PLAIN))
    return not plain and hasattr(value, "__getitem__") and hasattr(value, "__len__")
