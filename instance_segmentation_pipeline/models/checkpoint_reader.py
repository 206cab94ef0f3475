"""The one reader of checkpoint files: tensors and plain data, by a table of names that is ours.

A checkpoint is a pickle, and a pickle may call whatever it names. The file's names are looked up in ``TORCH`` and
``STAND_INS`` before anything is made of it; torch's ``weights_only`` reader then makes it, with functions of ours in
place of what NumPy, MMEngine and MMCV have under these names. None of them reads an attribute, imports, opens a file,
or calls what the file hands to it.

While ``reading_for_models`` is entered, whatever MMEngine loads by ``CheckpointLoader`` is read here too: ``init_cfg``
of any module, ``teacher_ckpt`` of a distilled detector, ``load_from``.
"""

import _compat_pickle
import contextlib
import contextvars
import pickletools
import re
import stat
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch.serialization import MAGIC_NUMBER

from ..detection.arrays import AnyArray
from ..errors import WeightsError
from ..storage.zip_files import is_whole, is_zip
from ..text import printable, short

TORCH = frozenset(
    {
        "_codecs.encode",
        "builtins.bytearray",
        "builtins.complex",
        "builtins.set",
        "collections.Counter",
        "collections.OrderedDict",
        "torch.Size",
        "torch.Tensor",
        "torch.device",
        "torch.nn.parameter.Parameter",
        "torch.serialization._get_layout",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_qtensor",
        "torch._utils._rebuild_sparse_tensor",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_tensor_v3",
        "torch.storage.UntypedStorage",
    }
)
"""Names that torch's own reader knows and that stay as they are. Not among them: what calls a function that the file
chooses (``torch._tensor._rebuild_from_type_v2``, ``_rebuild_wrapper_subclass``), sets attributes by name, or unpickles
again (``torch.storage._load_from_bytes``)."""

_TORCH_KINDS = re.compile(
    r"torch\.(u?int\d{1,2}|float\d{1,2}(_\w+)?|bfloat16|bool|complex\d{2,3}|half|float|double|long|q\w+|per_\w+"
    r"|(cuda\.)?[A-Z][A-Za-z0-9]{1,14}Storage)"
)
"""dtypes, quantisation schemes and typed storages, which carry no behaviour."""

_FRAMING = ("PROTO", "FRAME", "MEMOIZE", "STOP")
_SIMPLE_DTYPE = re.compile(r"[<>|=]?([?biufcSU])(\d{0,6})")
_STATISTICS = ("min", "max", "mean", "current")
_EXECUTES = "beyond tensors and plain data, whose loading can run code: only if you trust where it comes from, set "


class _Refused(Exception):
    """A checkpoint names, or asks of a name, what a reader of plain data does not do."""


class _Dtype:
    """Stands for a ``numpy.dtype`` while a file is read: NumPy's own can be set to any memory layout by a file."""

    def __init__(self, text: object = "", *_: object) -> None:
        text = text.decode("ascii") if isinstance(text, bytes) else text
        if not isinstance(text, str) or not (text == "O8" or _SIMPLE_DTYPE.fullmatch(text)):
            raise _Refused("numpy.dtype of a structure")
        self.dtype = np.dtype(object if text == "O8" else text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order == "<" or order == ">":
            self.dtype = self.dtype.newbyteorder("<" if order == "<" else ">")


class _Array:
    """Stands for a ``numpy.ndarray`` until the file is read."""

    def __init__(self, *_: object) -> None:
        self.value = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, by_column, data = state[-4:]
        if dtype.dtype == object:
            self.value = np.empty(len(data), object)
            self.value[:] = list(data)
        else:
            self.value = np.frombuffer(bytearray(_bytes(data)), dtype.dtype)
        self.value = self.value.reshape(tuple(shape), order="F" if by_column else "C")


class _History:
    """Stands for MMEngine's ``HistoryBuffer``, whose state names functions."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.lists = [np.asarray(_plain(state[name])) for name in ("_log_history", "_count_history")]
        self.length = int(state["max_length"])


class _ConfigFile:
    """Stands for a ``Config`` object: what it was read from is not kept."""

    def __setstate__(self, state: Any) -> None:
        values = state[0] if isinstance(state, (tuple, list)) else state
        self.values = values.get("_cfg_dict", values) if isinstance(values, dict) else {}


class _Name:
    """Stands for a class that a file only mentions: it cannot be called."""


class _Mapping:
    """Stands for a class of mappings; an object of it is a plain one."""

    def __new__(cls, *arguments: object) -> Any:
        return OrderedDict(
            argument for argument in arguments if isinstance(argument, dict) for argument in argument.items()
        )


def _bytes(data: Any) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _scalar(dtype: _Dtype, data: Any = b"") -> Any:
    if dtype.dtype == object:
        raise _Refused("numpy scalar of an object")
    return np.frombuffer(_bytes(data), dtype.dtype, 1)[0]


def _statistic(owner: object, name: object) -> str:
    """Stand for ``getattr``, which files of MMEngine use on the methods of ``HistoryBuffer`` and on nothing else."""
    if owner is not _History or name not in _STATISTICS:
        raise _Refused("builtins.getattr")
    return str(name)


def _empty_bytes(*_: object) -> bytes:
    return b""


def _default_mapping(*_: object) -> dict[Any, Any]:
    return {}


_NUMPY_CORE = ("numpy.core.multiarray", "numpy._core.multiarray")
STAND_INS: dict[str, Any] = {
    "builtins.bytes": _empty_bytes,
    "builtins.getattr": _statistic,
    "builtins.slice": slice,
    "collections.defaultdict": _default_mapping,
    "numpy.dtype": _Dtype,
    "numpy.ndarray": _Array,
    **{f"{core}._reconstruct": _Array for core in _NUMPY_CORE},
    **{f"{core}.scalar": _scalar for core in _NUMPY_CORE},
    "mmengine.logging.history_buffer.HistoryBuffer": _History,
    **{f"{room}.ConfigDict": _Mapping for room in ("mmengine.config.config", "mmcv.utils.config")},
    **{f"{room}.Config": _ConfigFile for room in ("mmengine.config.config", "mmcv.utils.config")},
    "addict.addict.Dict": _Mapping,
    **{f"builtins.{kind}": _Name() for kind in ("bool", "dict", "float", "int", "list", "str", "tuple")},
}
"""Names that files of MMDetection 2.x and 3.x hold besides torch's, and what is made of them here."""

_lock = threading.RLock()


def read_file(path: Path, trusted: bool = False, mapped: bool = False) -> Any:
    """Read what a checkpoint file holds, onto the CPU; without running code, unless it is trusted.

    Args:
        path: A file of ``torch.save``, of the present format (a zip) or of that before torch 1.6.
        trusted: Whether the file may run code, as unpickling does.
        mapped: Whether tensors may stay in the file until they are looked at (of the present format).

    Raises:
        WeightsError: It is absent, no file, damaged, or holds objects beyond tensors and plain data.
    """
    shown = printable(path)
    _check_kind(path, shown)
    try:
        zipped = _check_whole(path, shown)
        if not zipped:
            _check_magic(path, shown)
        if trusted:
            return torch.load(path, map_location="cpu", weights_only=False)
        found = sorted(name for name in _names(path, zipped) if not is_allowed(name))
        if found:
            raise _Refused(", ".join(found[:3]))
        with _lock, _only_ours():
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipped)
        return _plain(content)
    except WeightsError:
        raise
    except _Refused as error:
        what = printable(error, 160)
        raise WeightsError(f"{shown} holds objects ({what}) {_EXECUTES}trustWeights: true.") from None
    except Exception as error:
        words = printable(f"{type(error).__name__}: {error}", 160)
        raise WeightsError(
            f"{shown} is damaged, or is no checkpoint ({words}): get it again, or give another."
        ) from error


def is_allowed(name: str) -> bool:
    """Say whether a checkpoint may hold a name, such as ``torch._utils._rebuild_tensor_v2``."""
    return (
        name in TORCH
        or name in STAND_INS
        or _TORCH_KINDS.fullmatch(name.replace("torch.storage.", "torch.")) is not None
    )


def _check_kind(path: Path, shown: str) -> None:
    """Refuse what is no file: opening a named pipe would wait for ever."""
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise WeightsError(f"{shown} does not exist.") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{shown} cannot be read ({printable(error, 120)}): see to its rights.") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise WeightsError(f"{shown} is {kind}, expected a checkpoint file: correct the path.")


def _check_whole(path: Path, shown: str) -> bool:
    """Refuse a zip that is cut off or changed; return whether the file is one."""
    zipped = is_zip(path)
    if zipped and not is_whole(path):
        raise WeightsError(
            f"{shown} is damaged: its records do not agree with their checksums, or it is cut off: get it again, or "
            "give another."
        )
    return zipped


def _check_magic(path: Path, shown: str) -> None:
    """Refuse what does not begin as ``torch.save`` did before torch 1.6: with its magic number, pickled by itself."""
    with path.open("rb") as file:
        start = file.read(64)
    opcodes = []
    with contextlib.suppress(ValueError):
        opcodes = [(code.name, value) for code, value, _ in pickletools.genops(start) if code.name not in _FRAMING]
    if opcodes == [("LONG1", MAGIC_NUMBER)]:
        return
    begins = f"it begins with {short(start[:40])}" if start else "it is empty"
    raise WeightsError(
        f"{shown} is no checkpoint, or is damaged: {begins}, expected what torch.save writes: get it again, or give "
        "another."
    )


def _names(path: Path, zipped: bool) -> set[str]:
    """Return what the pickles of a checkpoint name, as ``module.name``."""
    names: set[str] = set()
    if zipped:
        with zipfile.ZipFile(path) as archive:
            for record in archive.namelist():
                if record.endswith(".pkl"):
                    with archive.open(record) as pickled:
                        names |= _names_of_pickle(pickled)
        return names
    with path.open("rb") as file:
        for _ in range(5):  # magic number, version, system, content, keys of storages; their bytes follow
            names |= _names_of_pickle(file)
    return names


def _names_of_pickle(file: "IO[bytes]") -> set[str]:
    names = set()
    for code, argument, _ in pickletools.genops(file):
        if code.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
            names.add(f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}")
        elif code.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX"):
            raise _Refused(f"the pickle instruction {code.name}")
    return names


@contextlib.contextmanager
def _only_ours() -> Iterator[None]:
    """Let torch's reader know no further names than ``STAND_INS``, whatever other code has allowed it."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals([(value, name) for name, value in STAND_INS.items()])
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _plain(value: Any) -> Any:
    """Return what was read with the real objects in place of those that stood for them; containers stay the same."""
    if isinstance(value, _Array):
        return value.value if value.value.dtype != object else _plain_array(value.value)
    if isinstance(value, _Dtype):
        return value.dtype
    if isinstance(value, _History):
        return HistoryBuffer(*value.lists, max_length=value.length)
    if isinstance(value, _ConfigFile):
        return _plain(value.values)
    if isinstance(value, dict):
        for key, entry in list(value.items()):
            value[key] = _plain(entry)
    elif isinstance(value, list):
        value[:] = [_plain(entry) for entry in value]
    elif type(value) is tuple:
        return tuple(_plain(entry) for entry in value)
    return value


def _plain_array(array: AnyArray) -> AnyArray:
    for place in np.ndindex(array.shape):
        array[place] = _plain(array[place])
    return array


_reader: "contextvars.ContextVar[Callable[[str], Any] | None]" = contextvars.ContextVar("reader", default=None)


@contextlib.contextmanager
def reading_for_models(read: Callable[[str], Any]) -> Iterator[None]:
    """Let MMEngine's ``CheckpointLoader`` get each checkpoint that it is asked for in this block from ``read``.

    Args:
        read: Gets a path, URL or model zoo's name; returns what the checkpoint holds.
    """
    _register()
    token = _reader.set(read)
    try:
        yield
    finally:
        _reader.reset(token)


def _register() -> None:
    """Put the reader in front of MMEngine's loaders; outside ``reading_for_models`` they work as ever."""
    from mmengine.runner.checkpoint import CheckpointLoader

    with _lock:
        for prefix, loader in list(CheckpointLoader._schemes.items()):  # noqa: SLF001 - MMEngine lists them nowhere else
            if not isinstance(loader, _Loader):
                CheckpointLoader.register_scheme(prefix, _Loader(loader), force=True)


class _Loader:
    """A loader of MMEngine that gives way to the reader of ``reading_for_models``."""

    __name__ = "load_from_one_reader"

    def __init__(self, original: Callable[..., Any]) -> None:
        self.original = original

    def __call__(self, filename: str, *arguments: Any, **options: Any) -> Any:
        read = _reader.get()
        return self.original(filename, *arguments, **options) if read is None else read(str(filename))
