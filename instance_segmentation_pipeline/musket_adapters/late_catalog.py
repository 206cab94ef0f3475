"""musket_core's catalogue of layers, providers and metrics, without Keras until a name is asked of Keras.

musket_core fills it from ``keras.layers`` when it is imported, and the providers, preprocessors and metrics of a
project are registered in the same one. Here the names of Keras come last, when a name is looked up that nobody
else has registered; a project's own function wins over a layer of the same name.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ..deferred import Deferred, real


class LateCatalog(dict[str, Any]):
    """A dict that calls ``fill`` once when ``[]`` or ``in`` asks for what it lacks; ``get`` sees what is there."""

    def __init__(self, entries: dict[str, Any], fill: Callable[[], None]) -> None:
        super().__init__(entries)
        self._fill: Callable[[], None] | None = fill
        self._held = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within it nothing is filled in: a module is being registered, and asks what is there already."""
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before

    def __missing__(self, key: str) -> Any:
        if key in self:
            return self[key]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        if not super().__contains__(key) and self._fill is not None and not self._held:
            fill, self._fill = self._fill, None
            with self.held():
                fill()
        return super().__contains__(key)


def derive_module(upstream: Any) -> type:
    """Return ``configloader.Module`` that registers a deferred module (``keras.layers``) late."""

    class Module(upstream):
        catalog: dict[str, Any]

        def register_module(self, pyMod: "ModuleType | Deferred", override: bool = True) -> None:
            register = super().register_module
            if type(pyMod) is Deferred:
                self.catalog = LateCatalog(self.catalog, lambda: register(real(pyMod), override))
            elif isinstance(self.catalog, LateCatalog):
                with self.catalog.held():
                    register(pyMod, override)
            else:
                register(pyMod, override)

    Module.__qualname__ = upstream.__qualname__
    Module.__module__ = upstream.__module__
    return Module
