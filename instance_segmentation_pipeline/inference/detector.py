"""A trained net that answers: images in, ``Detections`` out; one net, or several fused.

What is found in an image depends on that image alone: only images of the same size share a forward pass, so that no
padding of a neighbour's reaches it.
"""

import contextlib
import copy
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import init_default_scope

from ..detection.arrays import UInt8Array
from ..detection.detections import Detections, MusketPrediction, from_arrays
from ..detection.fusion import DEFAULT_IOU, fuse
from ..detection.own_views import OwnView
from ..detection.seams import join
from ..detection.tiles import Grid
from ..detection.tta import PLAIN, View
from ..models.built_model import complete
from ..models.checkpoints import reading_for
from ..models.config_tree import Pipeline
from ..models.finished_config import FinishedConfig
from ..models.later_masks import masks_later
from ..models.missing_operators import naming_config
from ..models.mmdet_compat import MODELS, TRANSFORMS, Results, image_results
from ..models.outputs import to_prediction
from ..models.trained_weights import load_trained
from ..models.transforms import Ratios, base_size, fit_pipeline
from .memory import telling_of_memory


@dataclass(frozen=True)
class Fusion:
    """How members and views are fused; see ``fusion.fuse``.

    Attributes:
        most: The surest objects of an image that are kept; all by default.
    """

    method: str = "weighted"
    iou_threshold: float = DEFAULT_IOU
    most: "int | None" = None

    def of(self, members: Sequence[Detections], weights: "Sequence[float] | None" = None) -> Detections:
        """Fuse what several members found in an image."""
        fused = fuse(members, self.method, self.iou_threshold, weights)
        return fused if self.most is None else fused[np.arange(min(self.most, len(fused)))]


def load_net(config: Config, weights: Path, class_names: Sequence[str], device: str = "cpu") -> Any:
    """Return MMDetection's detector (a ``torch.nn.Module``) of a finished config with trained weights, in eval mode.

    Raises:
        WeightsError: The weights are missing, damaged, of another model or of other classes.
    """
    init_default_scope(config.default_scope)
    with reading_for(config):
        net = complete(MODELS.build(copy.deepcopy(config.model)))
    load_trained(net, weights, class_names)
    net.cfg = config  # as MMDetection's own init_detector leaves it
    with telling_of_memory(
        device, f"the net of {weights.name} was loaded", "ask fewer folds, stages or seeds at a time"
    ):
        return net.to(device).eval()


@dataclass
class Detector:
    """A trained net, the pipeline that its images go through, and how several views of an image are fused.

    Attributes:
        transforms: What an image, as ``detect`` takes it, goes through before all else.
        batch_size: Images, or views of images, that the net is given at a time: it bounds the memory that answers take,
            however many images and views there are.
        grid: How images are cut into cells, each of which the net looks at; ``None`` shows it whole images.
        visits: The device that the net is put on while it answers, where it waits in the machine's memory meanwhile;
            ``None`` where it stays where it is.
    """

    net: Any
    pipeline: Pipeline
    with_masks: bool
    storage_threshold: float = 0.0
    views: "Sequence[View | OwnView]" = (PLAIN,)
    fusion: Fusion = Fusion()
    transforms: "Callable[[UInt8Array], UInt8Array] | None" = None
    batch_size: int = 1
    visits: "str | None" = None
    grid: "Grid | None" = None
    _built: dict[float, tuple[Compose, "tuple[int, int] | None"]] = field(default_factory=dict)

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        """Find objects in images, in each for itself.

        Args:
            images: ``(height, width, 3)`` uint8 RGB each, of any sizes.

        Returns:
            For each image what was found with a score of ``storage_threshold`` or more, the highest score first.

        Raises:
            PredictionError: The memory of the device ran out.
        """
        with self._on_device():
            if self.grid is None:
                return self._in_batches(images)
            return [self._joined(image, self.grid) for image in images]

    def _in_batches(self, images: Sequence[UInt8Array]) -> list[Detections]:
        blocks = (images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size))
        return [found for block in blocks for found in self._detect(block)]

    def _joined(self, image: UInt8Array, grid: Grid) -> Detections:
        """Find objects in the cells of an image, and make those one that lie in several."""
        height, width = image.shape[:2]
        cells = grid.prediction(height, width)
        views = [image[cell.top : cell.bottom, cell.left : cell.right] for cell in cells]
        return join(self._in_batches(views), cells, height, width)

    @contextlib.contextmanager
    def _on_device(self) -> Iterator[None]:
        if self.visits is None:
            yield
            return
        advice = "ask fewer folds, stages or seeds at a time, or lower inference_batch"
        try:
            with telling_of_memory(self.visits, "a net of several was put there", advice):
                self.net.to(self.visits)
            yield
        finally:
            self.net.to("cpu")

    def _detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        """Find objects in a batch of images, of whose views one batch at a time is there."""
        if self.transforms is not None:
            images = [self.transforms(image) for image in images]
        ways = sorted(range(len(self.views)), key=lambda way: (self.views[way].turns % 2, self.views[way].scale))
        pairs = [(number, way) for way in ways for number in range(len(images))]  # those of one size side by side
        found: dict[tuple[int, int], Detections] = {}
        for start in range(0, len(pairs), self.batch_size):
            chunk = pairs[start : start + self.batch_size]
            shown = [(self.views[way].show(images[number]), self.views[way].scale) for number, way in chunk]
            for (number, way), one in zip(chunk, self._forward(shown), strict=True):
                height, width = images[number].shape[:2]
                found[number, way] = self.views[way].back(one, (height, width))
        groups = ([found[number, way] for way in range(len(self.views))] for number in range(len(images)))
        fused = (self.fusion.of(group) for group in groups)
        return [one.above(self.storage_threshold) for one in fused]

    @torch.no_grad()
    def _forward(self, images: Sequence[tuple[UInt8Array, float]]) -> list[Detections]:
        """Find objects in images, each with the factor of the size that its pipeline resizes to."""
        packed = [self.packed(image, scale) for image, scale in images]
        sizes: dict[tuple[int, ...], list[int]] = {}
        for number, item in enumerate(packed):
            sizes.setdefault(tuple(item["inputs"].shape), []).append(number)
        found: dict[int, Detections] = {}
        for shape, numbers in sizes.items():
            height, width = max(images[number][0].shape[:2] for number in numbers)
            words = f"{len(numbers)} images of {width} x {height} pixels, {shape[2]} x {shape[1]} to the net,"
            advice = f"lower inference_batch ({self.batch_size} images were predicted at a time)"
            if len(numbers) == 1:
                words = words.replace("1 images", "an image")
                advice = "lower shape, or give a smaller image"
            with telling_of_memory(self._device(), f"{words} were looked at", advice, len(numbers)):
                samples = self._samples([packed[number] for number in numbers])
                for number in numbers:  # each answer is let go before the next is made small
                    found[number] = self._answer(samples.pop(0), *images[number][0].shape[:2])
        return [found[number] for number in range(len(images))]

    def _device(self) -> str:
        first = next(iter(self.net.parameters()), None)
        return "cpu" if first is None else str(first.device)

    def _samples(self, items: Sequence[Results]) -> list[Any]:
        """Return what MMDetection answers to items whose images have one size."""
        batch = {key: [item[key] for item in items] for key in ("inputs", "data_samples")}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.meshgrid")  # MMDetection's anchors, on every start
            with naming_config(getattr(self.net, "cfg", None)), masks_later():
                return list(self.net(**self.net.data_preprocessor(batch, False), mode="predict"))

    def _answer(self, sample: Any, height: int, width: int) -> Detections:
        found = from_arrays(to_prediction(sample.pred_instances, self.with_masks), *sample.ori_shape)
        return found if sample.ori_shape == (height, width) else found.cropped(height, width)

    def packed(self, image: UInt8Array, scale: float = 1.0) -> Results:
        """Return an image ``(height, width, 3)`` uint8 RGB as the pipeline hands it to the net."""
        if scale not in self._built:
            init_default_scope("mmdet")
            steps = fit_pipeline(self.pipeline, Ratios(scale, scale))
            self._built[scale] = Compose([TRANSFORMS.build(step) for step in steps]), base_size(steps)
        pipeline, size = self._built[scale]
        image = _not_too_narrow(image, size)
        return dict(pipeline(image_results(image)))

    def predict(self, images: Sequence[UInt8Array], bbox_order: str = "yxyx") -> list[MusketPrediction]:
        """Return Musket's prediction tuple for each image; see ``Detections.to_musket``."""
        return [found.to_musket(bbox_order) for found in self.detect(images)]


def _not_too_narrow(image: UInt8Array, size: "tuple[int, int] | None") -> UInt8Array:
    """Return an image that keeps a pixel on each side when it is resized to fit ``size``: padded with black if need be.

    The lower right is padded, so that coordinates stay.
    """
    if size is None:
        return image
    factor = min(max(size) / max(image.shape[:2]), min(size) / min(image.shape[:2]))  # mmcv.rescale_size
    least = math.ceil(0.5 / factor + 1e-6)
    missing = [max(0, least - side) for side in image.shape[:2]]
    padded: UInt8Array = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0))) if any(missing) else image
    return padded


@dataclass
class Ensemble:
    """Several detectors that answer as one: what they find is fused.

    Each looks at ``BLOCK`` images before the next one does, so that what is held of answers is bounded.
    """

    BLOCK: ClassVar[int] = 64

    members: "Sequence[Detector | Ensemble]"
    fusion: Fusion = Fusion()
    weights: "Sequence[float] | None" = None

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        """Find objects in images; see ``Detector.detect``."""
        blocks = (images[start : start + self.BLOCK] for start in range(0, len(images), self.BLOCK))
        return [found for block in blocks for found in self._detect(block)]

    def _detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        answers = [member.detect(images) for member in self.members]
        return [self.fusion.of(found, self.weights) for found in zip(*answers, strict=True)]

    def predict(self, images: Sequence[UInt8Array], bbox_order: str = "yxyx") -> list[MusketPrediction]:
        """Return Musket's prediction tuple for each image; see ``Detections.to_musket``."""
        return [found.to_musket(bbox_order) for found in self.detect(images)]


def for_inference(finished: FinishedConfig, weights: Path, class_names: Sequence[str], device: str) -> Any:
    """Return a net that ``mmdet.apis.inference_detector`` takes: it carries its config and its class names."""
    net = load_net(finished.config, weights, class_names, device)
    config = copy.deepcopy(finished.config)
    pipeline = [{"type": "LoadImageFromFile"}, *copy.deepcopy(finished.val_pipeline)]
    config.test_dataloader = {"dataset": {"pipeline": pipeline}}
    net.cfg = config
    net.dataset_meta = {"classes": tuple(class_names)}
    return net


@dataclass
class PredictedBatch:
    """Some images and what was found in them.

    Attributes:
        data: The items' ids.
        images: Images ``(height, width, 3)`` uint8 RGB, of any sizes.
        results: Musket's prediction tuple of each; see ``detections.Detections.to_musket``.
        ground_truth: Targets of the items, as the dataset has them; empty where they were not asked for.
    """

    data: list[str]
    images: list[UInt8Array]
    results: list[MusketPrediction]
    ground_truth: list[Any] = field(default_factory=list)
