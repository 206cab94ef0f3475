"""Native data pipelines made to fit: loading steps taken out, sizes set from ``shape``, truth kept.

Pure functions on lists of transform configs. Which order a size has, and whether it must divide by 32, is a
property of the transform, listed in one table.
"""

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

from ..errors import ConfigError
from .config_tree import Node, Pipeline, type_name


class Ratios(NamedTuple):
    """Width and height of the wanted shape over those of the native one.

    Where the native shape is no square but some step works on squares (large-scale jittering does), that step's
    size stays a square of the proportional area: ``squares``.
    """

    width: float
    height: float
    squares: bool = False

    def scale(self, pair: Sequence[float], divisor: int = 1, *, height_first: bool = False) -> tuple[int, int]:
        """Return a pair of sizes scaled, and rounded up to multiples of ``divisor``."""
        factors = (self.height, self.width) if height_first else (self.width, self.height)
        if self.squares and pair[0] == pair[1]:
            factors = (math.sqrt(self.width * self.height),) * 2
        first, second = (max(1, round(value * factor)) for value, factor in zip(pair, factors, strict=True))
        return _up(first, divisor), _up(second, divisor)


def ratios_of(shape: Sequence[int], native: tuple[int, int]) -> Ratios:
    """Return the ratios of a wanted ``(height, width)`` to a native ``(width, height)``."""
    return Ratios(shape[1] / native[0], shape[0] / native[1], native[0] != native[1])


LOADING = ("LoadImageFromFile", "LoadAnnotations", "LoadPanopticAnnotations", "LoadEmptyAnnotations", "LoadProposals")
ON_RECORDS = ("InstaBoost",)
FLIPS = ("horizontal", "vertical")
DIVISOR = 32
"""The largest stride of the zoo's feature pyramids: images padded to a fixed size must divide by it."""

SIZES = ("scale", "scales", "img_scale", "size", "crop_size")
"""Keys of sizes, which are ``(width, height)`` in MMDetection 3."""

DIVISIBLE = {("Pad", "size"), ("CachedMixUp", "img_scale"), ("MixUp", "img_scale")}
PACK = "PackDetInputs"
KEEP = "KeepSize"
"""The step of ``size_transforms`` that stands for resizing where images keep their size."""

DEFAULT_META = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction")


def without_loading(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline without the steps that read files, and copied: our dataset gives what they would.

    Where a step works on annotation records (InstaBoost does), before ``LoadAnnotations`` makes arrays of them, that
    one stays, since it reads no file.

    Raises:
        ConfigError: InstaBoost is to flip objects: it would leave their masks as they were.
    """
    steps: Pipeline = []
    for step in pipeline:
        if type_name(step) == "LoadAnnotations" and steps and any(type_name(before) in ON_RECORDS for before in steps):
            steps.append(copy.deepcopy(step))
        elif type_name(step) not in LOADING:
            _check_instaboost(step)
            steps.append(copy.deepcopy(step))
        elif step.get("to_float32"):
            steps.append({"type": "ImageToFloat32"})
    return steps


def pipeline_of(dataset: Node) -> Pipeline:
    """Return all steps of a native dataset config, from the innermost dataset of its wrappers outwards, copied."""
    inner = dataset.get("dataset", (dataset.get("datasets") or [None])[0])
    steps = pipeline_of(inner) if inner is not None else []
    return steps + copy.deepcopy(list(dataset.get("pipeline") or []))


def oversample_threshold(dataset: Node) -> "float | None":
    """Return the ``oversample_thr`` of a native dataset's ``ClassBalancedDataset``, ``None`` where it has none."""
    if dataset.get("oversample_thr") is not None:
        return float(dataset["oversample_thr"])
    inner = dataset.get("dataset", (dataset.get("datasets") or [None])[0])
    return None if inner is None else oversample_threshold(inner)


def with_truth(pipeline: Pipeline) -> Pipeline:
    """Return a validation pipeline whose packing keeps the item's ground truth for the metric."""
    pipeline = copy.deepcopy(pipeline)
    for step in pipeline:
        if type_name(step) == PACK:
            step["meta_keys"] = (*(step.get("meta_keys") or DEFAULT_META), "truth")
    return pipeline


def base_size(*pipelines: Pipeline) -> "tuple[int, int] | None":
    """Return ``(width, height)`` that the first of the pipelines that resizes resizes to; the largest, if several."""
    for pipeline in pipelines:
        found = [size for step in pipeline for size in _resizes(step)]
        if found:
            return max(found, key=lambda size: size[0] * size[1])
    return None


def fit_pipeline(pipeline: Pipeline, ratios: Ratios) -> Pipeline:
    """Return the pipeline with every size scaled by ``ratios``; sizes relative to the image stay."""
    return [_fit(copy.deepcopy(step), ratios) for step in pipeline]


def unresized(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline with images left at their own size: resizing steps keep it, and pads go to ``DIVISOR``."""
    return [_unresized(copy.deepcopy(step)) for step in pipeline]


def has_sizes(pipeline: Pipeline) -> bool:
    """Say whether a step of a pipeline without resizing (``unresized``) has a size of its own, such as a crop."""
    for step in pipeline:
        values = [step.get(key) for key in SIZES] if not _is_relative(step) else []
        if has_sizes(_nested(step)) or any(_is_pair(value) for value in values):
            return True
    return False


def resize_batch_augments(augments: list[Node], ratios: Ratios) -> None:
    """Scale, in place, the sizes of a data preprocessor's batch augmentations."""
    for augment in augments:
        if augment.get("type") == "BatchFixedSizePad":
            augment["size"] = ratios.scale(augment["size"], DIVISOR, height_first=True)
        elif "random_size_range" in augment:
            divisor = augment.get("size_divisor", DIVISOR)
            low, high = augment["random_size_range"]
            factor = min(ratios.width, ratios.height)
            augment["random_size_range"] = tuple(max(divisor, _up(value * factor, divisor)) for value in (low, high))


def _check_instaboost(step: Node) -> None:
    actions = zip(step.get("action_candidate", ()), step.get("action_prob", ()), strict=False)
    if type_name(step) == "InstaBoost" and any(share > 0 for action, share in actions if action in FLIPS):
        raise ConfigError(
            f"the native pipeline's InstaBoost has action_prob {tuple(step['action_prob'])}: its package flips objects "
            "without their masks; give 'horizontal' and 'vertical' a probability of 0."
        )


def _resizes(step: Node) -> list[tuple[int, int]]:
    nested = [size for inner in _nested(step) for size in _resizes(inner)]
    scale = step.get("scale", step.get("img_scale")) if "Resize" in type_name(step) else None
    return [*nested, (scale[0], scale[1])] if scale is not None and _is_pair(scale) else nested


def _unresized(step: Node) -> Node:
    if step.get("transforms"):
        step["transforms"] = [
            [_unresized(inner) for inner in entry] if isinstance(entry, (list, tuple)) else _unresized(entry)
            for entry in step["transforms"]
        ]
    if "Resize" in type_name(step):
        return {"type": KEEP}
    if type_name(step) == "Pad" and step.pop("size", None) is not None:
        step["size_divisor"] = DIVISOR
    return step


def _nested(step: Node) -> Pipeline:
    inner = step.get("transforms") or []
    flat: Pipeline = []
    for entry in inner:
        flat.extend(entry if isinstance(entry, (list, tuple)) else [entry])
    return flat


def _is_pair(value: object) -> TypeGuard[Sequence[int]]:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(type(number) is int for number in value)


def _fit(step: Node, ratios: Ratios) -> Node:
    """Scale a step's sizes, in place.

    Mosaics stay squares of the wanted area: MMDetection's exchange height and width of the masks of others.
    """
    for inner in _nested(step):
        _fit(inner, ratios)
    if type_name(step) == KEEP:
        step["factor"] = step.get("factor", 1.0) * ratios.width
    if _is_relative(step):
        return step
    if step.get("crop_type") == "absolute_range" and _is_pair(step.get("crop_size")):
        step["crop_size"] = tuple(sorted(ratios.scale(step["crop_size"])))  # the least and the most, not two sides
        return step
    kind = type_name(step)
    for key in SIZES:
        value = step.get(key)
        divisor = DIVISOR if (kind, key) in DIVISIBLE else 1
        if _is_pair(value):
            step[key] = ratios.scale(value, divisor)
            if "Mosaic" in kind and key == "img_scale":
                step[key] = (_up(math.sqrt(step[key][0] * step[key][1]), DIVISOR),) * 2
        elif isinstance(value, (list, tuple)) and value and all(_is_pair(pair) for pair in value):
            step[key] = [ratios.scale(pair, divisor) for pair in value]
    return step


def _is_relative(step: Node) -> bool:
    return str(step.get("crop_type", "absolute")).startswith("relative")


def _up(value: float, divisor: int) -> int:
    return math.ceil(value / divisor) * divisor
