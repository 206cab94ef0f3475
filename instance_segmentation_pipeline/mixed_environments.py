"""Two environments mixed by PYTHONPATH, told in one sentence instead of an error deep inside NumPy or ``typing``.

Imports ``os`` and ``sys`` only: on such a path even the standard library's modules may be a stranger's (musket_core's
requirements bring a module ``typing``, and PYTHONPATH comes before the standard library).
"""

import os
import sys

NAMES = frozenset({"musket_core", "mmdet", "mmcv", "mmengine"})


def foreign_packages() -> "str | None":
    """Return the first entry of PYTHONPATH that holds another environment's packages; ``None`` where none does.

    That is a ``site-packages`` folder of another Python version, or one outside this environment with a module
    ``typing`` that hides the standard library's.
    """
    own = os.path.realpath(sys.prefix) + os.sep
    for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        folder = os.path.realpath(entry or os.curdir)
        parent, name = os.path.split(folder)
        if name not in ("site-packages", "dist-packages") or folder.startswith(own):
            continue
        version = os.path.basename(parent).removeprefix("python")  # noqa: PTH119
        other = version.startswith("3.") and version != _version()
        if other or os.path.isfile(os.path.join(folder, "typing.py")):  # noqa: PTH113, PTH118
            return folder
    return None


def refusal(folder: str) -> str:
    """Return the sentence for the person who set PYTHONPATH."""
    return (
        f"PYTHONPATH brings the packages of another environment ({folder}) into {sys.executable} (Python {_version()}),"
        " where they do not run: unset PYTHONPATH, or use the other environment's own python."
    )


def _version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def refuse() -> bool:
    """Say whether another environment's packages are on PYTHONPATH; importing ``NAMES`` is then refused."""
    folder = foreign_packages()
    if folder is not None and not any(isinstance(finder, RefusingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, RefusingFinder(folder))
    return folder is not None


class RefusingFinder:
    """Raises the sentence where musket_core or MMDetection is imported."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Return ``None`` for all modules but those that could not run.

        Raises:
            ImportError: One of ``NAMES`` is imported.
        """
        if fullname in NAMES:
            raise ImportError(refusal(self.folder), name=fullname)
