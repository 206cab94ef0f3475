"""The CSV of the batches of a stage: appended to, in whole lines; cut back to where a run goes on from."""

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import TrainingError, one_line
from .atomic import write_text
from .metrics_csv import Row, cell_of
from .regular_file import open_regular

KEY = "iteration"


class BatchTable:
    """Rows with ``iteration``, counted from 0, in a file that has each once.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []

    def begin(self, iteration: int) -> int:
        """Keep the rows before an iteration; return how many there are. Lines that are no rows are dropped.

        Raises:
            TrainingError: The file cannot be written.
        """
        kept = [row for row in self._read() if int(row[KEY]) < iteration]
        kept = list({row[KEY]: row for row in kept}.values())
        self._columns = list(dict.fromkeys(name for row in kept for name in row))
        self._replace(kept)
        return len(kept)

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows.

        Raises:
            TrainingError: The file cannot be written.
        """
        written = [{name: str(cell_of(value)) for name, value in row.items()} for row in rows]
        new = [name for name in dict.fromkeys(name for row in written for name in row) if name not in self._columns]
        if new:
            earlier = self._read() if self._columns else []
            self._columns += new
            self._replace([*earlier, *written])
        elif written:
            self._append(self._lines(written))

    def sync(self) -> None:
        """See to it that what was added survives a power cut."""
        if self._columns:
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())

    def _read(self) -> list[dict[str, str]]:
        try:
            with open_regular(self.path, encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
        except (OSError, ValueError, csv.Error):
            return []
        return [
            {name: cell for name, cell in row.items() if cell}
            for row in rows
            if None not in row and None not in row.values() and str(row.get(KEY)).isdecimal()
        ]

    def _replace(self, rows: list[dict[str, str]]) -> None:
        head = ",".join(self._columns) + "\n" if self._columns else ""
        try:
            if head or self.path.exists():
                write_text(self.path, head + self._lines(rows))
        except OSError as error:
            raise self._not_written(error) from error

    def _append(self, text: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            raise self._not_written(error) from error

    def _lines(self, rows: list[dict[str, str]]) -> str:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, self._columns, restval="", lineterminator="\n")
        writer.writerows(rows)
        return buffer.getvalue()

    def _not_written(self, error: OSError) -> TrainingError:
        return TrainingError(
            f"{self.path} cannot be written ({one_line(error)}): make room on the disk, or see to the rights of the "
            "folder, and go on with --allow_resume true; or leave logAll out."
        )
