"""What tells the code of a function: a digest of its syntax and of what it uses of its project, not of comments."""

import ast
import hashlib
import inspect
import textwrap
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

MOST = 200
"""Functions, classes and values that are followed."""

INSTALLED = {"site-packages", "dist-packages"}
"""Folders of what is installed: it is known by its names."""

MOST_TEXT = 100_000
PLAIN = (str, bytes, int, float, complex, bool, type(None))


def code_digest(subject: Any) -> str:
    """Return the digest of a function's, class's or object's code.

    Functions, classes and plain values of the same project that it names are followed; a module of the project that it
    names counts as a whole. What is installed elsewhere counts by its name.
    """
    mark = hashlib.sha256()
    seen: set[int] = set()
    _add(mark, subject if _is_code(subject) else type(subject), seen)
    return mark.hexdigest()[:16]


def _is_code(subject: Any) -> bool:
    return isinstance(subject, (FunctionType, MethodType, type, ModuleType))


def _add(mark: Any, subject: Any, seen: set[int]) -> None:
    if id(subject) in seen or len(seen) >= MOST:
        return
    seen.add(id(subject))
    if isinstance(subject, ModuleType):
        mark.update(_file_of(subject))
        return
    original = inspect.unwrap(getattr(subject, "original", subject))
    original = original.__func__ if isinstance(original, MethodType) else original
    if not _is_code(original):
        mark.update(repr(original)[:1000].encode(errors="replace"))
        return
    mark.update(f"{getattr(original, '__module__', '')}.{getattr(original, '__qualname__', '')}".encode())
    folder = _folder(original)
    if folder is not None and INSTALLED & set(folder.parts):
        return
    mark.update(_syntax(original))
    functions = [original] if isinstance(original, FunctionType) else _methods(original)
    for function in functions:
        for cell in function.__closure__ or ():
            _follow(mark, "", _content(cell), function, seen)
        for name in sorted(_names(function.__code__)):
            if name in function.__globals__:
                _follow(mark, name, function.__globals__[name], function, seen)
    for base in original.__bases__ if isinstance(original, type) else ():
        _follow(mark, "", base, original, seen)


def _methods(kind: Any) -> list[FunctionType]:
    members = (getattr(one, "fget", getattr(one, "__func__", one)) for one in vars(kind).values())
    return [one for one in members if isinstance(one, FunctionType)]


def _follow(mark: Any, name: str, value: Any, user: Any, seen: set[int]) -> None:
    """Add what a function names, as far as its own project goes; of lists and mappings those named as constants."""
    mark.update(name.encode())
    if isinstance(value, PLAIN):
        mark.update(repr(value)[:MOST_TEXT].encode(errors="replace"))
        return
    if isinstance(value, (list, dict, set, frozenset, tuple)):
        if name.isupper() or isinstance(value, (frozenset, tuple)):
            mark.update(_text(value, 4)[:MOST_TEXT].encode(errors="replace"))
        return
    original = getattr(value, "original", value)
    if isinstance(value, ModuleType):
        if _folder(value) == _folder(user):
            _add(mark, value, seen)
        else:
            mark.update(value.__name__.encode())
    elif _is_code(original) and _folder(original) == _folder(user):
        _add(mark, value, seen)
    else:
        mark.update(f"{getattr(original, '__module__', '')}.{getattr(original, '__qualname__', '')}".encode())


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _text(value: Any, depth: int) -> str:
    """Return plain values, and what lists and mappings hold of them, as text that is the same in every process."""
    if isinstance(value, PLAIN):
        return repr(value)
    if depth and isinstance(value, dict):
        return "{" + ",".join(f"{_text(key, 1)}:{_text(entry, depth - 1)}" for key, entry in value.items()) + "}"
    if depth and isinstance(value, (set, frozenset)):
        return "{" + ",".join(sorted(_text(entry, depth - 1) for entry in value)) + "}"
    if depth and isinstance(value, (list, tuple)):
        return "[" + ",".join(_text(entry, depth - 1) for entry in value) + "]"
    return type(value).__qualname__


def _names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _folder(subject: Any) -> "Path | None":
    try:
        return Path(inspect.getfile(subject)).resolve().parent
    except (TypeError, OSError):
        return None


def _syntax(subject: Any) -> bytes:
    """Return the syntax tree of a function or class as text, without comments and documentation."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(subject)))
    except (OSError, TypeError, SyntaxError, ValueError):
        code = getattr(subject, "__code__", None)
        return b"" if code is None else code.co_code + repr(code.co_consts).encode(errors="replace")
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0].value.value = None
    return ast.dump(tree).encode(errors="replace")


def _file_of(module: ModuleType) -> bytes:
    try:
        return Path(str(module.__file__)).read_bytes()
    except OSError:
        return module.__name__.encode()
