"""Functions of a project that run once after ``musket fit``: ``musket_core.fit_callbacks`` of later versions.

Light at import: modules of projects import it.
"""

import contextlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])

after_fit_callbacks: list[Callable[..., Any]] = []


def after_fit(method: T) -> T:
    """Mark a function, which takes nothing, to be run once when ``musket fit`` has trained."""
    method.after_fit = True  # type: ignore[attr-defined]
    after_fit_callbacks.append(method)
    return method


def get_after_fit_callbacks() -> list[Callable[..., Any]]:
    """Return the functions that were marked in this process so far."""
    return after_fit_callbacks


def run_after_fit(project: Path) -> list[str]:
    """Run the functions of a project's modules and imports that are marked, each once, in the project's folder.

    Returns:
        A sentence for each that failed; the others ran.
    """
    from musket_core import context

    from ..errors import ConfigError, sentence
    from .runner import modules_of

    found: dict[int, Callable[..., Any]] = {}
    try:
        for module in modules_of(project):
            members = list(vars(module).values())
            found.update({id(one): one for one in members if getattr(one, "after_fit", None) is True and callable(one)})
    except ConfigError as error:
        return [f"after_fit: {error}"]
    failures = []
    context.context.projectPath = str(project)
    for function in found.values():
        name = f"{getattr(function, '__module__', '?')}.{getattr(function, '__name__', '?')}"
        try:
            _check(function)
            with contextlib.chdir(project):
                function()
        except (Exception, SystemExit) as error:
            failures.append(f"after_fit: {name} failed: {sentence(error).rstrip('.')}; what was trained is kept.")
    return failures


def _check(function: Callable[..., Any]) -> None:
    from ..errors import ConfigError

    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ConfigError(f"it is called without arguments ({error})") from None
    except ValueError:
        return
