"""What is asked of a Musket dataset and of its items: musket_core's classes have it, and so may any other."""

from collections.abc import Sequence
from typing import Any, Protocol

from ..detection.arrays import UInt8Array


class Item(Protocol):
    """One image of a dataset, as musket_core's ``PredictionItem``; it is checked when ``ItemReader`` reads it."""

    @property
    def id(self) -> object:
        """What names the item."""
        ...

    @property
    def x(self) -> UInt8Array:
        """The image, ``(height, width, 3)`` RGB."""
        ...

    @property
    def y(self) -> Any:
        """The objects: ``(labels, bboxes, masks)`` or ``(labels, bboxes)``."""
        ...


class Dataset(Protocol):
    """Items by position, from 0."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> Item: ...


class Part(Dataset, Protocol):
    """Some items of another dataset, as musket_core's ``SubDataSet``."""

    name: str

    @property
    def indexes(self) -> Sequence[int]:
        """Their positions in the other one."""
        ...


class Samples(Protocol):
    """Items as a net is given them: mappings with ``inputs`` and ``data_samples``."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> dict[str, Any]: ...
