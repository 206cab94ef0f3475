"""The meta-path finder that serves ``mmcv._ext``: compiled operators where they load, and PyTorch's where not.

Light at import: it is installed at every interpreter start. The choice is made when MMCV imports the module.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Literal, Protocol

MODULE = "mmcv._ext"
SWITCH = "MUSKET_MMDETECTION_OPERATORS"
ORIGIN = "instance_segmentation_pipeline.operators"
CHOICES = ("torch", "compiled")


class ModuleLoader(Protocol):
    """What the import system asks of a loader."""

    def create_module(self, spec: ModuleSpec) -> "ModuleType | None":
        """Return the module; ``None`` for an ordinary one."""
        ...

    def exec_module(self, module: ModuleType) -> None:
        """Fill it."""
        ...


class OperatorsFinder:
    """Finds ``mmcv._ext`` and no other module."""

    @staticmethod
    def find_spec(
        fullname: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Return the spec of the compiled module if there is one, else that of the PyTorch operators.

        Raises:
            ConfigError: The switch has another value than those of ``CHOICES``, or it asks for compiled operators
                and there are none.
        """
        if fullname != MODULE:
            return None
        choice = chosen()
        compiled = None if choice == "torch" else PathFinder.find_spec(fullname, path, target)
        if compiled is not None and compiled.loader is not None:
            compiled.loader = CompiledLoader(compiled.loader, required=choice == "compiled")  # type: ignore[assignment]
            return compiled
        if choice == "compiled":
            from ..errors import ConfigError

            raise ConfigError(
                f"{SWITCH}=compiled, but this MMCV has no compiled operators: compile MMCV "
                "(MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir onedl-mmcv), or unset the variable."
            )
        return ModuleSpec(fullname, TorchLoader(), origin=ORIGIN)  # type: ignore[arg-type]


class TorchLoader:
    """Fills ``mmcv._ext`` with the operators of ``extension``."""

    @staticmethod
    def create_module(spec: ModuleSpec) -> "ModuleType | None":
        """Let the import system make an ordinary module."""
        return None

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Put every function that MMCV asks for into the module."""
        from .extension import operators

        module.__doc__ = "MMCV's operators in PyTorch (instance_segmentation_pipeline.operators)."
        vars(module).update(operators())


class CompiledLoader:
    """Loads a compiled ``mmcv._ext``; one that cannot be loaded is replaced by PyTorch's, with one warning line."""

    def __init__(self, loader: ModuleLoader, required: bool = False) -> None:
        self.loader = loader
        self.required = required

    def create_module(self, spec: ModuleSpec) -> "ModuleType | None":
        """Load the shared library.

        Raises:
            ConfigError: It cannot be loaded, and the switch asks for it.
        """
        try:
            import torch  # noqa: F401 - the library needs torch's own to be loaded first

            _refuse_truncated(str(spec.origin))
            return self.loader.create_module(spec)
        except (ImportError, OSError) as error:
            self._replace(spec, error)
            return None

    def exec_module(self, module: ModuleType) -> None:
        """Initialize what ``create_module`` returned.

        Raises:
            ConfigError: It lacks operators that MMCV asks for, and the switch asks for it.
        """
        self.loader.exec_module(module)
        if isinstance(self.loader, TorchLoader) or module.__spec__ is None:
            return
        from .names import NAMES

        lacking = sorted(NAMES - vars(module).keys())
        if lacking:
            self._replace(
                module.__spec__, ImportError(f"it lacks {lacking[0]} and {len(lacking) - 1} more: of another MMCV")
            )
            self.loader.exec_module(module)

    def _replace(self, spec: ModuleSpec, error: Exception) -> None:
        import torch

        reason = " ".join(str(error).split()).replace(f"{spec.origin}: ", "")[:200]
        problem = (
            f"the compiled operators of MMCV ({spec.origin}) cannot be loaded with torch {torch.__version__} ({reason})"
        )
        if self.required:
            from ..errors import ConfigError

            raise ConfigError(
                f"{SWITCH}=compiled, but {problem}: compile MMCV again for this torch, or unset the variable."
            ) from error
        _warn_once(
            f"instance_segmentation_pipeline: {problem}: those in PyTorch are used; {SWITCH}=torch silences this, "
            "compiling MMCV again ends it."
        )
        self.loader = TorchLoader()
        spec.loader = self.loader  # type: ignore[assignment]
        spec.origin = ORIGIN
        spec.has_location = False


def _refuse_truncated(path: str) -> None:
    """Raise ImportError for a 64-bit ELF file that is shorter than it says: mapping it kills the process (SIGBUS)."""
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib is not loaded at interpreter start
        header = file.read(64)
        size = file.seek(0, os.SEEK_END)
    if len(header) == 64 and header[:5] == b"\x7fELF\x02":
        order: Literal["little", "big"] = "little" if header[5] == 1 else "big"
        sections, entry, count = (
            int.from_bytes(header[start:stop], order) for start, stop in ((40, 48), (58, 60), (60, 62))
        )
        if sections + entry * count > size:
            raise ImportError("the file is truncated")


def chosen() -> "str | None":
    """Return what ``MUSKET_MMDETECTION_OPERATORS`` asks for: ``torch``, ``compiled``, or None where it is not set.

    Raises:
        ConfigError: It has another value.
    """
    value = os.environ.get(SWITCH, "").strip()
    if value and value not in CHOICES:
        from ..errors import ConfigError

        raise ConfigError(
            f"{SWITCH}={value!r} in the environment: expected 'torch' (the operators in PyTorch) or 'compiled' (those "
            "that MMCV was compiled with); unset it to take the compiled ones where they load."
        )
    return value or None


def in_use() -> str:
    """Return which operators MMCV has here, ``torch`` or ``compiled``; imports ``mmcv._ext``."""
    module = importlib.import_module(MODULE)
    loader = getattr(module.__spec__, "loader", None)
    return "torch" if isinstance(loader, TorchLoader) else "compiled"


def install() -> None:
    """Put the finder first in ``sys.meta_path``, once."""
    if not any(isinstance(finder, OperatorsFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, OperatorsFinder())


def _warn_once(message: str) -> None:
    """Say it on stderr, in the process that the user started only: its workers import MMCV too."""
    from multiprocessing import parent_process

    if parent_process() is None:
        print(message, file=sys.stderr, flush=True)  # noqa: T201
