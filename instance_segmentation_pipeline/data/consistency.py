"""Data that contradicts itself, or the model, told before training: from a sample of items, at a bounded cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..detection.arrays import Float32Array, Float64Array, FloatArray
from ..detection.box_forms import (
    CORNERS,
    BoxForm,
    best_form,
    ends_are_inclusive,
    fits,
    joined,
    look_like_sizes,
    look_normalised,
)
from ..detection.instances import any_masks
from ..detection.tiles import Grid, most_at_once
from ..errors import DatasetError
from .dataset_roots import roots_of
from .item_reader import ItemReader
from .protocols import Dataset, Item, Samples

SAMPLE = 32
DETECTIONS_OF_COCO = 100


@dataclass
class Sampled:
    """What a sample of items showed.

    Attributes:
        positions: Which items it was.
        most: The most objects in one of them, or in a cell of one where images are cut.
        crowded: The id of that one.
        shown: What the net is shown: ``image`` or ``cell``.
        most_of_class: The most objects of one class in one of them.
        notes: Lines on what can be trained with, and is probably not meant.
    """

    positions: list[int]
    most: int = 0
    crowded: object = None
    shown: str = "image"
    most_of_class: int = 0
    notes: list[str] = field(default_factory=list)


def check_items(source: Dataset, reader: ItemReader, count: int = SAMPLE, grid: "Grid | None" = None) -> Sampled:
    """Read up to ``count`` items, evenly spread, and check them, each for itself and all together.

    Args:
        source: The dataset.
        reader: How its items are read.
        count: How many are read at most.
        grid: How images are cut into cells; ``None`` where they are not.

    Raises:
        DatasetError: An item is not what it should be, or the boxes are written in another form than expected.
    """
    picked = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).round().astype(int))
    sampled = Sampled([int(position) for position in picked], shown="image" if grid is None else "cell")
    boxes = BoxForms()
    wrong: DatasetError | None = None
    for position in sampled.positions:
        item = reader.checked(source, position)
        boxes.add(seen_boxes(item))
        try:
            reader.check_order(item)
            instances = reader.instances(item)
        except DatasetError as error:
            wrong = wrong or error
            continue
        at_once = most_at_once(grid, instances.bboxes, *item.x.shape[:2])
        if at_once > sampled.most:
            sampled.most, sampled.crowded = at_once, item.id
        sampled.most_of_class = max([sampled.most_of_class, *Counter(instances.labels.tolist()).values()])
    if reader.bbox_source == "dataset":
        sampled.notes += boxes.check(reader.bbox_order, wrong)
    if wrong is not None:
        raise wrong
    return sampled


def crowd_count(source: Dataset) -> int:
    """Return how many regions a dataset has in which objects are not told apart."""
    return sum(root.crowd_count() for root in roots_of(source) if hasattr(root, "crowd_count"))


@dataclass(frozen=True)
class SeenBoxes:
    """The boxes of one item as it gives them, where they can be read.

    Attributes:
        item: The item's id.
        given: ``(N, 4)`` as they are given.
        sides: ``(N, 2)`` width and height of the image, for each.
        tight: ``(N, 4)`` ``x1, y1, x2, y2`` of the masks, ``None`` for an item without masks.
    """

    item: object
    given: Float64Array
    sides: Float64Array
    tight: "Float32Array | None"


def seen_boxes(item: Item) -> "SeenBoxes | None":
    """Return an item's boxes; ``None`` where there are none, or the item has other faults."""
    if not isinstance(item.y, (tuple, list)) or len(item.y) not in (2, 3):
        return None
    try:
        given = np.asarray(item.y[1], np.float64).reshape(-1, 4)
        masks = any_masks(item.y[2]) if len(item.y) == 3 else None
    except Exception:  # they are told when the item is read
        return None
    if not len(given) or not np.isfinite(given).all():
        return None
    sides = np.tile(np.array(item.x.shape[1::-1], np.float64), (len(given), 1))
    if masks is None:
        return SeenBoxes(item.id, given, sides, None)
    tight = masks.tight_boxes()
    if len(tight) == len(given) and (tight[:, 2] > tight[:, 0]).all():
        return SeenBoxes(item.id, given, sides, tight)
    return None


class BoxForms:
    """The boxes of several items, with their masks' and their images': how they are written."""

    def __init__(self) -> None:
        self.items: list[object] = []
        self._boxes: list[Float64Array] = []
        self._sides: list[Float64Array] = []
        self._tight: list[Float32Array] = []
        self._plain: list[tuple[Float64Array, Float64Array]] = []

    def add(self, seen: "SeenBoxes | None") -> None:
        """Take an item's boxes."""
        if seen is None:
            return
        if seen.tight is None:
            self._plain.append((seen.given, seen.sides))
            return
        self.items.append(seen.item)
        self._boxes.append(seen.given)
        self._sides.append(seen.sides)
        self._tight.append(seen.tight)

    def check(self, order: str, wrong: "DatasetError | None") -> list[str]:
        """Return lines on the boxes; ``wrong`` is what an item alone was refused for.

        Raises:
            DatasetError: They are written in another form.
        """
        boxes, sides, tight = (joined(parts, size) for parts, size in self._parts())
        plain = joined([given for given, _ in self._plain], 4)
        plain_sides = joined([sides for _, sides in self._plain], 2)
        form = best_form(order, boxes, sides, tight) if len(boxes) else None
        if form is None and len(plain):
            form = BoxForm(order, CORNERS, True) if look_normalised(plain, plain_sides) else None
            form = form or look_like_sizes(order, plain, plain_sides)
        if form is not None and not (form.kind == CORNERS and not form.normalised and wrong is not None):
            raise DatasetError(_message(form, order, len(boxes), len(self.items) or len(self._plain)))
        if not len(boxes):
            return []
        if ends_are_inclusive(BoxForm(order).corners(boxes, sides), tight):
            text = (
                f"the bboxes of the {len(boxes)} objects looked at end with the last pixel of their masks (inclusive), "
                "expected the pixel after it: add 1 to their ends, or set bboxSource: masks"
            )
            if wrong is not None:
                raise DatasetError(f"{text}.")
            return [text]
        share, _ = fits(BoxForm(order), boxes, sides, tight)
        if share < 0.5:
            return [
                f"{round((1 - share) * len(boxes))} of {len(boxes)} bboxes looked at lie elsewhere than their masks: "
                "correct them, or set bboxSource: masks"
            ]
        return []

    def _parts(self) -> list[tuple[Sequence[FloatArray], int]]:
        return [(self._boxes, 4), (self._sides, 2), (self._tight, 4)]


def _message(form: BoxForm, order: str, count: int, items: int) -> str:
    seen = f"fit the masks of the {count} objects looked at" if count else f"of the {items} items looked at make sense"
    wanted = BoxForm(order)
    if form.kind == CORNERS and not form.normalised:
        return (
            f"the bboxes {seen} only when read as {form}, but bboxOrder is {order}: set bboxOrder: {form.order}, or "
            "bboxSource: masks."
        )
    other = f", with bboxOrder: {order}" if form.order != order else ""
    masks = ", or set bboxSource: masks" if count else ""
    return (
        f"the bboxes {seen} only when read as {form}, expected {wanted} in pixels: let the dataset convert them"
        f"{other}{masks}."
    )


def notes_on_sizes(dataset: Samples, sampled: Sampled) -> list[str]:
    """Return lines on objects of the sample that are less than a pixel wide or high in the net's input.

    Args:
        dataset: The items as the net sees them in validation.
        sampled: What ``check_items`` returned.
    """
    there = vanished = 0
    first: str | None = None
    for position in sampled.positions:
        sample = dataset[position]["data_samples"]
        bboxes = sample.gt_instances.bboxes
        bboxes = getattr(bboxes, "tensor", bboxes)
        left = int(((bboxes[:, 2:] - bboxes[:, :2]) >= 1).all(dim=1).sum())
        count = len(sample.truth["ann"]["labels"])
        there += count
        if left < count:
            vanished += count - left
            first = sample.truth["filename"] if first is None else first
    if not vanished:
        return []
    return [
        f"{vanished} of the {there} objects looked at are less than a pixel wide or high at this shape (first item "
        f"{first!r}), and cannot be learnt or found: make shape larger"
    ]


def what_to_raise(key: str, most: int) -> str:
    """Return what lets a model find more objects in an image: words behind what is wrong."""
    way = f"maxDetections: {most}" if key.rpartition(".")[2].startswith("max_per_im") else "configOptions"
    return f"raise {key} by {way}"


def notes_on_counts(sampled: Sampled, limits: Mapping[str, int], most: "int | None" = None) -> list[str]:
    """Return lines on images with more objects than the model gives, or than COCO's metrics count.

    Args:
        sampled: What ``check_items`` returned.
        limits: The most detections in an image, by the key of the native config that says so.
        most: What ``maxDetections`` says.
    """
    notes = [
        f"item {sampled.crowded!r} has {sampled.most} objects{' in one cell' if sampled.shown == 'cell' else ''}, but "
        f"the model finds {limit} in {'a cell' if sampled.shown == 'cell' else 'an image'} at most: "
        f"{what_to_raise(key, sampled.most)}"
        for key, limit in limits.items()
        if limit < sampled.most
    ]
    if most is None and sampled.most_of_class > DETECTIONS_OF_COCO:
        notes.append(
            f"items have up to {sampled.most_of_class} objects of one class, and COCO counts {DETECTIONS_OF_COCO} "
            "detections: here as many count as an image has objects of a class"
        )
    return notes
