"""What a dataset calls for each item: ``Augmentation`` in training, ``ColourTransforms`` everywhere."""

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
from imgaug import augmenters as iaa
from imgaug.augmentables.batches import UnnormalizedBatch
from imgaug.augmentables.kps import KeypointsOnImage

from ...detection.arrays import FloatArray, UInt8Array
from ...detection.crowds import with_crowds
from ...detection.instances import Instances
from ...detection.mask_crops import MaskCrops
from ...errors import DatasetError, UserError, one_line
from .backgrounds import BackgroundReplacer
from .catalogue import Kind, all_of, changes_geometry, kind_of
from .checked_image import checked
from .followed import MaskFollower
from .seeding import Seeding, quiet

SMALLEST_SHARE = 0.2
"""Share of an object that must still be inside the image for it to be trained on."""


class Augmentation:
    """A sequence of augmenters for images and their objects; it pickles, and has no state between items.

    Args:
        augmenters: imgaug's augmenters, applied in their order.
    """

    def __init__(self, augmenters: list[Any]) -> None:
        self.sequence = iaa.Sequential(augmenters)
        self.moves = changes_geometry(self.sequence)
        self.replaces = any(isinstance(one, BackgroundReplacer) for one in all_of(self.sequence))
        self.bends = any(kind_of(one) is Kind.BENDING for one in all_of(self.sequence))
        self._seeding = Seeding(self.sequence)

    def __call__(
        self, image: UInt8Array, instances: Instances, seed: int, item_id: Any = None
    ) -> tuple[UInt8Array, Instances]:
        """Return an item augmented.

        Args:
            image: ``(height, width, 3)`` uint8, RGB; it is not written to.
            instances: The objects.
            seed: Decides everything that is random; 0..2**31 - 1.
            item_id: For messages.

        Returns:
            The image, maybe of another size, and those objects of which at least ``SMALLEST_SHARE`` is inside it. Where
            the sequence may move pixels, boxes are those of the masks; of objects without masks, the hulls of the
            moved corners of their boxes. Crowds move along, and stay while a pixel of them is inside.

        Raises:
            DatasetError: An augmenter fails at this item.
        """
        self._seeding.seed(seed)
        try:
            with quiet():
                if not self.moves and not self.replaces:
                    return checked(self.sequence.augment_image(image), image.shape), instances
                return (self._with_boxes if instances.masks is None else self._with_masks)(image, instances)
        except UserError as error:
            raise DatasetError(f"item {item_id!r}: {error}") from None
        except Exception as error:
            raise DatasetError(
                f"item {item_id!r} ({image.shape[1]} x {image.shape[0]} pixels) does not pass the augmentation "
                f"({one_line(error)[:300]}): correct it, or leave that item out."
            ) from error

    def _with_masks(self, image: UInt8Array, instances: Instances) -> tuple[UInt8Array, Instances]:
        whole, are_crowds = with_crowds(instances)
        follower = MaskFollower(whole.masks)  # type: ignore[arg-type]
        points = follower.probes(instances.height, instances.width)
        made = self._augmented(image, points, follower)
        height, width = made.shape[:2]
        masks = follower.masks
        if (masks.height, masks.width) != (height, width):
            raise DatasetError(f"the image became {width} x {height} pixels, its masks {masks.width} x {masks.height}.")
        if not self.moves:
            return made, instances
        there = masks.areas() > 0
        keep = np.flatnonzero((follower.shares >= SMALLEST_SHARE) & there & ~are_crowds)
        regions = np.flatnonzero(there & are_crowds)
        crowds = (whole.labels[regions], masks.take(regions)) if len(regions) else None
        kept = masks.take(keep)
        return made, Instances(height, width, whole.labels[keep], kept.tight_boxes(), kept, crowds)

    def _with_boxes(self, image: UInt8Array, instances: Instances) -> tuple[UInt8Array, Instances]:
        if self.replaces:
            raise DatasetError("BackgroundReplacer needs masks, but there are boxes alone: remove it.")
        if self.bends or instances.crowds is not None:
            return self._with_rectangles(image, instances)
        corners = instances.bboxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]].reshape(-1, 2)
        points = KeypointsOnImage.from_xy_array(corners, shape=image.shape)
        batch = self.sequence.augment_batch_(UnnormalizedBatch(images=[np.copy(image)], keypoints=[points]))
        made = checked(batch.images_aug[0])
        height, width = made.shape[:2]
        moved = batch.keypoints_aug[0].to_xy_array().reshape(-1, 4, 2)
        if len(moved) != len(instances):  # what blanks an image takes its key points away
            moved = np.zeros((len(instances), 4, 2))
        whole = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1).reshape(-1, 4)
        inside = np.clip(whole, 0, [width, height, width, height]).astype(np.float32)
        share = _areas(inside) / np.maximum(_areas(whole), 1e-6)
        keep = np.flatnonzero((share >= SMALLEST_SHARE) & (_areas(inside) >= 1))
        return made, replace(instances, height=height, width=width, labels=instances.labels[keep], bboxes=inside[keep])

    def _with_rectangles(self, image: UInt8Array, instances: Instances) -> tuple[UInt8Array, Instances]:
        """Return an item whose boxes, to whole pixels, are bent as masks are: corners alone would not do."""
        low, high = np.floor(instances.bboxes[:, :2]), np.ceil(instances.bboxes[:, 2:])
        boxes = np.concatenate([low, high], axis=1).astype(np.int64)
        crops = tuple(np.ones((y2 - y1, x2 - x1), np.uint8) for x1, y1, x2, y2 in boxes)
        masks = MaskCrops(instances.height, instances.width, boxes, crops)
        made, bent = self._with_masks(image, replace(instances, masks=masks))
        return made, replace(bent, masks=None)

    def _augmented(self, image: UInt8Array, points: KeypointsOnImage, hooks: MaskFollower) -> UInt8Array:
        maps = [hooks.no_maps()] if self.bends else None
        batch = UnnormalizedBatch(images=[np.copy(image)], segmentation_maps=maps, keypoints=[points])
        return checked(self.sequence.augment_batch_(batch, hooks=hooks).images_aug[0])


class ColourTransforms:
    """A sequence of augmenters that change colours only: the same image always becomes the same.

    Args:
        augmenters: imgaug's augmenters, applied in their order; none moves pixels.
    """

    def __init__(self, augmenters: list[Any]) -> None:
        self.sequence = iaa.Sequential(augmenters)
        self._seeding = Seeding(self.sequence)

    def __call__(self, image: UInt8Array) -> UInt8Array:
        """Return an image ``(height, width, 3)`` uint8 RGB transformed; what is random is decided by its pixels.

        Raises:
            DatasetError: An augmenter fails at it.
        """
        self._seeding.seed(zlib.crc32(np.ascontiguousarray(image).data) & 0x7FFFFFFF)
        try:
            with quiet():
                return checked(self.sequence.augment_image(image), image.shape)
        except Exception as error:
            said = str(error) if isinstance(error, UserError) else f"{one_line(error)[:300]}."
            size = f"{image.shape[1]} x {image.shape[0]}"
            raise DatasetError(f"transforms fail at an image of {size} pixels: {said}") from error


def _areas(boxes: FloatArray) -> FloatArray:
    areas: FloatArray = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    return areas
