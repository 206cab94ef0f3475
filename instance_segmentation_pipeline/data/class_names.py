"""The names of a dataset's classes, as its root tells them."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DatasetError, UserError, one_line, shortened
from .dataset_roots import roots_of
from .protocols import Dataset

EXPECTED = 'a list of different names, such as ["cat", "dog"]'


def known_class_names(dataset: Dataset) -> "tuple[str, ...] | None":
    """Return the class names that a dataset's root gives in ``meta()["CLASSES"]``, ``None`` where it gives none.

    Raises:
        DatasetError: ``meta`` fails, or gives no names, or one twice; or parts of a union give different ones.
    """
    names = list(dict.fromkeys(found for root in roots_of(dataset) if (found := _names_of(root)) is not None))
    if len(names) > 1:
        raise DatasetError(
            f"parts of the dataset name different classes, {shortened(list(names[0]))} and "
            f"{shortened(list(names[1]))}: give all the same, in the same order."
        )
    return names[0] if names else None


def _names_of(root: Any) -> "tuple[str, ...] | None":
    meta = getattr(root, "meta", None)
    if meta is None or not callable(meta) or _wants_an_item(meta):
        return None
    try:
        answer = meta()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise DatasetError(
            f"meta() of the dataset {type(root).__name__} failed ({one_line(error)}): correct it."
        ) from error
    if answer is None:
        return None
    if not isinstance(answer, dict):
        raise DatasetError(
            f"meta() of the dataset {type(root).__name__} is {shortened(answer)}, expected a mapping with CLASSES."
        )
    names = answer.get("CLASSES")
    # musket_core's own dataset takes its names from a table, whose column may hold numbers
    return None if names is None else checked_names(names, numbers=getattr(type(root), "gives_xyxy", False))


def checked_names(names: object, *, numbers: bool = False) -> tuple[str, ...]:
    """Return class names as text.

    Args:
        names: What a dataset gives.
        numbers: Take whole numbers for names too.

    Raises:
        DatasetError: They are no list of different, non-empty texts.
    """
    if isinstance(names, np.ndarray):
        names = names.tolist()
    if not isinstance(names, (list, tuple)) or not names:
        hint = ": put a single name in a list" if isinstance(names, str) else ""
        raise DatasetError(f"CLASSES of the dataset is {shortened(names)}, expected {EXPECTED}{hint}.")
    found: dict[str, int] = {}
    for number, given in enumerate(names, start=1):
        is_number = isinstance(given, (int, np.integer)) and not isinstance(given, bool)
        name = str(given) if is_number and numbers else given
        if not isinstance(name, str) or not name.strip():
            scalar = not isinstance(name, (str, bytes, list, tuple, dict, set))
            hint = ": YAML reads no, yes, null and numbers as values, put quotes around them" if scalar else ""
            raise DatasetError(
                f"CLASSES of the dataset has {shortened(name)} as class {number}, expected {EXPECTED}{hint}."
            )
        if name in found:
            raise DatasetError(
                f"CLASSES of the dataset has {shortened(name)} twice, as classes {found[name]} and {number}: give each "
                "class a name of its own."
            )
        found[str(name)] = number
    return tuple(found)


def _wants_an_item(meta: Callable[..., object]) -> bool:
    """Say whether this is musket_core's own ``DataSet.meta(item)``, which tells of items, or one like it."""
    try:
        parameters = inspect.signature(meta).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(one.default is inspect.Parameter.empty and one.kind in kinds for one in parameters)
