"""What we take from MMDetection's data side, imported without the lines it prints about optional packages."""

import contextlib
import io
from typing import Any

import cv2
import numpy as np

from ..detection.arrays import UInt8Array

with contextlib.redirect_stdout(io.StringIO()):
    import mmdet.datasets.transforms
    from mmcv.cnn import ConvModule
    from mmdet.models.dense_heads import RTMDetInsHead, RTMDetInsSepBNHead
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
    from mmdet.models.dense_heads.rtmdet_ins_head import MaskFeatModule
    from mmdet.models.task_modules.assigners import dynamic_soft_label_assigner
    from mmdet.models.task_modules.prior_generators import MlvlPointGenerator
    from mmdet.registry import MODELS, TASK_UTILS, TRANSFORMS
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks
    from mmdet.utils import reduce_mean

__all__ = [
    "MODELS",
    "TASK_UTILS",
    "TRANSFORMS",
    "BaseDenseHead",
    "BitmapMasks",
    "ConvModule",
    "HorizontalBoxes",
    "MaskFeatModule",
    "MlvlPointGenerator",
    "RTMDetInsHead",
    "RTMDetInsSepBNHead",
    "dynamic_soft_label_assigner",
    "image_results",
    "mmdet",
    "reduce_mean",
]

Results = dict[str, Any]
"""What transforms of MMDetection hand on: the image, its objects, and how it was changed."""


def image_results(image: UInt8Array, number: int = 0, name: str = "") -> Results:
    """Return what ``LoadImageFromFile`` would have made of an image ``(height, width, 3)`` RGB: it is BGR in it."""
    height, width = image.shape[:2]
    return {
        "img": cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
        "img_id": number,
        "img_path": name,
        "height": height,
        "width": width,
        "img_shape": (height, width),
        "ori_shape": (height, width),
    }


@TRANSFORMS.register_module()
class ImageToFloat32:
    """Stands where a native pipeline loads images with ``to_float32``: turns ``img`` to float32."""

    def __call__(self, results: Results) -> Results:
        """Convert the image of a results dict, in place."""
        results["img"] = results["img"].astype(np.float32)
        return results
