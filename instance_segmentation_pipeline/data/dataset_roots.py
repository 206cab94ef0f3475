"""What lies at the root of parts and unions of datasets, and what it says of itself."""

from typing import Any

from .data_folder import FolderDataSet, inner_of
from .dataset_walk import within
from .protocols import Dataset


def root_of(dataset: Dataset) -> Dataset:
    """Return the dataset at the root of parts and compositions."""
    return dataset.root() if hasattr(dataset, "root") else dataset


def roots_of(dataset: Any) -> list[Any]:
    """Return the datasets at the root: of a union, those of all its parts."""
    found: list[Any] = []
    for place in reversed([place for place in within(dataset, None) if place.is_leaf]):
        leaf = place.dataset if place.folder is None else FolderDataSet(place.dataset, place.folder)
        root = root_of(leaf)
        found += [leaf] if root is leaf or _inner(root) is place.dataset else roots_of(root)
    return found


def _inner(dataset: Any) -> Any:
    return inner_of(dataset)[0] if type(dataset) is FolderDataSet else dataset


def gives_xyxy(dataset: Any) -> bool:
    """Say whether a dataset gives boxes as ``x1, y1, x2, y2``, as ``InstanceSegmentationDataSet`` does."""
    return all(getattr(one, "gives_xyxy", False) for one in roots_of(dataset))
