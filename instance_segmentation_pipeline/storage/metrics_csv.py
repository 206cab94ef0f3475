"""The CSV of a stage: one row an epoch. Reading it loads neither torch nor MMEngine."""

import csv
import io
import math
from pathlib import Path
from typing import Any

from ..errors import TrainingError, one_line
from .atomic import write_text
from .regular_file import MOST_TEXT, open_regular

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Read a metrics CSV; numbers become numbers, an empty cell NaN. No rows where there is no file.

    Raises:
        TrainingError: It cannot be read, or is no such CSV.
    """
    try:
        with open_regular(path, most=MOST_TEXT, encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            cells = list(table)
        if table.fieldnames is not None and "epoch" not in table.fieldnames:
            raise ValueError("it has no column epoch")
        if any(None in row or None in row.values() for row in cells):
            raise ValueError("a row has not as many cells as the heading")
        rows: list[Row] = [{name: float(cell) if cell else math.nan for name, cell in row.items()} for row in cells]
        for row in rows:
            row["epoch"] = int(row["epoch"])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, OverflowError, csv.Error) as error:
        raise TrainingError(f"{path} is damaged ({one_line(error)}): delete it, and train that stage anew.") from error
    return rows


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write a metrics CSV atomically; its columns are those of all rows, in order of appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: cell_of(row.get(name, "")) for name in columns})
    write_text(path, buffer.getvalue())


def as_written(value: float) -> float:
    """Return a number as it comes back from the CSV."""
    return value if math.isnan(value) else float(cell_of(float(value)))


def cell_of(value: Any) -> Any:
    """Return a value as the CSV has it: numbers with six digits, NaN as an empty cell."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value
