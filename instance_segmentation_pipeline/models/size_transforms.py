"""Transforms that decide the size of an image: one shape of several, or the image's own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from .config_tree import Pipeline
from .mmdet_compat import TRANSFORMS, Results, mmdet
from .transforms import fit_pipeline, ratios_of

Shape = tuple[int, int]


@TRANSFORMS.register_module()
class ShapeChoice(BaseTransform):
    """A whole pipeline, fitted for each image to a shape that is drawn anew.

    What the pipeline does is what it would do if that shape were the only one. It is drawn from NumPy's global
    generator, as MMDetection's own transforms do.

    Args:
        pipeline: Transform configs, as the native config has them.
        native: ``(width, height)`` that they resize to.
        shapes: ``(height, width)`` of each shape.
        mode: ``value`` draws one of the shapes; ``range`` a height and a width from the least to the largest of them.
    """

    def __init__(
        self, pipeline: Pipeline, native: Sequence[int], shapes: Sequence[Sequence[int]], mode: str = "value"
    ) -> None:
        self.pipeline = list(pipeline)
        self.native = (native[0], native[1])
        self.shapes: list[Shape] = [(height, width) for height, width in shapes]
        self.mode = mode
        self._seen: dict[int, Any] = {}
        self._built = {shape: self._fitted(shape) for shape in self._ends()}

    def drawn(self) -> list[Any]:
        """Return the transforms for the next image."""
        shape = self._draw()
        return self._built[shape] if shape in self._built else self._fitted(shape)

    def first(self) -> list[Any]:
        """Return the transforms for the first of the shapes; nothing is drawn."""
        return self._built[self.shapes[0]]

    def transform(self, results: Results) -> "Results | None":
        """Run the transforms for one image."""
        shown: Results | None = results
        for step in self.drawn():
            shown = step(shown)
            if shown is None:
                return None
        return shown

    def _ends(self) -> list[Shape]:
        return list(dict.fromkeys(self.shapes))

    def _draw(self) -> Shape:
        if self.mode == "value":
            return self.shapes[np.random.randint(len(self.shapes))]  # noqa: NPY002 - see the class
        heights, widths = zip(*self.shapes, strict=True)
        height = np.random.randint(min(heights), max(heights) + 1)  # noqa: NPY002
        return int(height), int(np.random.randint(min(widths), max(widths) + 1))  # noqa: NPY002

    def _fitted(self, shape: Shape) -> list[Any]:
        """Build the pipeline for a shape; images that a transform remembers are common to all shapes."""
        steps = fit_pipeline(self.pipeline, ratios_of(shape, self.native))
        built = [TRANSFORMS.build(step) for step in steps]
        for number, step in enumerate(built):
            if hasattr(step, "results_cache"):
                step.results_cache = self._seen.setdefault(number, step.results_cache)
        return built

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shapes={self.shapes}, mode={self.mode!r})"


@TRANSFORMS.register_module()
class KeepSize(mmdet.datasets.transforms.Resize):
    """Leaves an image at its own size, and says so where other steps look for how it was resized.

    Args:
        factor: What the sides are multiplied by: 1, but for the scaled views of ``testTimeAugmentation``.
    """

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__(scale_factor=factor, keep_ratio=True)
