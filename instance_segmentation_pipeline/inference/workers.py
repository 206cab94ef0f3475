"""Where nets answer: pieces of work whose answers are taken one by one, in this process."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Piece:
    """Some items that one net looks at.

    Attributes:
        label: What messages call it, such as ``fold 1 stage 0``.
        answers: Gets a device (``cpu`` or ``cuda:<n>``), and gives what was found, one after the other: values that can
            be pickled.
    """

    label: str
    answers: Callable[[str], Iterator[Any]]


class Workers(Protocol):
    """Devices that nets answer on, each with one net at a time."""

    @property
    def devices(self) -> Sequence[str]:
        """Those that work at the same time."""
        ...

    def run(self, pieces: Sequence[Piece], take: Callable[[int, Any], None]) -> None:
        """Do pieces of work; ``take`` gets the number of a piece and one of its answers, in this process.

        Answers of one piece come in their order, those of several in any.

        Raises:
            UserError: What went wrong with one of them.
        """
        ...


def spread(count: int, pieces: int) -> list[range]:
    """Return the positions of so many items in that many runs of about the same length, none of them empty.

    >>> spread(7, 3)
    [range(0, 2), range(2, 4), range(4, 7)]
    """
    pieces = min(pieces, count)
    bounds = [count * number // pieces for number in range(pieces + 1)] if count else []
    return [range(first, last) for first, last in itertools.pairwise(bounds)]
