"""What tasks write about items: tables, and groups of items as tables with a picture."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, shortened
from ..storage.atomic import write_text, write_yaml
from ..text import csv_cell

MOST_BARS = 40


class Groups:
    """Items by group, in the order in which groups came up."""

    def __init__(self) -> None:
        self.ids: dict[int, str] = {}
        self.members: dict[str, list[int]] = {}
        self.hints: Any = None

    def saw(self, number: int, item_id: str, group: Any) -> None:
        """Remember an item, and the group it is of; ``None`` where that is told at the end."""
        self.ids[number] = item_id
        if group is not None:
            self.members.setdefault(str(plain(group)), []).append(number)

    def take(self, results: Any, name: str) -> None:
        """Take the groups that a class of analyzers gave at the end: a mapping of groups to positions of items.

        Raises:
            ConfigError: It is no mapping.
        """
        if results is None or (isinstance(results, (list, tuple)) and not results):
            return
        if not isinstance(results, Mapping):
            raise ConfigError(f"results() of {name} gave {shortened(results)}, expected a mapping of groups to items.")
        for group, members in results.items():
            sized = hasattr(members, "__len__") and not isinstance(members, (str, bytes))
            self.members[str(plain(group))] = (
                list(members) if isinstance(members, (list, tuple, set)) else list(range(len(members)) if sized else [])
            )

    def write(self, folder: Path, title: str) -> dict[str, int]:
        """Write ``groups.csv``, ``items.csv``, ``groups.png`` and what was hinted at; return the groups' sizes."""
        from ..visualization.plots import bars_figure, write_figure

        sizes = {group: len(members) for group, members in self.members.items()}
        total = max(len(self.ids), 1)
        rows = [[group, size, round(size / total, 6)] for group, size in sizes.items()]
        write_table(folder / "groups.csv", ["group", "items", "share"], rows)
        placed = [[group, one, self.ids.get(one, "")] for group, each in self.members.items() for one in each]
        write_table(folder / "items.csv", ["group", "position", "id"], placed)
        largest = dict(sorted(sizes.items(), key=lambda entry: -entry[1])[:MOST_BARS])
        write_figure(folder / "groups.png", bars_figure(largest, title))
        if self.hints is not None:
            write_yaml(folder / "hints.yaml", self.hints)
        return sizes


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a CSV; text that a spreadsheet would compute has an apostrophe before it."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows([[cell if isinstance(cell, (int, float)) else csv_cell(cell) for cell in row] for row in rows])
    write_text(path, text.getvalue())


def plain(value: Any) -> Any:
    """Return a value that YAML's safe loader reads back."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(entry) for entry in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
