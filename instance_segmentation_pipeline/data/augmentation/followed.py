"""Masks that follow the image through imgaug's augmenters, one augmenter after the other.

imgaug tells hooks before and after each augmenter that acts. Where one moves pixels by a homography, key points on the
image say by which, and each mask is warped in its own box; where one bends the image, it is given label maps of the
masks; the others leave the masks alone.
"""

import copy
from typing import Any

import numpy as np
from imgaug import augmenters as iaa
from imgaug.augmentables.batches import UnnormalizedBatch
from imgaug.augmentables.kps import KeypointsOnImage
from imgaug.augmentables.segmaps import SegmentationMapsOnImage

from ...detection.arrays import AnyArray
from ...detection.label_maps import from_label_maps, resized_labels, to_label_maps
from ...detection.mask_crops import MaskCrops
from ...detection.mask_warp import homography, projected, warped
from .catalogue import Kind, kind_of

PROBES = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9], [0.5, 0.5], [0.3, 0.6]])
"""Points, as shares of width and height: four make the homography, the others prove that it is one."""

MOVED = 1e-3
"""Pixels; key points that move less have not moved."""

APART = 0.5
"""Pixels by which the proving points may lie off."""

_TO_INDEX = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
_FROM_INDEX = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])


class MaskFollower:
    """Hooks for ``augment_batch_`` of one image with masks; they stand in for ``imgaug.HooksImages``.

    Attributes:
        masks: The masks, as the image is now.
        shares: ``(N,)`` float64 in 0..1: how much of each object is still inside the image.
    """

    def __init__(self, masks: MaskCrops) -> None:
        self.masks = masks
        self.shares = np.ones(len(masks))
        self._within: Any = None
        self._twin: Any = None
        self._sizes: list[tuple[int, int]] = []

    @staticmethod
    def probes(height: int, width: int) -> KeypointsOnImage:
        """Return the key points that go with an image through its augmenters."""
        return KeypointsOnImage.from_xy_array(PROBES * (width, height), shape=(height, width, 3))

    def objects(self) -> AnyArray:
        """Return where any object is, ``(height, width)`` uint8 of 0 and 1, as the image is now."""
        there = np.zeros((self.masks.height, self.masks.width), np.uint8)
        for (x1, y1, x2, y2), crop in zip(self.masks.boxes, self.masks.crops, strict=True):
            np.maximum(there[y1:y2, x1:x2], crop, out=there[y1:y2, x1:x2])
        return there

    def is_activated(self, value: Any, augmenter: Any, parents: Any, default: bool) -> bool:
        """Let every augmenter act."""
        return default

    def is_propagating(self, value: Any, augmenter: Any, parents: Any, default: bool) -> bool:
        """Let every augmenter hand on to its children."""
        return default

    def preprocess(self, value: Any, augmenter: Any, parents: Any) -> Any:
        """Before an augmenter: put fresh key points on the image, and label maps where it bends the image."""
        if self._within is not None:
            return value
        if _is_one(value, SegmentationMapsOnImage):
            return [self._label_maps() if kind_of(augmenter) is Kind.BENDING else self.no_maps()]
        if not _is_one(value, KeypointsOnImage):
            return value
        kind = kind_of(augmenter)
        if kind is Kind.RESTORING:
            self._sizes.append((self.masks.height, self.masks.width))
        if kind is Kind.BENDING:
            self._within = augmenter
        if isinstance(augmenter, iaa.PerspectiveTransform):
            self._twin = copy.deepcopy(augmenter)
        return [self.probes(self.masks.height, self.masks.width)] if kind is Kind.HOMOGRAPHY else value

    def postprocess(self, value: Any, augmenter: Any, parents: Any) -> Any:
        """After an augmenter: take the masks along."""
        if self._within is not None and self._within is not augmenter:
            return value
        if _is_one(value, SegmentationMapsOnImage):
            if self._within is augmenter:
                self._bend(value[0])
            return [self.no_maps()]
        if not _is_one(value, KeypointsOnImage):
            return value
        kind = kind_of(augmenter)
        if kind is Kind.HOMOGRAPHY:
            self._take_along(value[0], augmenter)
        elif kind is Kind.BENDING:
            self._within = None
        elif kind is Kind.RESTORING:
            height, width = self._sizes.pop()
            if value[0].shape[:2] == (height, width):
                self.masks = self.masks.resized(height, width)
        else:
            return value
        return [self.probes(self.masks.height, self.masks.width)]

    def _take_along(self, points: KeypointsOnImage, augmenter: Any) -> None:
        height, width = (int(side) for side in points.shape[:2])
        before, after = PROBES * (self.masks.width, self.masks.height), points.to_xy_array().astype(float)
        if isinstance(augmenter, iaa.PerspectiveTransform):
            twin, self._twin = self._twin, None
            self._in_perspective(twin, height, width)
            return
        same_size = (height, width) == (self.masks.height, self.masks.width)
        if same_size and np.abs(after - before).max() < MOVED:
            return
        matrix = homography(before[:4], after[:4])
        if np.abs(projected(matrix, before[4:]) - after[4:]).max() > APART:
            raise ValueError(f"{type(augmenter).__name__} is no homography")
        if getattr(augmenter, "fit_output", False):  # imgaug puts the corner pixels, not their corners, at the border
            matrix = _FROM_INDEX @ matrix @ _TO_INDEX
        self.masks, shares = warped(self.masks, matrix, height, width)
        self.shares *= shares

    def _in_perspective(self, augmenter: Any, height: int, width: int) -> None:
        """Take masks along as imgaug takes images: its matrix is for pixels counted from 0, and then it resizes."""
        augmenter.keep_size = False
        given = self.probes(self.masks.height, self.masks.width)
        points = augmenter.augment_batch_(UnnormalizedBatch(keypoints=[given])).keypoints_aug[0]
        matrix = homography(given.to_xy_array()[:4].astype(float), points.to_xy_array()[:4].astype(float))
        size = (int(side) for side in points.shape[:2])
        self.masks, shares = warped(self.masks, _FROM_INDEX @ matrix @ _TO_INDEX, *size)
        self.shares *= shares
        if (self.masks.height, self.masks.width) != (height, width):
            self.masks = self.masks.resized(height, width)

    def no_maps(self) -> SegmentationMapsOnImage:
        """Return a small map that stands in for label maps where nothing bends the image."""
        return SegmentationMapsOnImage(np.zeros((8, 8, 1), np.int32), shape=(self.masks.height, self.masks.width, 3))

    def _label_maps(self) -> SegmentationMapsOnImage:
        maps = to_label_maps(self.masks) or [np.zeros((self.masks.height, self.masks.width), np.int32)]
        return SegmentationMapsOnImage(np.stack(maps, axis=-1), shape=(self.masks.height, self.masks.width, 3))

    def _bend(self, found: SegmentationMapsOnImage) -> None:
        height, width = (int(side) for side in found.shape[:2])
        whole = found.arr.reshape(*found.arr.shape[:2], -1).astype(np.int32)
        maps = [np.ascontiguousarray(whole[..., number]) for number in range(whole.shape[2])]
        maps = [labels if labels.shape == (height, width) else resized_labels(labels, height, width) for labels in maps]
        grown = height * width / (self.masks.height * self.masks.width)
        before = self.masks.areas()
        self.masks = from_label_maps(maps, len(self.masks), height, width)
        self.shares *= np.minimum(1, self.masks.areas() / np.maximum(before * grown, 1))


def _is_one(value: Any, kind: type) -> bool:
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], kind)
