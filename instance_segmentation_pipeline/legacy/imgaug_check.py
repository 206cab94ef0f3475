"""Which of two distributions owns the module ``imgaug``: imgaug (asked for by musket_core) or imaug (MMDetection's).

Both put their files into the same folder: the one installed last overwrites the other's, and uninstalling one
removes files of both. imaug is the maintained fork and the one that is tried.
"""

import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from ..errors import UserError

WANTED = "imaug"
TRIED = "0.4.3"


class IncompleteModuleError(UserError, ModuleNotFoundError):
    """The files of ``imgaug`` are gone though a distribution of it is installed."""


def missing(fullname: str) -> "IncompleteModuleError | None":
    """Return what to raise where a distribution is installed whose files are gone; ``None`` where none is."""
    wanted = _version(WANTED)
    if wanted is None and _version("imgaug") is None:
        return None
    error = IncompleteModuleError(
        "the module imgaug is incomplete: imgaug and imaug are two distributions of it, and uninstalling one removes "
        f"files of both; put it right with: {_command(wanted)}"
    )
    error.name = fullname
    return error


def check(module: ModuleType) -> None:
    """Say on stderr, in one line, which command puts it right where another release's files than imaug's are there."""
    wanted = _version(WANTED)
    found = getattr(module, "__version__", None)
    if wanted == found:
        return
    from multiprocessing import parent_process

    if parent_process() is None:
        print(  # noqa: T201
            f"instance_segmentation_pipeline: the module imgaug is that of release {found}, and not imaug's, which "
            f"MMDetection asks for: put it right with: {_command(wanted)}",
            file=sys.stderr,
            flush=True,
        )


def _command(wanted: "str | None") -> str:
    return f"{sys.executable} -m pip install --force-reinstall --no-deps {WANTED}=={wanted or TRIED}"


def _version(distribution: str) -> "str | None":
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
