"""The dataset that MMEngine's Runner reads: items of a Musket dataset, run through a native pipeline.

Images are turned from Musket's RGB to the BGR that MMDetection's configs expect. Nothing is cached and no file
is read here: the results dict has what ``LoadImageFromFile`` and ``LoadAnnotations`` would have put into it.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope

from ..data.augmentation.properties import NOTHING, ItemAugmenters
from ..data.cells import Cells, ReadCell
from ..data.epoch_items import EpochItems
from ..data.item_reader import ItemReader
from ..data.protocols import Dataset
from ..detection.crowds import with_crowds
from ..detection.mask_crops import MaskCrops
from ..detection.records import to_middle_format, to_records
from ..errors import ConfigError, DatasetError, UserError, one_line
from ..models.compact_masks import CompactMasks
from ..models.config_tree import Pipeline
from ..models.mmdet_compat import TRANSFORMS, HorizontalBoxes, Results, image_results
from ..models.size_transforms import ShapeChoice
from .item_seeds import seed_worker
from .worker_memory import handed_over

MAX_REFETCH = 1000
"""How often another item is tried when a training pipeline rejects one, as in MMEngine's BaseDataset."""


class MusketDetectionDataset:
    """A map-style dataset for MMEngine's Runner.

    Args:
        source: A Musket dataset.
        indices: Which of its items to show, in this order.
        reader: How to read an item.
        pipeline: MMDetection transforms, without the loading ones.
        class_names: Names of the classes, in label order.
        training: Training items may be replaced when the pipeline rejects them; others may not, and carry their
            ground truth as ``truth`` (``records.to_middle_format``) for the metric.
        augmenters: What items go through before the pipeline.
        epoch_items: What each epoch draws from the items; ``None`` shows all of them.
        cells: What is shown in place of whole items, which ``indices`` then need not name.
    """

    def __init__(
        self,
        source: Dataset,
        indices: Sequence[int],
        reader: ItemReader,
        pipeline: Pipeline,
        class_names: Sequence[str],
        *,
        training: bool,
        augmenters: ItemAugmenters = NOTHING,
        epoch_items: "EpochItems | None" = None,
        cells: "Cells | None" = None,
    ) -> None:
        self.source = source
        self.cells = cells
        self.indices = [int(index) for index in (indices if cells is None else cells.indices)]
        self.reader = reader
        self.training = training
        self.augmenters = augmenters
        self.epoch_items = epoch_items
        self.metainfo = {"classes": tuple(class_names)}
        init_default_scope("mmdet")
        self.pipeline = _built(pipeline)
        self.wants_records = any(type(step).__name__ == "LoadAnnotations" for step in _first_of(self.pipeline))
        self.skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)

    def __deepcopy__(self, memo: object) -> "MusketDetectionDataset":
        """Return itself: MMEngine copies the dataloader's config, and datasets may be large or not copyable."""
        return self

    def __getitem__(self, position: int) -> Results:
        return handed_over(self._item(position))

    def _item(self, position: int) -> Results:
        if not self.training:
            data = self._prepared(position)
            if data is None:
                raise DatasetError(
                    f"item {self.reader.image(self.source, self.indices[position])[0]!r} is left out by the validation "
                    "pipeline: take its filters out by configOptions, so that every item is predicted."
                )
            return data
        seed_worker(position)
        for _ in range(MAX_REFETCH):
            data = self._prepared(position)
            if data is not None:
                return data
            position = int(np.random.randint(len(self)))  # noqa: NPY002 - seeded by mmengine in each worker
        raise DatasetError(
            f"the training pipeline rejected {MAX_REFETCH} items in a row: check that shape suits the size of the "
            "objects, and the pipeline's filters."
        )

    def read(self, position: int) -> ReadCell:
        """Return one item as it is before augmentation and pipeline: a whole image, or a cell of one."""
        if self.cells is not None:
            return self.cells.read(self.source, self.reader, position)
        item_id, image, instances = self.reader.read(self.source, self.indices[position], training=self.training)
        return ReadCell(item_id, image, instances, None)

    def results(self, position: int) -> Results:
        """Return one item as MMDetection's loading transforms would have left it."""
        item_id, image, instances, place = self.read(position)
        if self.training:
            image, instances = self.augmenters.training_item(image, instances, item_id)
        else:
            image = self.augmenters.image(image)
        height, width = image.shape[:2]
        shown, are_crowds = with_crowds(instances)
        results = {
            **image_results(image, position, item_id),
            "gt_bboxes": HorizontalBoxes(torch.from_numpy(shown.bboxes)),
            "gt_bboxes_labels": shown.labels,
            "gt_ignore_flags": are_crowds,
        }
        if self.reader.needs_masks:
            results["gt_masks"] = CompactMasks(shown.masks or MaskCrops.none(height, width))
        if self.wants_records:
            results["instances"] = to_records(instances)
        if not self.training:
            results["truth"] = to_middle_format(instances, item_id)
            if place is not None:
                results["truth"]["place"] = place
        return results

    def update_skip_type_keys(self, skip_type_keys: Sequence[str]) -> None:
        """Leave out transforms of these types from now on, as hooks that end strong augmentation ask."""
        self.skipped = tuple(skip_type_keys)

    def _prepared(self, position: int) -> "Results | None":
        results = self.results(position)
        try:
            return self._transformed_alone(results)
        except UserError:
            raise
        except Exception as error:
            height, width = results["ori_shape"]
            raise DatasetError(
                f"item {results['img_path']!r} ({width} x {height} pixels) does not pass the "
                f"{'training' if self.training else 'validation'} pipeline: {one_line(error)[:300]}."
            ) from error

    def _transformed_alone(self, results: Results) -> "Results | None":
        if not self.training:
            return _compacted(self.pipeline(results))
        negative = bool(results["gt_ignore_flags"].all())  # crowds are no objects
        transforms = _drawn_of(self.pipeline)
        return _compacted(self.transformed(results, _keeping_negatives(transforms) if negative else transforms))

    def transformed(self, results: "Results | None", transforms: Sequence[Any]) -> "Results | None":
        """Run transforms; one that mixes images gets others, run through the steps before the first such one."""
        for transform in transforms:
            if results is None:
                return None
            if type(transform).__name__ in self.skipped:
                continue
            if _mixes(transform):
                results["mix_results"] = self._others(transform, transforms)
            results = transform(results)
            if results is not None:
                results.pop("mix_results", None)
        return results

    def _others(self, transform: Any, transforms: Sequence[Any]) -> list[Any]:
        choose = getattr(transform, "get_indexes", None) or transform.get_indices
        plain = _Unmixed(self, transforms)
        for _ in range(MAX_REFETCH):
            chosen = choose(plain)
            chosen = chosen if isinstance(chosen, Sequence) else [chosen]
            others = [plain[int(position)] for position in chosen]
            if all(other is not None for other in others):
                return others
        raise DatasetError(f"{type(transform).__name__} found no other image in {MAX_REFETCH} tries.")


class _Unmixed:
    """A dataset's items as they are before the first transform that mixes images."""

    def __init__(self, dataset: MusketDetectionDataset, transforms: Sequence[Any]) -> None:
        self.dataset = dataset
        self.transforms = transforms[: [_mixes(step) for step in transforms].index(True)]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> "Results | None":
        return self.dataset.transformed(self.dataset.results(position), self.transforms)


def _compacted(data: "Results | None") -> "Results | None":
    """Return packed data whose masks travel as crops also where a transform (copy-paste) made dense ones."""
    samples = data["data_samples"] if isinstance(data, dict) and "data_samples" in data else None
    for name in ("gt_instances", "ignored_instances"):
        objects = getattr(samples, name, None)
        if objects is not None and "masks" in objects:
            objects.masks = CompactMasks.of(objects.masks)
    return data


def _built(pipeline: Pipeline) -> Compose:
    transforms = []
    for step in pipeline:
        try:
            transforms.append(TRANSFORMS.build(step))
        except (Exception, SystemExit) as error:
            text = one_line(error)
            what = "needs a package that is not there" if "install" in text else "cannot be made"
            raise ConfigError(
                f"the native pipeline's step {step['type']} {what} ({text}): install or correct it, or set "
                "nativePipeline: false."
            ) from error
    return Compose(transforms)


def _drawn_of(pipeline: Compose) -> list[Any]:
    """Return the transforms that the next image goes through, those of one shape where there are several."""
    only = pipeline.transforms[0] if len(pipeline.transforms) == 1 else None
    return only.drawn() if isinstance(only, ShapeChoice) else list(pipeline.transforms)


def _first_of(pipeline: Compose) -> list[Any]:
    only = pipeline.transforms[0] if len(pipeline.transforms) == 1 else None
    return only.first() if isinstance(only, ShapeChoice) else list(pipeline.transforms)


def _mixes(transform: Any) -> bool:
    """Say whether a transform wants other items of the dataset; cached ones remember those they saw."""
    wants = hasattr(transform, "get_indexes") or hasattr(transform, "get_indices")
    return wants and not hasattr(transform, "results_cache")


def _keeping_negatives(transforms: Sequence[Any]) -> list[Any]:
    """Return transforms with their filters opened for an image without objects: negatives train too."""
    opened = []
    for transform in transforms:
        changes = {"keep_empty": False, "allow_negative_crop": True}
        changes = {name: value for name, value in changes.items() if hasattr(transform, name)}
        chosen = copy.copy(transform) if changes else transform
        for name, value in changes.items():
            setattr(chosen, name, value)
        opened.append(chosen)
    return opened
