"""Whether something is a dataset, its length and the ids of its items: a wrong answer is told from a defect of ours."""

from collections.abc import Sized
from typing import Any

from ..errors import ConfigError, DatasetError, UserError, one_line, shortened


def check_dataset(given: Any, instead: str) -> None:
    """See to it that something that is given as a dataset can be one.

    Args:
        given: What is given.
        instead: What else could be given, for the message.

    Raises:
        ConfigError: It has no items, or its items are numbers and texts.
    """
    has_items = hasattr(given, "__len__") and hasattr(given, "__getitem__")
    plain = isinstance(given, (str, bytes, dict)) or (
        isinstance(given, (list, tuple)) and any(one is None or isinstance(one, (int, float, str)) for one in given[:8])
    )
    if not has_items or plain or isinstance(given, type):
        raise ConfigError(f"{shortened(given)} is no dataset: give one, or {instead}.")


def id_of(dataset: Any, position: int) -> str:
    """Return the id of an item of a dataset.

    Raises:
        DatasetError: The item cannot be read, or has none.
    """
    try:
        return str(dataset[position].id)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise DatasetError(
            f"the id of item {position} of the dataset cannot be read: {one_line(error)[:300]}: expected a "
            "PredictionItem."
        ) from error


def length_of(dataset: Sized) -> int:
    """Return ``len(dataset)``.

    Raises:
        DatasetError: It raises, or its answer is no length.
    """
    try:
        return len(dataset)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        name = dataset.__name__ if isinstance(dataset, type) else type(dataset).__name__
        raise DatasetError(
            f"len() of the dataset {name} fails ({one_line(error)[:300]}): expected the number of its items."
        ) from error
