"""What we take from MMDetection's data side, imported without the lines it prints about optional packages."""

import contextlib
import io
from typing import Any, TypeVar

import numpy as np
import torch

with contextlib.redirect_stdout(io.StringIO()):
    import mmdet.datasets.transforms
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
    from mmdet.registry import MODELS, TRANSFORMS
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks

__all__ = ["MODELS", "TRANSFORMS", "BitmapMasks", "HorizontalBoxes", "complete", "mmdet"]

Model = TypeVar("Model", bound=torch.nn.Module)


def complete(model: Model) -> Model:
    """Return a built model with what MMDetection's own code expects of it and one head leaves out.

    ``BaseDenseHead`` asks for ``loss_cls`` when it predicts; ``SSDHead`` has none.
    """
    for module in model.modules():
        if isinstance(module, BaseDenseHead) and not hasattr(module, "loss_cls"):
            module.loss_cls = None
    return model


@TRANSFORMS.register_module()
class ImageToFloat32:
    """Stands where a native pipeline loads images with ``to_float32``: turns ``img`` to float32."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Convert the image of a results dict, in place."""
        results["img"] = results["img"].astype(np.float32)
        return results
