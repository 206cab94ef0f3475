"""The views of ``testTimeAugmentation``: those by name, and those of a function of the project's modules."""

from functools import lru_cache
from typing import Any

from ..data.catalog import DatasetCatalog
from ..data.preprocessing.code_digest import code_digest
from ..detection.own_views import OwnView, own_views
from ..detection.tta import NAMES, PLAIN, View, views_of
from ..errors import ConfigError, UserError, nearest, one_line, shortened


def is_own(augmentation: object) -> bool:
    """Say whether a value of ``testTimeAugmentation`` names a function of a project."""
    return isinstance(augmentation, str) and augmentation not in NAMES


def views_for(augmentation: Any, datasets: DatasetCatalog) -> "tuple[View | OwnView, ...]":
    """Return the views that a value of ``testTimeAugmentation`` or ``ttflips`` asks for.

    Args:
        augmentation: As for ``views_of``, or the name of a function of the project's modules that returns pairs
            ``(view, inverse)``: views beside the image as it is.
        datasets: In whose project functions are looked for.

    Raises:
        ConfigError: It is nothing of that, or a view does not come back.
    """
    if not isinstance(augmentation, str) or augmentation in NAMES:
        return tuple(views_of(augmentation))
    try:
        function = datasets.function("testTimeAugmentation", augmentation)
    except ConfigError as error:
        if "is no function" not in str(error):
            raise
        raise ConfigError(
            f"testTimeAugmentation {shortened(augmentation)} is not known{nearest(augmentation, NAMES)}: expected "
            f"{', '.join(NAMES)}, or the name of a function of the project's modules."
        ) from None
    return (PLAIN, *_of_function(function, augmentation))


@lru_cache(maxsize=32)
def _of_function(function: Any, name: str) -> tuple[OwnView, ...]:
    try:
        given = function()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"testTimeAugmentation: the function {name} fails, called without arguments: {one_line(error)}."
        ) from error
    return tuple(own_views(given, name, code_digest(function)))
