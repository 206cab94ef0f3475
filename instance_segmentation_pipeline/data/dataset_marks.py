"""What tells datasets apart, each computed once while a summary asks the same datasets many times."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from musket_core.datasets import CompositeDataSet, SubDataSet

from .fingerprint import dataset_mark
from .item_reader import ItemReader


class DatasetMarks:
    """Marks of datasets (``fingerprint.dataset_mark``); outside ``kept`` each is computed when it is asked for."""

    def __init__(self) -> None:
        self._known: dict[Any, str] = {}
        self._held: dict[int, Any] = {}
        self._depth = 0

    def of(self, dataset: Any, reader: ItemReader) -> str:
        """Return what stands for a dataset in a fingerprint."""
        if not self._depth:
            return dataset_mark(dataset, reader)
        key = self._key(dataset), reader
        if key not in self._known:
            self._known[key] = dataset_mark(dataset, reader)
        return self._known[key]

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what is computed in this context, in which datasets do not change; parts are known by their items."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._known.clear()
                self._held.clear()

    def _key(self, dataset: Any) -> tuple[Any, ...]:
        if type(dataset) is SubDataSet:
            return "part", self._key(dataset.ds), np.asarray(dataset.indexes, np.int64).tobytes()
        if type(dataset) is CompositeDataSet:
            return "union", *(self._key(one) for one in dataset.components)
        self._held[id(dataset)] = dataset  # while it is held, its id is its own
        return "whole", id(dataset)
