"""Proof, before anything is moved or trained, that a stage's parts can be built: MMEngine builds them late, one by one.

Models are built on torch's ``meta`` device, without memory or numbers, where their constructors allow it.
"""

import contextlib
import copy
import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import HOOKS, METRICS, PARAM_SCHEDULERS, WEIGHT_INITIALIZERS, Registry, init_default_scope
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from ..errors import ConfigError, UserError, nearest, one_line, shortened
from ..models.config_tree import Node, walk
from ..models.finished_config import FinishedConfig
from ..models.mmdet_compat import MODELS
from ..models.transfer import HeadPolicy, load_into
from . import coco_metric, rng_state  # noqa: F401 - the metric registers itself
from .config_place import place_of
from .detection_dataset import MusketDetectionDataset
from .hooks import weight_average  # noqa: F401 - the hook registers itself

Made = TypeVar("Made")
DEFAULT_CONSTRUCTOR = "DefaultOptimWrapperConstructor"
PARAMWISE = (
    "custom_keys",
    "bias_lr_mult",
    "bias_decay_mult",
    "norm_decay_mult",
    "flat_decay_mult",
    "dwconv_decay_mult",
    "dcn_offset_lr_mult",
    "bypass_duplicate",
)
"""What that constructor reads; it passes over all else."""
SUPPRESSIONS = ("nms", "soft_nms", "nms_match", "nms_quadri")
"""Functions of MMCV that ``batched_nms`` of boxes can call by name."""


def check_buildable(
    stages: Sequence[FinishedConfig],
    train_dataset: MusketDetectionDataset,
    val_dataset: MusketDetectionDataset,
    starts: Sequence[tuple[Path, "HeadPolicy | None"]] = (),
    hooks: Sequence[Sequence[Hook]] = (),
) -> list[str]:
    """Build what MMEngine's Runner will build for each stage, and run both pipelines over one item.

    Random states, and what is on disk, stay as they are.

    Args:
        stages: The config of each stage, with its schedule.
        train_dataset: ``MusketDetectionDataset`` to train on.
        val_dataset: ``MusketDetectionDataset`` to validate on.
        starts: Checkpoints that stages start from, and how their heads are taken.
        hooks: MMEngine's hooks among the callbacks of each stage.

    Returns:
        A line on each thing that can be built and will hardly train.

    Raises:
        UserError: A part cannot be built; the message names it.
    """
    with _without_traces():
        init_default_scope(stages[0].config.default_scope)
        _suppression(stages[0].config.model)
        _initial_weights(stages[0].config)
        model = _model(stages[0])
        for start, policy in starts:
            load_into(model, start, policy)
        for number, stage in enumerate(stages):
            _schedule(model, stage, f"stages[{number}]: ")
            for hook in hooks[number] if hooks else ():
                _averaging(hook, model, f"stages[{number}]: ", "callbacks", stage.config)
        _loading(stages[0], train_dataset, val_dataset)
        model.train()
        return _lonely_norms(model, stages[0].config.train_dataloader.batch_size)


@contextlib.contextmanager
def _without_traces() -> Iterator[None]:
    """Keep random states and logging as they were; say nothing."""
    states, disabled = rng_state.take(), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        rng_state.put(states)


def _model(stage: FinishedConfig) -> torch.nn.Module:
    def build() -> torch.nn.Module:
        model: torch.nn.Module = MODELS.build(copy.deepcopy(stage.config.model))
        return model

    with contextlib.suppress(Exception), torch.device("meta"):
        return build()
    return _attempt("the model", build, "configOptions", stage.config)


def _suppression(model: Node) -> None:
    """Check what is looked up only when a net has found something: the kind of non-maximum suppression."""
    for path, node in walk(model, "model"):
        kind = node.get("type", "nms") if path.endswith(".nms") else "nms"
        if not (isinstance(kind, str) and kind in SUPPRESSIONS):
            raise ConfigError(
                f"{path}.type is {shortened(kind)}, expected one of {', '.join(SUPPRESSIONS)}: correct configOptions."
            )


def _initial_weights(config: Config) -> None:
    """Build what sets the first weights of each part; models do so only when training begins."""
    for path, node in walk(config.model, "model"):
        inits = node.get("init_cfg") or []
        for init in inits if isinstance(inits, (list, tuple)) else [inits]:
            if not isinstance(init, dict) or "type" not in init:
                raise ConfigError(
                    f"{path}.init_cfg is {shortened(init)}, expected a mapping with type: correct configOptions."
                )
            if init["type"] in ("Pretrained", "PretrainedInit"):
                continue  # its file has been read already
            arguments = {key: value for key, value in init.items() if key != "override"}
            _built(WEIGHT_INITIALIZERS, arguments, f"{path}.init_cfg", config)


def _clipping(config: Config) -> None:
    """Check the arguments of gradient clipping, which MMEngine hands on after the first iteration."""
    clip = config.optim_wrapper.get("clip_grad")
    if clip is None:
        return
    kinds: dict[Any, Any] = {"norm": clip_grad_norm_, "value": clip_grad_value_}
    kind = clip.get("type", "norm") if isinstance(clip, dict) else None
    if kind not in kinds:
        raise ConfigError(
            f"optim_wrapper.clip_grad is {shortened(clip)}, expected a mapping, with type norm or value: correct "
            "configOptions."
        )
    known = [name for name in inspect.signature(kinds[kind]).parameters if name != "parameters"]
    unknown = [key for key in clip if key not in (*known, "type")]
    if unknown:
        raise ConfigError(
            f"optim_wrapper.clip_grad has no {unknown[0]!r}{nearest(unknown[0], known)}: correct configOptions."
        )


def _schedule(model: torch.nn.Module, stage: FinishedConfig, where: str) -> None:
    config = stage.config
    _clipping(config)

    def build_optimizer() -> OptimWrapper:
        wrapper = copy.deepcopy(config.optim_wrapper)
        wrapper.optimizer.pop("fused", None)  # there are no such kernels for weights on no device
        return build_optim_wrapper(model, wrapper)

    paramwise = config.optim_wrapper.get("paramwise_cfg") or {}
    unknown = [key for key in paramwise if key not in PARAMWISE]
    if unknown and config.optim_wrapper.get("constructor", DEFAULT_CONSTRUCTOR) == DEFAULT_CONSTRUCTOR:
        raise ConfigError(
            f"optim_wrapper.paramwise_cfg has no {unknown[0]!r}{nearest(unknown[0], PARAMWISE)}: correct configOptions."
        )
    what = f"{where}the optimizer {config.optim_wrapper.optimizer['type']}"
    wrapper = _attempt(what, build_optimizer, "optimizer or configOptions", config)
    _check_step(type(wrapper.optimizer) if isinstance(wrapper, OptimWrapper) else None, config, what)
    for scheduler in config.param_scheduler:
        defaults = {"optimizer": wrapper, "epoch_length": 1}
        _built(PARAM_SCHEDULERS, scheduler, f"{where}the scheduler", config, default_args=defaults)
    hooks = [*(config.get("default_hooks") or {}).values(), *(config.get("custom_hooks") or [])]
    for hook in (hook for hook in hooks if hook is not None):
        arguments = {key: value for key, value in hook.items() if key != "priority"}  # the Runner takes it out
        made = _built(HOOKS, arguments, f"{where}the hook", config)
        _averaging(made, model, where, "configOptions", config)


def _check_step(kind: "type | None", config: Config, what: str) -> None:
    """See to it that an optimizer of torch's steps by dense gradients alone, on a weight of no net."""
    if kind is None or not kind.__module__.startswith("torch."):
        return
    asked = {key: value for key, value in config.optim_wrapper.optimizer.items() if key not in ("type", "fused")}
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.ones_like(weight)
    try:
        kind([weight], **asked).step()
    except Exception as error:
        raise ConfigError(
            f"{what} cannot make a step of a net's gradients ({one_line(error)[:200]}): give another one."
        ) from error


def _averaging(hook: Any, model: torch.nn.Module, where: str, key: str, config: Config) -> None:
    if isinstance(hook, EMAHook):  # it makes its model when the run begins
        _attempt(f"{where}the model of EMAHook", partial(_averaged, hook, model), key, config)


def _loading(stage: FinishedConfig, train_dataset: MusketDetectionDataset, val_dataset: MusketDetectionDataset) -> None:
    config = stage.config
    _built(METRICS, config.val_evaluator, "the metric", config)
    for name, dataset in (("train_dataloader", train_dataset), ("val_dataloader", val_dataset)):
        loader = {**copy.deepcopy(config[name]), "dataset": dataset}
        _attempt(name, partial(Runner.build_dataloader, loader, seed=0), "configOptions", config)
    for name, dataset in (("training", train_dataset), ("validation", val_dataset)):
        _attempt(f"the {name} pipeline's result for one item", partial(dataset.__getitem__, 0), "configOptions", config)


def _averaged(hook: EMAHook, model: torch.nn.Module) -> torch.nn.Module:
    averaged: torch.nn.Module = MODELS.build(dict(hook.ema_cfg), default_args={"model": model})
    return averaged


def _built(registry: Registry, part: object, what: str, config: Config, **options: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    return _attempt(f"{what} {kind}", lambda: registry.build(copy.deepcopy(part), **options), "configOptions", config)


def _attempt(what: str, build: Callable[[], Made], key: str, config: "Config | None" = None) -> Made:
    try:
        return build()
    except UserError:
        raise
    except Exception as error:
        place = None if config is None else place_of(error, config)
        words = one_line(error).partition(" Please check whether")[0][:400]  # a page on MMEngine's own configs follows
        correct = key if place is None else f"{place} in {key}"
        raise ConfigError(f"{what} cannot be built ({words}): correct {correct}.") from error


def _lonely_norms(model: torch.nn.Module, batch: int) -> list[str]:
    """Tell of normalisation that learns the statistics of a batch from one image."""
    learning = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm) and module.training]
    if batch > 1 or not learning:
        return []
    return [
        f"imagesPerGpu is 1, and {len(learning)} BatchNorm layers ({learning[0]}, …) normalise over the batch, so that "
        "they see one image at a time: set imagesPerGpu to 2 or more, or a norm_cfg of type GN by configOptions"
    ]
