"""From a native MMDetection config and the YAML's properties to the finished config of one stage.

This is the one room where ``classes``, ``shape``, batch, schedule and initial weights enter a native config.
Every decision that was taken is kept as a line of text, to be printed once.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from ..errors import ConfigError
from .class_count import set_class_count
from .config_file import locate, read_native
from .config_options import apply_options, check_kept, loader_options
from .config_tree import Pipeline, is_pretrained, walk
from .cpu_mask_heads import make_cpu_safe
from .detection_count import set_detection_count
from .finished_config import FinishedConfig
from .learning_parts import set_loss_weights
from .optimization import OptimizerRequest, set_optimizer
from .pipeline_sizes import PipelineSizes
from .precision import set_precision
from .transforms import base_size, oversample_threshold, pipeline_of, with_truth, without_loading


@dataclass(frozen=True)
class ModelRequest:
    """What the YAML asks of a native config; the fields have the meaning of the properties of the same name.

    ``shapes`` are ``(height, width)`` each; of several, the first validates and predicts.
    """

    config_path: str
    base: Path
    class_names: Sequence[str]
    shapes: Sequence[tuple[int, int]] = ()
    multiscale_mode: str = "value"
    manual_resize: bool = False
    images_per_gpu: int = 1
    workers_per_gpu: "int | None" = None
    inference_batch: "int | None" = None
    optimization: OptimizerRequest = field(default_factory=OptimizerRequest)
    pretrained: bool = True
    native_pipeline: bool = True
    has_weights: bool = False
    trust_weights: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, float] = field(default_factory=dict)
    max_detections: "int | None" = None
    amp: "bool | str" = False
    device: str = "cpu"
    world_size: int = 1


def prepare(request: ModelRequest) -> FinishedConfig:
    """Read the native config and make it the experiment's own, apart from the schedule (``schedule``).

    Raises:
        ConfigError: The config, or an option for it, cannot be used.
    """
    config = read_native(locate(request.config_path, request.base))
    apply_options(config, request.options)
    decisions: list[str] = []
    oversample = oversample_threshold(config.train_dataloader.dataset)
    if oversample is not None:
        decisions.append(f"sampling: images with classes in less than {oversample:g} of all images are repeated")
    _set_classes(config, request, decisions)
    _set_initial_weights(config, request, decisions)
    line = set_loss_weights(config.model, request.loss, "loss")
    if line is not None:
        decisions.append(line)
    if request.max_detections is not None:
        decisions.append(set_detection_count(config.model, request.max_detections))
    _set_norms(config, request, decisions)
    train, val = _set_pipelines(config, request, decisions)
    _set_dataloaders(config, request)
    set_precision(config, request.amp, request.device, decisions)
    set_optimizer(config, request.optimization, request.world_size, decisions)
    _set_runtime(config)
    check_kept(config, request.options)
    if request.device == "cpu":
        make_cpu_safe(config.model)
    return FinishedConfig(config, train, val, needs_masks(config), decisions, oversample)


def needs_masks(config: Config) -> bool:
    """Say whether the model learns masks: it has a mask head or a mask loss anywhere."""
    return any(
        node.get("mask_head") is not None or isinstance(node.get("loss_mask"), dict) for _, node in walk(config.model)
    )


def _set_classes(config: Config, request: ModelRequest, decisions: list[str]) -> None:
    changed = set_class_count(config.model, len(request.class_names))
    if not any(line.startswith("classes") for line in changed):
        raise ConfigError(f"configPath {request.config_path!r}: no num_classes in the model, so classes cannot be set.")
    decisions.extend(changed)


def _set_initial_weights(config: Config, request: ModelRequest, decisions: list[str]) -> None:
    """Decide where weights start; without ``pretrained``, undo what only makes sense for pretrained ones."""
    for _, node in walk(config.model):
        if isinstance(node.get("pretrained"), str):  # MMDetection 2.x's way to say it, still in some configs
            node["init_cfg"] = ConfigDict(type="Pretrained", checkpoint=node.pop("pretrained"))
    pretrained = [node for _, node in walk(config.model) if is_pretrained(node)]
    if request.has_weights:
        for node in pretrained:
            node["init_cfg"] = None
        decisions.append("initial weights: weightsPath")
    elif request.pretrained:
        sources = [str(node["init_cfg"]["checkpoint"]) for node in pretrained]
        decisions.append("initial weights: " + (", ".join(sources) or "random, the config names none"))
    else:
        for node in pretrained:
            node["init_cfg"] = None
        undone = _undo_freezing(config.model)
        decisions.append("initial weights: random" + (f"; undone: {', '.join(undone)}" if undone else ""))
    config.load_from = None
    config.resume = False
    config.trust_weights = request.trust_weights


def _undo_freezing(model: ConfigDict) -> list[str]:
    undone = []
    for path, node in walk(model):
        if isinstance(node.get("frozen_stages"), int) and node["frozen_stages"] >= 0:
            undone.append(f"{path}.frozen_stages {node['frozen_stages']}")
            node["frozen_stages"] = -1
        if node.get("norm_eval"):
            undone.append(f"{path}.norm_eval")
            node["norm_eval"] = False
        norm = node.get("norm_cfg")
        if isinstance(norm, dict) and norm.get("requires_grad") is False:
            undone.append(f"{path}.norm_cfg frozen")
            norm["requires_grad"] = True
    return undone


def _set_norms(config: Config, request: ModelRequest, decisions: list[str]) -> None:
    """One process has nothing to synchronise, and SyncBN does not run on a CPU."""
    if request.world_size > 1 and request.device.startswith("cuda"):
        return
    changed = False
    for _, node in walk(config.model):
        if node.get("type") in ("SyncBN", "MMSyncBN", "SyncBatchNorm"):
            node["type"] = "BN"
            changed = True
    if changed:
        why = "for a single process" if request.world_size == 1 else "since it needs CUDA devices"
        decisions.append(f"SyncBN: BN, {why}")


def _set_pipelines(config: Config, request: ModelRequest, decisions: list[str]) -> tuple[Pipeline, Pipeline]:
    train = without_loading(pipeline_of(config.train_dataloader.dataset))
    val = without_loading(pipeline_of((config.get("val_dataloader") or config.test_dataloader).dataset))
    if not request.native_pipeline:
        train = copy.deepcopy(val)
        decisions.append("nativePipeline: false, training images are only resized and packed")
    sizes = PipelineSizes(base_size(val, train), request.shapes, request.multiscale_mode, request.manual_resize)
    sizes.check(train, val)
    preprocessor = config.model.get("data_preprocessor") or {}
    if preprocessor.get("batch_augments"):
        preprocessor["batch_augments"] = sizes.batch_augments(preprocessor["batch_augments"])
    if sizes.varies and needs_masks(config):
        preprocessor["pad_mask"] = True  # heads join the masks of a batch, which its images are padded for
    for hook in config.get("custom_hooks") or []:
        if "switch_pipeline" in hook:
            hook["switch_pipeline"] = sizes.training(without_loading(hook["switch_pipeline"]))
    decisions.extend(sizes.decisions())
    return sizes.training(train), with_truth(sizes.inference(val))


def _set_dataloaders(config: Config, request: ModelRequest) -> None:
    """Keep how the native config loads, apart from what datasets of ours decide (the datasets come later)."""
    workers = request.workers_per_gpu
    if workers is None:
        workers = 4 if request.device.startswith("cuda") else 0
    loader = ConfigDict(
        batch_size=request.images_per_gpu,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=request.device.startswith("cuda"),
        sampler=ConfigDict(type="DefaultSampler", shuffle=True),
        collate_fn=ConfigDict(type="pseudo_collate"),
    )
    config.train_dataloader = loader
    config.val_dataloader = copy.deepcopy(loader)
    config.val_dataloader.sampler.shuffle = False
    config.val_dataloader.batch_size = request.inference_batch or request.images_per_gpu
    config.merge_from_dict(copy.deepcopy(loader_options(request.options)))


def _set_runtime(config: Config) -> None:
    """Leave logging, checkpoints, pictures and metrics to our own hooks; drop what belongs to testing."""
    hooks = dict(config.get("default_hooks") or {})
    hooks.pop("visualization", None)
    hooks.update(logger=None, checkpoint=None)
    config.default_hooks = ConfigDict(hooks)
    config.visualizer = ConfigDict(type="DetLocalVisualizer", vis_backends=[])
    config.val_cfg = ConfigDict(type="ValidationLoop")
    config.val_evaluator = ConfigDict(type="InstanceMetric")
    for name in ("test_dataloader", "test_cfg", "test_evaluator", "tta_model", "tta_pipeline", "auto_scale_lr"):
        config.pop(name, None)
    config.default_scope = config.get("default_scope") or "mmdet"
    config.launcher = "none"
