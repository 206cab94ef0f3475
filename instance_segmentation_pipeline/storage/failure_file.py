"""``error.yaml``: the last failure of an experiment, as musket_core writes it."""

from pathlib import Path

from ..errors import sentence, traceback_of
from .atomic import write_yaml


def write_failure(path: Path, error: BaseException) -> None:
    """Write an error's type, words and traceback."""
    write_yaml(path, {"errors": [{"type": str(type(error)), "value": sentence(error), "trace": traceback_of(error)}]})
