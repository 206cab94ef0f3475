"""What some annotations have: images, objects, classes and sizes, from a bounded sample of items."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..data.annotated_images import AnnotatedImages
from ..detection.arrays import Float64Array
from ..errors import DatasetError, sentence

SAMPLE = 64
"""Items that are read at most, evenly spread."""
SECONDS = 20.0
"""After so many, no further item is read."""


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        images: How many each part has; one part without a name, where there are no parts.
        objects: How many there are in all, ``None`` where only the images' own files tell.
        class_names: Names of the classes, in label order.
        of_class: Objects of each class in the items that were read.
        widths: Of the images that were read, in pixels.
        heights: Likewise.
        counts: Objects of each.
        sizes: Root of width times height of each object's box, in pixels.
        unreadable: Why items of the sample cannot be read, a sentence each.
    """

    images: Mapping[str, int]
    objects: "int | None"
    class_names: tuple[str, ...]
    of_class: Mapping[int, int]
    widths: Float64Array
    heights: Float64Array
    counts: Float64Array
    sizes: Float64Array
    unreadable: tuple[str, ...]

    @property
    def total(self) -> int:
        """Images of all parts."""
        return sum(self.images.values())

    @property
    def most(self) -> int:
        """The most objects in one image that was read."""
        return int(self.counts.max(initial=0))

    def lines(self) -> Iterator[str]:
        """Yield what was found, a line each."""
        parts = ", ".join(f"{count} {name}" for name, count in self.images.items() if name)
        yield f"images    {self.total}{f' ({parts})' if parts else ''}"
        seen, read = int(self.counts.sum()), len(self.counts)
        about = f"{self.objects}" if self.objects is not None else f"about {round(seen / read * self.total)}"
        yield f"objects   {about}, {_range(self.counts)} an image"
        yield f"classes   {len(self.class_names)}: {_names(self.class_names)}"
        absent = [name for label, name in enumerate(self.class_names) if not self.of_class.get(label)]
        if absent:
            which = "all images" if read == self.total else f"the {read} images that were read"
            yield f"          no object of {_names(absent)} in {which}"
        yield f"sizes     images {_range(self.widths)} x {_range(self.heights)} pixels (width x height)"
        if len(self.sizes):
            yield f"          objects {_range(self.sizes)} pixels (root of width times height)"
        if self.unreadable:
            tried = read + len(self.unreadable)
            yield f"unread    {len(self.unreadable)} of {tried} images that were tried; the first: {self.unreadable[0]}"


def survey(datasets: "Mapping[str, AnnotatedImages]", objects: "int | None") -> Survey:
    """Look at datasets.

    Args:
        datasets: By part.
        objects: How many objects there are, where it is known.

    Raises:
        DatasetError: No item of the sample can be read, or none has an object.
    """
    places = [(dataset, position) for dataset in datasets.values() for position in range(len(dataset))]
    picked = np.unique(np.linspace(0, len(places) - 1, min(SAMPLE, len(places))).round().astype(int))
    order = np.random.default_rng(0).permutation(picked)  # so that those that are read in time are spread, too
    began = time.monotonic()
    read: list[tuple[int, int, int, Float64Array]] = []
    unreadable: list[str] = []
    labels: Counter[int] = Counter()
    for place in order:
        if time.monotonic() - began > SECONDS and read:
            break
        dataset, position = places[place]
        try:
            item = dataset[position]
        except (DatasetError, MemoryError) as error:
            unreadable.append(sentence(error))
            continue
        boxes = np.asarray(item.y[1], np.float64).reshape(-1, 4)
        labels.update((np.asarray(item.y[0]) - 1).tolist())
        read.append((item.x.shape[1], item.x.shape[0], len(boxes), np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))))
    if not read:
        count = len(unreadable)
        raise DatasetError(f"none of the {count} images that were tried can be read; the first: {unreadable[0]}")
    numbers = np.array([one[:3] for one in read], np.float64)
    if not numbers[:, 2].sum():
        raise DatasetError(
            f"none of the {len(read)} images that were read has an object: there is nothing to learn: look for the "
            "annotations, or for the values of the masks."
        )
    return Survey(
        {part: len(dataset) for part, dataset in datasets.items()},
        objects,
        next(iter(datasets.values())).class_names,
        labels,
        numbers[:, 0],
        numbers[:, 1],
        numbers[:, 2],
        np.concatenate([one[3] for one in read]),
        tuple(unreadable),
    )


def _range(values: Float64Array) -> str:
    least, middle, most = (round(float(value)) for value in np.percentile(values, (0, 50, 100)))
    return str(least) if least == most else f"{least} to {most} (median {middle})"


def _names(names: "tuple[str, ...] | list[str]", most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
