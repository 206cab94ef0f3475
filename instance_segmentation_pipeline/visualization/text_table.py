"""Text in aligned columns; imports nothing heavy."""

from collections.abc import Sequence

from ..text import printable

CELL = 200
"""Characters of a cell at most."""


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned text columns, the first row a heading; what a terminal would act on is escaped."""
    rows = [[printable(cell, CELL) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
