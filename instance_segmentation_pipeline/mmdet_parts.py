"""What we take from MMDetection's data side, imported without the lines it prints about optional packages."""

import contextlib
import io

import numpy as np

with contextlib.redirect_stdout(io.StringIO()):
    import mmdet.datasets.transforms
    from mmdet.registry import MODELS, TRANSFORMS
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks

__all__ = ["MODELS", "TRANSFORMS", "BitmapMasks", "HorizontalBoxes", "mmdet"]


@TRANSFORMS.register_module()
class ImageToFloat32:
    """Stands where a native pipeline loads images with ``to_float32``: turns ``img`` to float32."""

    def __call__(self, results: dict) -> dict:
        """Convert the image of a results dict, in place."""
        results["img"] = results["img"].astype(np.float32)
        return results
