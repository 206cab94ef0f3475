"""How many items a dataset has, asked where a wrong answer can still be told from a defect of ours."""

from collections.abc import Sized

from ..errors import DatasetError, UserError, one_line


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
