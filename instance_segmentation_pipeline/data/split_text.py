"""Nested lists of positions as text: YAML that musket_core reads, and that 200,000 items read and write in a moment.

The text is JSON, one innermost list a line, which is YAML's flow style. Files of earlier versions hold what
``yaml.safe_dump`` makes of such lists, a position a line: that layout is read without a YAML parser, which would take
minutes. Anything else is left to the safe loader.
"""

import json
import re
from typing import Any

import numpy as np

from ..storage.yaml_files import parse_yaml

_PART = re.compile(r"^( *)((?:- ){2,})", re.MULTILINE)
"""Begins an innermost list in the layout of ``yaml.safe_dump``: indentation, and a dash for each list that opens."""


def split_text(split: object) -> str:
    """Return nested lists as text; tuples, ranges and NumPy's arrays and numbers are written as lists and numbers."""
    return json.dumps(split, default=plain).replace("], ", "],\n") + "\n"


def parse_split(text: str) -> Any:
    """Return what ``split_text``, or a YAML file of an earlier version, holds.

    Raises:
        ValueError, RecursionError: The text is neither JSON nor YAML, or nested without end.
        yaml.YAMLError: The same, from the YAML parser.
    """
    if text.startswith("["):
        return json.loads(text)
    lists = _dashed_lists(text)
    return parse_yaml(text) if lists is None else lists


def _dashed_lists(text: str) -> "list[Any] | None":
    """Return lists of equal depth in the layout of ``yaml.safe_dump``; ``None`` where a single character differs."""
    starts = [*_PART.finditer(text)]
    if not starts or starts[0].start():
        return None
    root: list[Any] = []
    path, depth = [root], len(starts[0][2]) // 2
    for number, start in enumerate(starts):
        kept, odd = divmod(len(start[1]), 2)
        opened = len(start[2]) // 2 - 1
        if odd or kept + opened + 1 != depth or (kept and not number):
            return None
        del path[kept + 1 :]
        for _ in range(opened):
            path[-1].append([])
            path.append(path[-1][-1])
        end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        positions = _positions(text[start.end() : end], "\n" + " " * 2 * (depth - 1) + "- ")
        if positions is None:
            return None
        path[-1] += positions
    return root


def _positions(lines: str, between: str) -> "list[int] | None":
    """Return the whole numbers of lines; ``None`` where they would be written in another way, as ``010`` would."""
    try:
        positions = [int(number) for number in lines[:-1].split(between)]
    except ValueError:
        return None
    return positions if between.join(map(str, positions)) + "\n" == lines else None


def plain(value: object) -> Any:
    """Return what JSON does not know of positions, arrays, ranges and sets, as lists and numbers."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, range):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"a split holds positions, not a {type(value).__name__}")
