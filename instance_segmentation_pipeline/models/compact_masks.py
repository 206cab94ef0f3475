"""MMDetection's ``BitmapMasks``, each mask kept as its box and the pixels inside it.

Flip, resize, crop, pad, translate, index, join, areas, boxes and ``crop_and_resize`` work on the crops, with the
results of MMDetection's own class. What has no such form (rotation, shear, a border that is not background, other
interpolations) is done densely, a few masks at a time. Dense arrays exist where a head asks for them, on its device.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mmcv
import numpy as np
import torch

from ..detection.arrays import AnyArray, Float32Array, Int64Array, UInt8Array
from ..detection.mask_crops import MaskCrops
from .mmdet_compat import BitmapMasks, HorizontalBoxes

CHUNK = 16
"""How many masks are dense at a time where an operation needs dense ones."""


class CompactMasks(BitmapMasks):
    """Instance masks of an image; see ``mmdet.structures.mask.BitmapMasks`` for the operations.

    Args:
        crops: The masks.
    """

    def __init__(self, crops: MaskCrops) -> None:
        self.crops = crops
        self.height = crops.height
        self.width = crops.width

    @classmethod
    def of(cls, masks: BitmapMasks) -> "CompactMasks":
        """Return masks of MMDetection's kind as compact ones; compact ones as they are."""
        return masks if isinstance(masks, CompactMasks) else cls(MaskCrops.from_dense(np.asarray(masks.masks)))

    @property
    def masks(self) -> UInt8Array:
        """All masks densely, ``(N, height, width)`` uint8, made at each call; may be replaced by such an array."""
        return self.crops.to_dense()

    @masks.setter
    def masks(self, dense: AnyArray) -> None:
        self.crops = MaskCrops.from_dense(dense)
        self.height, self.width = self.crops.height, self.crops.width

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, self.crops.packed()

    def __len__(self) -> int:
        return len(self.crops)

    def __iter__(self) -> Iterator[UInt8Array]:
        return (self.crops.take([number]).to_dense()[0] for number in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_masks={len(self)}, height={self.height}, width={self.width})"

    def __getitem__(self, index: Any) -> "CompactMasks":
        if isinstance(index, torch.Tensor):
            index = index.cpu().numpy()
        return CompactMasks(self.crops.take(np.arange(len(self))[index]))

    def rescale(self, scale: "float | tuple[int, int]", interpolation: str = "nearest") -> "CompactMasks":
        """Resize as large as fits into ``scale``, proportions kept."""
        width, height = mmcv.rescale_size((self.width, self.height), scale)
        return self.resize((height, width), interpolation)

    def resize(self, out_shape: Sequence[int], interpolation: str = "nearest") -> "CompactMasks":
        """Resize to ``(height, width)``."""
        if interpolation == "nearest":
            return CompactMasks(self.crops.resized(*out_shape))
        return self._densely(lambda masks: masks.resize(tuple(out_shape), interpolation), out_shape)

    def flip(self, flip_direction: str = "horizontal") -> "CompactMasks":
        """Mirror ``horizontal``, ``vertical`` or ``diagonal`` (both)."""
        if flip_direction not in ("horizontal", "vertical", "diagonal"):
            raise ValueError(f"flip_direction is {flip_direction!r}, expected horizontal, vertical or diagonal.")
        return CompactMasks(
            self.crops.flip(horizontal=flip_direction != "vertical", vertical=flip_direction != "horizontal")
        )

    def pad(self, out_shape: Sequence[int], pad_val: int = 0) -> "CompactMasks":
        """Enlarge to ``(height, width)`` at the right and at the bottom."""
        if pad_val:
            return self._densely(lambda masks: masks.pad(tuple(out_shape), pad_val), out_shape)
        return CompactMasks(self.crops.placed(*out_shape))

    def crop(self, bbox: AnyArray) -> "CompactMasks":
        """Cut out ``x1, y1, x2, y2``, clipped to the image; at least one pixel each way."""
        x1, x2 = np.clip(bbox[0::2], 0, self.width)
        y1, y2 = np.clip(bbox[1::2], 0, self.height)
        width, height = int(max(x2 - x1, 1)), int(max(y2 - y1, 1))
        return CompactMasks(self.crops.placed(height, width, -int(x1), -int(y1)))

    def expand(self, expanded_h: int, expanded_w: int, top: int, left: int) -> "CompactMasks":
        """Put the image at ``left``, ``top`` of a larger one."""
        return CompactMasks(self.crops.placed(expanded_h, expanded_w, left, top))

    def translate(
        self,
        out_shape: Sequence[int],
        offset: "float | Sequence[float]",
        direction: str = "horizontal",
        border_value: int = 0,
        interpolation: str = "bilinear",
    ) -> "CompactMasks":
        """Move by ``offset`` pixels ``horizontal``, ``vertical`` or ``both`` (a pair), on a canvas ``out_shape``."""
        pair = offset if isinstance(offset, (tuple, list)) else (offset, offset)
        left = pair[0] if direction in ("horizontal", "both") else 0
        top = pair[1] if direction in ("vertical", "both") else 0
        if border_value or left != int(left) or top != int(top):
            return self._densely(
                lambda masks: masks.translate(tuple(out_shape), offset, direction, border_value, interpolation),
                out_shape,
            )
        height, width = out_shape
        return CompactMasks(self.crops.placed(height, width).placed(height, width, int(left), int(top)))

    def shear(self, out_shape: Sequence[int], *arguments: Any, **named: Any) -> "CompactMasks":
        """Shear; done densely."""
        return self._densely(lambda masks: masks.shear(tuple(out_shape), *arguments, **named), out_shape)

    def rotate(self, out_shape: Sequence[int], *arguments: Any, **named: Any) -> "CompactMasks":
        """Rotate; done densely."""
        return self._densely(lambda masks: masks.rotate(tuple(out_shape), *arguments, **named), out_shape)

    @property
    def areas(self) -> Int64Array:
        """Pixels of each object, ``(N,)``."""
        return self.crops.areas()

    def get_bboxes(self, dst_type: str = "hbb") -> Any:
        """Return the tight boxes of the masks, ``(N, 4)``; boxes of another kind than ``hbb`` are made densely."""
        if dst_type == "hbb":
            return HorizontalBoxes(torch.from_numpy(self.crops.tight_boxes()))
        return BitmapMasks(self.masks, self.height, self.width).get_bboxes(dst_type)

    def to_ndarray(self) -> UInt8Array:
        """Return dense masks ``(N, height, width)`` uint8."""
        return self.masks

    def to_tensor(self, dtype: torch.dtype, device: "torch.device | str") -> torch.Tensor:
        """Return dense masks ``(N, height, width)`` on a device; only the crops travel there."""
        dense = torch.zeros((len(self), self.height, self.width), dtype=dtype, device=device)
        for mask, (x1, y1, x2, y2), crop in zip(dense, self.crops.boxes.tolist(), self.crops.crops, strict=True):
            mask[y1:y2, x1:x2] = torch.from_numpy(np.ascontiguousarray(crop)).to(device)
        return dense

    def crop_and_resize(
        self,
        bboxes: "torch.Tensor | AnyArray",
        out_shape: Sequence[int],
        inds: "torch.Tensor | AnyArray",
        device: "torch.device | str" = "cpu",
        interpolation: str = "bilinear",
        binarize: bool = True,
    ) -> BitmapMasks:
        """Return the mask ``inds[i]`` inside box i, averaged to ``out_shape`` as RoIAlign does, for each box.

        RoIAlign (aligned, adaptive sampling, average) is separable: each target is the crop between two matrices of
        interpolation weights.
        """
        if not len(self):
            return BitmapMasks(np.empty((0, *out_shape), np.uint8), *out_shape)
        boxes = np.asarray(bboxes.detach().cpu() if isinstance(bboxes, torch.Tensor) else bboxes, np.float32)
        chosen = np.asarray(inds.cpu() if isinstance(inds, torch.Tensor) else inds, np.int64)
        targets = np.empty((len(boxes), *out_shape), np.float32)
        for target, box, number in zip(targets, boxes, chosen, strict=True):
            x1, y1, x2, y2 = self.crops.boxes[number].tolist()
            vertical = _roi_weights(box[1], box[3], out_shape[0], self.height, y1, y2)
            horizontal = _roi_weights(box[0], box[2], out_shape[1], self.width, x1, x2)
            target[:] = vertical @ self.crops.crops[number].astype(np.float32) @ horizontal.T
        return BitmapMasks(targets >= 0.5 if binarize else targets, *out_shape)

    @classmethod
    def cat(cls, masks: Sequence[BitmapMasks]) -> "CompactMasks":
        """Return the masks of several images of one size, one after the other."""
        if not masks:
            raise ValueError("masks is empty, expected at least one set of masks.")
        return cls(MaskCrops.joined([CompactMasks.of(part).crops for part in masks]))

    def _densely(self, work: Callable[[BitmapMasks], BitmapMasks], out_shape: Sequence[int]) -> "CompactMasks":
        """Do what MMDetection's own class does, with a few dense masks at a time."""
        parts = []
        for start in range(0, len(self), CHUNK):
            part = self.crops.take(range(start, min(start + CHUNK, len(self)))).to_dense()
            parts.append(MaskCrops.from_dense(work(BitmapMasks(part, self.height, self.width)).masks))
        return CompactMasks(MaskCrops.joined(parts) if parts else MaskCrops.none(*out_shape))


def _restored(*packed: Any) -> CompactMasks:
    return CompactMasks(MaskCrops.unpacked(*packed))


def _roi_weights(low: float, high: float, bins: int, size: int, first: int, last: int) -> Float32Array:
    """Return how RoIAlign averages the pixels ``first`` to ``last`` of an axis into its bins, ``(bins, last - first)``.

    Source: ``roi_align`` of MMCV with ``aligned`` and ``sampling_ratio`` 0: each bin takes ``ceil(length / bins)``
    samples at equal distances, each between the centres of two pixels; samples more than one pixel outside count 0.
    """
    start, length = low - np.float32(0.5), high - low
    step = length / np.float32(bins)
    samples = int(np.ceil(step))
    weights = np.zeros((bins, size if last <= first else last - first), np.float32)
    if samples <= 0 or last <= first:
        return weights[:, : max(last - first, 0)]
    offsets = (np.arange(samples, dtype=np.float32) + np.float32(0.5)) * step / np.float32(samples)
    at = start + np.arange(bins, dtype=np.float32)[:, None] * step + offsets
    inside = (at >= -1) & (at <= size)
    at = np.clip(at, 0, None)
    left = np.minimum(at.astype(np.int64), size - 1)
    share = np.where(left >= size - 1, np.float32(0), at - left)
    rows = np.broadcast_to(np.arange(bins)[:, None], at.shape)
    for column, weight in ((left, 1 - share), (np.minimum(left + 1, size - 1), share)):
        kept = inside & (column >= first) & (column < last)
        np.add.at(weights, (rows[kept], column[kept] - first), weight[kept] / np.float32(samples))
    return weights
