"""Says which config wanted an operator of MMCV that is not there."""

import contextlib
from collections.abc import Iterator
from typing import Any

from ..operators.extension import MissingOperatorError


@contextlib.contextmanager
def naming_config(config: Any) -> Iterator[None]:
    """Name the file of ``config`` (an ``mmengine.Config``, or None) where a missing operator ends what is inside.

    Raises:
        MissingOperatorError: The operator, who wanted it, and what to do.
    """
    try:
        yield
    except MissingOperatorError as error:
        file = getattr(config, "filename", None)
        if file is None:
            raise
        raise MissingOperatorError(f"configPath: {file} cannot be computed here: {error}") from error
