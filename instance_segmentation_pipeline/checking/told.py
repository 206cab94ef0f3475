"""What was found, as lines of text."""

from collections.abc import Iterator

from ..text import printable
from ..visualization.text_table import table
from .findings import FAULT, WARNING, Section, count_of

MOST = 50
"""Findings of one section that the terminal shows; the page has all."""
WIDE = 9
"""Columns of a table that the terminal shows."""


def lines_of(sections: list[Section]) -> Iterator[str]:
    """Yield the lines of all sections, and one that counts."""
    for section in sections:
        if not section.findings and not section.table:
            continue
        yield ""
        yield section.title
        if section.table:
            rows = [row[:WIDE] for row in section.table]
            yield from (f"  {line}" for line in table(rows).split("\n"))
        for finding in section.findings[:MOST]:
            yield f"  {finding.kind}: {printable(finding.text)}"
        if len(section.findings) > MOST:
            yield f"  … and {len(section.findings) - MOST} more, on the page"
    yield ""


def summary_of(sections: list[Section]) -> str:
    """Return how many faults and warnings there are, in words."""
    faults, warnings = count_of(sections, FAULT), count_of(sections, WARNING)
    parts = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in ((faults, FAULT), (warnings, WARNING))]
    return ", ".join(parts)
