"""``PipelineSizes``: what ``shape``, ``multiscaleMode`` and ``manualResize`` make of native pipelines."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ConfigError
from . import size_transforms  # noqa: F401 - it registers what the pipelines name
from .config_tree import Node, Pipeline
from .transforms import Ratios, fit_pipeline, has_sizes, ratios_of, resize_batch_augments, unresized


@dataclass(frozen=True)
class PipelineSizes:
    """The sizes of images.

    Attributes:
        native: ``(width, height)`` that the native pipelines resize to; ``None`` where they do not resize.
        shapes: ``(height, width)`` of each shape that was asked for, none for the native one; of several the first
            validates and predicts.
        mode: How training draws from several: ``value`` or ``range``.
        keeps: Images keep their size.
    """

    native: "tuple[int, int] | None"
    shapes: Sequence[tuple[int, int]] = ()
    mode: str = "value"
    keeps: bool = False

    def check(self, train: Pipeline, val: Pipeline) -> None:
        """Raise a ``ConfigError`` where what was asked for would do nothing.

        Args:
            train: The native training pipeline.
            val: The native validation pipeline.
        """
        if self.shapes and self.native is None:
            raise ConfigError("shape cannot be set: the config's pipelines have no Resize; remove shape, or add one.")
        if self.keeps and self.shapes and not has_sizes(unresized(train) + unresized(val)):
            raise ConfigError(
                "shape does nothing beside manualResize: true, since the config's pipelines have no crop, mosaic or "
                "the like whose size it could set: remove one of the two."
            )

    @property
    def varies(self) -> bool:
        """Whether images of a training batch may have different sizes."""
        return self.keeps or len(self.shapes) > 1

    def training(self, pipeline: Pipeline) -> Pipeline:
        """Return a native training pipeline with these sizes."""
        pipeline = unresized(pipeline) if self.keeps else copy.deepcopy(pipeline)
        if len(self.shapes) > 1:
            return [
                {
                    "type": "ShapeChoice",
                    "pipeline": pipeline,
                    "native": list(self._native()),
                    "shapes": [list(shape) for shape in self.shapes],
                    "mode": self.mode,
                }
            ]
        return self._fitted(pipeline)

    def inference(self, pipeline: Pipeline) -> Pipeline:
        """Return a native pipeline of validation and prediction with these sizes."""
        return self._fitted(unresized(pipeline) if self.keeps else copy.deepcopy(pipeline))

    def batch_augments(self, augments: list[Node]) -> list[Node]:
        """Return a data preprocessor's batch augmentations with these sizes; of several shapes, the largest fit."""
        augments = copy.deepcopy(list(augments))
        if self.shapes:
            heights, widths = zip(*self.shapes, strict=True)
            resize_batch_augments(augments, ratios_of((max(heights), max(widths)), self._native()))
        if self.keeps:  # a larger image would be cut to that size
            augments = [augment for augment in augments if augment.get("type") != "BatchFixedSizePad"]
        return augments

    def decisions(self) -> list[str]:
        """Return a line on each thing that was decided."""
        lines = ["manualResize: images keep their size, no step resizes them"] if self.keeps else []
        if self.shapes:
            named = [f"height {height}, width {width}" for height, width in self.shapes]
            width, height = self._native()
            instead = f" in place of {height}, {width}"
            if len(named) == 1:
                what = "shape of crops and the like" if self.keeps else "shape"
                lines.append(f"{what}: {named[0]}{instead}")
            else:
                drawn = "one of" if self.mode == "value" else "a height and a width in the range of"
                lines.append(f"shape: training draws {drawn} {'; '.join(named)}{instead}")
                lines.append(f"shape of validation and prediction: {named[0]}")
        return lines

    def _native(self) -> tuple[int, int]:
        if self.native is None:  # ``check`` refuses a shape there
            raise ConfigError("shape cannot be set: the config's pipelines have no Resize.")
        return self.native

    def _fitted(self, pipeline: Pipeline) -> Pipeline:
        return fit_pipeline(pipeline, self._ratios()) if self.shapes else pipeline

    def _ratios(self) -> Ratios:
        return ratios_of(self.shapes[0], self._native())
