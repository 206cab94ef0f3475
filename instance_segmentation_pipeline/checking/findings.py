"""What checks find, and what they show of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

FAULT, WARNING, NOTE = "fault", "warning", "note"


@dataclass(frozen=True)
class Finding:
    """One sentence on an experiment.

    Attributes:
        kind: ``fault`` for what ends a training, or makes it learn something else than is meant; ``warning`` for what
            it goes on with, and is probably not meant; ``note`` for what is good to know.
        text: The sentence.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Example:
    """Items that are shown beside each other: their numbers in the scan, and what stands below them."""

    items: tuple[int, ...]
    caption: str


@dataclass(frozen=True)
class Plot:
    """Numbers to be drawn: names and values of bars, or values of a histogram where there are no names."""

    title: str
    values: Sequence[float]
    names: tuple[str, ...] = ()


@dataclass
class Section:
    """What one check has to say.

    Attributes:
        title: Its heading.
        findings: Its sentences.
        table: Rows of cells, the first of them a heading; no row where there is no table.
        examples: Items to show.
        plots: Numbers to show.
    """

    title: str
    findings: list[Finding] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)

    def says_something(self) -> bool:
        """Say whether there is anything to show."""
        return bool(self.findings or self.table or self.examples or self.plots)

    def fault(self, text: str) -> None:
        """Take note of what ends a training."""
        self.findings.append(Finding(FAULT, text))

    def warn(self, text: str) -> None:
        """Take note of what is probably not meant."""
        self.findings.append(Finding(WARNING, text))

    def note(self, text: str) -> None:
        """Take note of what is good to know."""
        self.findings.append(Finding(NOTE, text))


def count_of(sections: Sequence[Section], kind: str) -> int:
    """Return how many findings of a kind there are."""
    return sum(finding.kind == kind for section in sections for finding in section.findings)


def listed(names: Sequence[object], most: int = 5) -> str:
    """Return the first of some names, and how many more there are.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
