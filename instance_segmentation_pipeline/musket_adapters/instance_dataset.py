"""musket_core's ``InstanceSegmentationDataSet`` without its faults.

Upstream's class reads one RLE mask a CSV row. It crashes on class names, numbers integer classes by their
value, pads boxes by 10 pixels, gives arrays of the wrong rank for images without objects, and fails outside a project.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..detection.boxes import boxes_of_masks


def derive_instance_segmentation(module: Any) -> type:
    """Return a subclass of ``module.InstanceSegmentationDataSet``; same constructor, same CSV.

    Items have ``y = (labels (N,) int64, bboxes (N, 4) float32 x1, y1, x2, y2, masks (N, height, width) bool)``;
    a label is the place of the class in ``meta()["CLASSES"]``, counted from 1.
    """

    class InstanceSegmentationDataSet(module.InstanceSegmentationDataSet):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            with _some_project():
                super().__init__(*arguments, **options)

        def get_mask(self, image: Any, imShape: Any) -> list:
            """Return pairs of a mask ``(height, width)`` and the class's index, counted from 0."""
            rows = self.get_all_about(image)
            pairs = []
            for rle, name in zip(rows[self.rleColumn].values, rows[self.clazzColumn].values, strict=True):
                if not isinstance(rle, str) or rle.strip() in {"-1", ""}:
                    continue
                shape = self.maskShape if self.maskShape is not None else (imShape[0], imShape[1])
                mask = self.rle_decode(rle, (shape[1], shape[0]) if self.rMask else shape)
                pairs.append((np.flipud(np.rot90(mask)), self.class2Num[_class_name(name)]))
            return pairs

        def __getitem__(self, item: int) -> Any:
            image_id = self.imageIds[item]
            image = self.get_value(image_id)
            pairs = [(mask, label) for mask, label in self.get_mask(image_id, image.shape) if mask.any()]
            masks = np.zeros((len(pairs), *image.shape[:2]), bool)
            for row, (mask, _) in enumerate(pairs):
                masks[row] = mask > 0
            labels = np.array([label for _, label in pairs], np.int64) + 1
            return module.PredictionItem(image_id, image, (labels, boxes_of_masks(masks), masks))

    InstanceSegmentationDataSet.__module__ = module.__name__
    InstanceSegmentationDataSet.__qualname__ = "InstanceSegmentationDataSet"
    InstanceSegmentationDataSet.__doc__ = derive_instance_segmentation.__doc__
    InstanceSegmentationDataSet.gives_xyxy = True
    return InstanceSegmentationDataSet


@contextlib.contextmanager
def _some_project() -> Iterator[None]:
    """Let upstream look for files in the current folder where no project is known: it fails without one."""
    from musket_core.context import context, get_current_project_path

    before = get_current_project_path()
    context.projectPath = before or str(Path.cwd())
    try:
        yield
    finally:
        context.projectPath = before


def _class_name(name: Any) -> Any:
    """Return what upstream keeps of a class cell: the part before an underscore."""
    return name[: name.index("_")] if "_" in str(name) else name
