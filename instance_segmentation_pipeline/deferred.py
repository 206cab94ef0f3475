"""Names that musket_core binds when it is imported and that load their module when they are first used.

While a module of musket_core runs for the first time, ``keras.Model`` in an annotation, ``import pandas as pd``
or ``class CyclicLR(Callback)`` ask for a name, not for what it does. They get a ``Deferred``; the first call,
attribute, instance or ``isinstance`` after that imports the real thing and goes on with it.
"""

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

_binding = threading.local()


@contextmanager
def binding() -> Iterator[None]:
    """Within it, this thread's attributes of deferred names are deferred too: a module is binding its names."""
    depth = getattr(_binding, "depth", 0)
    _binding.depth = depth + 1
    try:
        yield
    finally:
        _binding.depth = depth


def is_binding() -> bool:
    """Whether this thread is within ``binding``."""
    return bool(getattr(_binding, "depth", 0))


def deferred_module(name: str) -> "Deferred":
    """Return the module ``name``, imported when it is used.

    Raises ``ModuleNotFoundError`` at once where its package is not installed, as the import statement would.
    """
    root = name.partition(".")[0]
    if find_spec(root) is None:
        raise ModuleNotFoundError(f"No module named {root!r}", name=root)
    return Deferred(name, lambda: importlib.import_module(name))


def deferred_call(name: str, function: Callable[[], Any]) -> Any:
    """Return what ``function()`` returns; while a module binds its names, something that calls it when used."""
    return Deferred(name, function) if is_binding() else function()


class Deferred:
    """Stands for a module, class or function; ``load`` gives the real one, once.

    As a base class it becomes a placeholder, which ``settle`` (or the first instance) replaces by the real class.
    """

    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        self.__dict__.update(_name=name, _load=load, _attributes={})

    def __getattr__(self, name: str) -> Any:
        if self._is_real():
            return getattr(real(self), name)
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Deferred(f"{self._name}.{name}", lambda: _member(real(self), name))

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_real():
            setattr(real(self), name, value)
        else:
            self._attributes[name] = value
            _UNSETTLED.append(self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call what it stands for."""
        return real(self)(*arguments, **options)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, real(self))

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, real(self))

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        if self._is_real():
            return (real(self),)
        if "_placeholder" not in self.__dict__:
            self.__dict__["_placeholder"] = _placeholder_of(self)
            _UNSETTLED.append(self)
        return (self._placeholder,)

    def __dir__(self) -> list[str]:
        return dir(real(self))

    def _is_real(self) -> bool:
        return "_real" in self.__dict__ or not is_binding()

    def __repr__(self) -> str:
        return f"<{self._name}, imported when used>"


def real(deferred: Deferred) -> Any:
    """Return what ``deferred`` stands for; imports it on the first call."""
    state = deferred.__dict__
    if "_real" not in state:
        state["_real"] = state["_load"]()
        for name, value in state["_attributes"].items():
            setattr(state["_real"], name, value)
    return state["_real"]


def settle() -> None:
    """Give each class that was made on a placeholder its real base, and what was set on a name to its real object.

    Called when the module that they wait for has been imported.
    """
    while _UNSETTLED:
        deferred = _UNSETTLED.pop()
        base, placeholder = real(deferred), deferred.__dict__.get("_placeholder")
        for derived in placeholder.__subclasses__() if placeholder is not None else ():
            derived.__bases__ = tuple(base if one is placeholder else one for one in derived.__bases__)
            if derived.__new__ is object.__new__:
                derived.__new__ = _new_of(derived)
            if "__orig_bases__" in vars(derived):
                del derived.__orig_bases__


_UNSETTLED: list[Deferred] = []


def _placeholder_of(deferred: Deferred) -> type:
    def new(cls: Any, *arguments: Any, **options: Any) -> Any:
        real(deferred)
        settle()
        return cls.__new__(cls, *arguments, **options)

    path = str(deferred.__dict__["_name"])
    return type(path.rpartition(".")[2], (), {"__new__": new, "__doc__": f"Holds the place of ``{path}``."})


def _new_of(derived: Any) -> Callable[..., Any]:
    """Return a ``__new__`` for a class whose placeholder had one.

    CPython keeps the slot of the placeholder's, which would hand the arguments on to ``object.__new__``.
    """

    def new(cls: Any, *arguments: Any, **options: Any) -> Any:
        make = super(derived, cls).__new__
        return make(cls) if make is object.__new__ else make(cls, *arguments, **options)

    return new


def _member(parent: Any, name: str) -> Any:
    """Return ``parent.name``, also where it is a submodule that nobody has imported yet."""
    try:
        return getattr(parent, name)
    except AttributeError:
        if not hasattr(parent, "__path__"):
            raise
        return importlib.import_module(f"{parent.__name__}.{name}")
