"""Reads all items of an experiment, in processes: one that kills its process is named, and the others are read."""

import multiprocessing.connection
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tqdm import tqdm

from ..data.item_reader import ItemReader
from ..data.protocols import Dataset
from ..detection.tiles import Grid
from .forked import Forked, Send
from .item_facts import ItemFacts, facts_of

MOST_DEATHS = 20
"""Processes that items kill until the scan is given up: each takes a fork, and the cause is the same one."""


@dataclass(frozen=True)
class Place:
    """Where an item lies: in which dataset, and where in it."""

    source: Dataset
    position: int


class ItemScan:
    """All items that a training would read.

    Args:
        sources: Datasets: their items are numbered on, in this order.
        reader: How they are read.
        workers: Processes that read; 0: this one, which an item may end.
        grid: How images are cut into cells; ``None`` where they are not.
    """

    def __init__(
        self, sources: Sequence[Dataset], reader: ItemReader, workers: int, grid: "Grid | None" = None
    ) -> None:
        self.places = [Place(source, position) for source in sources for position in range(len(source))]
        self._reader, self.grid = reader, grid
        self.facts = self._read(min(workers, len(self.places))) if workers else self._read_here()

    def __len__(self) -> int:
        return len(self.facts)

    def usable(self) -> list[int]:
        """Return the numbers of the items that a training can read."""
        return [number for number, one in enumerate(self.facts) if not one.error]

    def _read_here(self) -> list[ItemFacts]:
        return [facts_of(place.source, self._reader, place.position, self.grid) for place in self.places]

    def _read(self, workers: int) -> list[ItemFacts]:
        found: dict[int, ItemFacts] = {}
        running: dict[Forked, deque[int]] = {}
        for first in range(min(workers, len(self.places))):
            self._begin(running, deque(range(first, len(self.places), workers)))
        deaths = 0
        with tqdm(total=len(self.places), desc="items", unit="", disable=None, leave=False) as bar:
            try:
                while running:
                    ready = multiprocessing.connection.wait([one.answers for one in running])
                    for worker in [one for one in running if one.answers in ready]:
                        left = running[worker]
                        try:
                            found[left[0]] = worker.answer()
                            left.popleft()
                        except EOFError:
                            deaths += 1
                            how = worker.end()
                            del running[worker]
                            found.update(self._killed(left, how, given_up=deaths >= MOST_DEATHS))
                            if left:
                                self._begin(running, left)
                        bar.update(1)
                        if worker in running and not left:
                            del running[worker]
                            worker.end()
            finally:
                for worker in running:
                    worker.process.kill()
                    worker.end()
        return [found[number] for number in range(len(self.places))]

    def _begin(self, running: "dict[Forked, deque[int]]", numbers: "deque[int]") -> None:
        places = [self.places[number] for number in numbers]
        running[Forked(partial(_read_all, places, self._reader, self.grid))] = numbers

    def _killed(self, left: "deque[int]", how: str, *, given_up: bool) -> dict[int, ItemFacts]:
        """Return what is told of an item that ended its process; take it, and what is not tried any more, from those
        that are left.
        """
        first = left.popleft()
        place = self.places[first].position
        killed = {
            first: self._unread(
                first,
                f"item {place}: reading it ended its process ({how}): often memory ran out, or a library crashed on "
                "its file.",
            )
        }
        while given_up and left:
            number = left.popleft()
            why = f"was not read: {MOST_DEATHS} items ended the processes that read them."
            killed[number] = self._unread(number, f"item {self.places[number].position} {why}")
        return killed

    def _unread(self, number: int, why: str) -> ItemFacts:
        return ItemFacts(f"item {self.places[number].position}", why)


def _read_all(places: Sequence[Place], reader: ItemReader, grid: "Grid | None", send: Send) -> None:
    for place in places:
        send(facts_of(place.source, reader, place.position, grid))
