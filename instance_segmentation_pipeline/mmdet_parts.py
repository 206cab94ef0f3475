"""What we take from MMDetection's data side, imported without the lines it prints about optional packages."""

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):
    import mmdet.datasets.transforms
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks

__all__ = ["BitmapMasks", "HorizontalBoxes", "mmdet"]
