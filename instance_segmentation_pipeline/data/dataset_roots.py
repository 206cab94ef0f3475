"""What lies at the root of parts and unions of datasets, and what it says of itself."""

from typing import Any

from musket_core import datasets

from .data_folder import FolderDataSet, inner_of
from .protocols import Dataset


def root_of(dataset: Dataset) -> Dataset:
    """Return the dataset at the root of parts and compositions."""
    return dataset.root() if hasattr(dataset, "root") else dataset


def roots_of(dataset: Any) -> list[Any]:
    """Return the datasets at the root: of a union, those of all its parts."""
    root = root_of(dataset)
    inner: Any
    inner, folder = inner_of(root) if type(root) is FolderDataSet else (root, None)
    if type(inner) is not datasets.CompositeDataSet:
        return [root]
    parts = [one if folder is None else FolderDataSet(one, folder) for one in inner.components]
    return [one for part in parts for one in roots_of(part)]


def gives_xyxy(dataset: Any) -> bool:
    """Say whether a dataset gives boxes as ``x1, y1, x2, y2``, as ``InstanceSegmentationDataSet`` does."""
    return all(getattr(one, "gives_xyxy", False) for one in roots_of(dataset))
