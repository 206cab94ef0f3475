"""The meta-path finder that serves ``musket_core`` and ``imgaug`` with rewritten imports.

Light at import: the syntax-tree work (``rewriting``) and the class overrides load only when a module of
those two packages is really imported. Compiled code is cached beside upstream's own bytecode, under a name
that the ordinary import system never reads, and is keyed by the hash of the source and of the rewriter, so
neither a stale ``.pyc`` of upstream's nor one of ours is ever executed.
"""

import contextlib
import importlib.util
import io
import marshal
import os
import sys
import warnings
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib costs 10 ms at start-up

PACKAGES = frozenset({"musket_core", "imgaug"})
PROGRAMS = {f"musket_core.{name}": f"{name}.py" for name in ("fit", "task", "analize", "fit_callbacks")}
"""Upstream's command-line modules, and one of its later versions, that are served from ``legacy/programs``."""


class RedirectingFinder:
    """Finds ``musket_core.*`` and ``imgaug.*``, with a loader that rewrites their imports."""

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        """Return a spec for the modules this finder answers for, ``None`` for all others."""
        if fullname.partition(".")[0] not in PACKAGES:
            return None
        if fullname in PROGRAMS:
            program = os.path.join(_HERE, "programs", PROGRAMS[fullname])  # noqa: PTH118
            return importlib.util.spec_from_file_location(fullname, program)
        spec = PathFinder.find_spec(fullname, path, target)  # type: ignore[arg-type]
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = RewritingLoader(fullname, spec.loader.path)
            spec.cached = _cache_of(spec.loader.path)
        elif fullname == "imgaug":
            from .imgaug_check import missing

            problem = missing(fullname)
            if problem is not None:
                raise problem
        return spec


class RewritingLoader(SourceFileLoader):
    """Loads a module from its real file, with its import statements rewritten."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the rewritten module's code, from the private cache when source and rewriter agree."""
        path = self.get_filename(fullname)
        source = self.get_data(path)
        key = importlib.util.source_hash(source + _rewriter_source())
        header = importlib.util.MAGIC_NUMBER + b"\x03\x00\x00\x00" + key  # a hash-based pyc, PEP 552
        cache = _cache_of(path)
        try:
            cached = self.get_data(cache)
            if cached[:16] == header:
                code: CodeType = marshal.loads(memoryview(cached)[16:])
                return code
        except (OSError, EOFError, ValueError, TypeError):
            pass  # absent or damaged: compiled anew below
        from .rewriting import rewrite

        with warnings.catch_warnings():  # invalid escapes in upstream's strings, told by Python 3.12 and newer
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            code = compile(rewrite(source, path, fullname), path, "exec", dont_inherit=True)
        if not sys.dont_write_bytecode:
            _write_quietly(cache, header + marshal.dumps(code))
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, quietly, then let ``overrides`` add what our dialect needs to it."""
        from ..deferred import binding

        with binding(), contextlib.redirect_stdout(io.StringIO()):  # introspector prints what Keras 3 changed
            super().exec_module(module)
        if module.__name__.startswith("musket_core."):
            from ..musket_adapters.overrides import apply

            apply(module)
        elif module.__name__ == "imgaug":
            from .imgaug_check import check

            check(module)


def _cache_of(path: str) -> str:
    """Return where the rewritten bytecode of a source file is kept: a name that nobody else reads."""
    return importlib.util.cache_from_source(path, optimization=f"redirected{sys.flags.optimize}")


def _rewriter_source() -> bytes:
    with open(os.path.join(_HERE, "rewriting.py"), "rb") as file:  # noqa: PTH118, PTH123
        return file.read()


def _write_quietly(path: str, data: bytes) -> None:
    """Write atomically; a read-only site-packages only costs the cache."""
    temporary = f"{path}.{os.urandom(8).hex()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with open(temporary, "xb") as file:  # noqa: PTH123
            file.write(data)
        os.replace(temporary, path)  # noqa: PTH105
    except OSError:
        pass
