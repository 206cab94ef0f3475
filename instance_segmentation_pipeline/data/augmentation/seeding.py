"""Every random number of an augmenter decided by one seed, whatever it did before."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from imgaug import augmenters as iaa
from imgaug import parameters as iap
from imgaug.random import RNG

from .catalogue import all_of


class Seeding:
    """Seeds augmenters; imgaug's ``seed_`` passes over a ``Sequential`` that another augmenter keeps as its list."""

    def __init__(self, sequence: iaa.Augmenter) -> None:
        self.sequence = sequence
        lists = (children for one in all_of(sequence) for children in one.get_children_lists())
        self.kept = [children for children in lists if isinstance(children, iaa.Augmenter)]
        self.noises = [part for part in _parts(sequence, set()) if isinstance(part, iap.FrequencyNoise)]

    def seed(self, number: int) -> None:
        """Seed all; ``number`` is 0..2**31 - 1."""
        self.sequence.seed_(number)
        for position, children in enumerate(self.kept, 1):
            children.random_state = RNG(number + position)
        for noise in self.noises:  # imgaug overwrites the corners of what it keeps there
            noise._distance_matrix_cache = np.zeros((0, 0), np.float32)  # noqa: SLF001


def _parts(thing: Any, seen: set[int]) -> Iterator[Any]:
    """Give an augmenter and all that it holds: augmenters, parameters, generators of masks."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    yield thing
    held = thing if isinstance(thing, (list, tuple)) else ()
    held = [*held, *getattr(thing, "__dict__", {}).values()]
    for part in held:
        if isinstance(part, (list, tuple, iaa.Augmenter)) or type(part).__module__.startswith("imgaug."):
            yield from _parts(part, seen)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what imgaug and ImageIO say about their own code from the terminal."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="imgaug|imageio")
        yield
