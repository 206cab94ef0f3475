"""``configOptions``: dotted keys set in a native config; what would not act is refused, with what does its job."""

import copy
import inspect
import math
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from ..errors import ConfigError, nearest, shortened
from .class_count import is_class_count
from .config_tree import Node, value_at, walk
from .mmdet_compat import MODELS

ACTING = (
    "model",
    "optim_wrapper",
    "param_scheduler",
    "custom_hooks",
    "default_hooks",
    "train_dataloader",
    "val_dataloader",
    "auto_scale_lr",
    "env_cfg",
    "log_processor",
    "default_scope",
    "activation_checkpointing",
    "efficient_conv_bn_eval",
    "compile",
)
"""Top-level keys of a config that a stage is trained from; others are variables, read before options are set."""

INSTEAD = {
    "default_hooks.checkpoint": "the best and the last weights of each stage are kept, as primary_metric says",
    "default_hooks.logger": "metrics/ has the log of each epoch",
    "default_hooks.visualization": "examples/ has pictures of each epoch",
    "visualizer": "examples/ has pictures of each epoch, and metrics/ the learning curves",
    "vis_backends": "examples/ has pictures of each epoch, and metrics/ the learning curves",
    "val_evaluator": "set primary_metric and final_metrics",
    "test_evaluator": "set primary_metric and final_metrics",
    "val_cfg": "each epoch is validated, with its loss",
    "test_cfg": "set model.test_cfg for what the model finds",
    "test_dataloader": "set val_dataloader, whose pipeline predicts too, or inference_batch",
    "tta_model": "set testTimeAugmentation and fusion",
    "tta_pipeline": "set testTimeAugmentation",
    "train_cfg.max_epochs": "set epochs in stages",
    "train_cfg.max_iters": "set epochs in stages",
    "train_cfg.val_interval": "each epoch is validated",
    "train_cfg": "set stages",
    "load_from": "set weightsPath",
    "resume": "use --allow_resume true",
    "work_dir": "all is written beside config.yaml",
    "log_level": "the log below logs/ has all",
    "launcher": "use --gpus_per_net, --cluster or torchrun",
    "randomness": "set random_state",
    "seed": "set random_state",
    "model_wrapper_cfg": "use --gpus_per_net, --cluster or torchrun",
    "optim_wrapper.optimizer.lr": "set lr, or lr in stages",
    "optim_wrapper.optimizer.params": "set optim_wrapper.paramwise_cfg",
    "auto_scale_lr.enable": "the learning rate is scaled to the batch unless lr is set",
    "custom_imports": "set it in the file of configPath",
    "max_epochs": "set epochs in stages",
    "base_lr": "set lr, or lr in stages",
    "num_classes": "set classes",
    "data_root": "set dataset",
    "dataset_type": "set dataset",
    "metainfo": "set dataset, which names its CLASSES",
    "train_pipeline": "set train_dataloader.dataset.pipeline",
    "test_pipeline": "set val_dataloader.dataset.pipeline",
    "img_scales": "set shape",
    "image_size": "set shape",
    "stage2_num_epochs": "set switch_epoch of the entry of custom_hooks",
}
"""What does the job of a key that nothing reads, or that is overwritten; the longest key that fits counts."""

OVERWRITTEN = {
    "init_cfg": "weightsPath and pretrained",
    "frozen_stages": "pretrained: false, which undoes it",
    "norm_eval": "pretrained: false, which undoes it",
    "requires_grad": "pretrained: false, which undoes it",
    "optimizer": "optimizer",
    "clip_grad": "clipnorm or clipvalue",
    "loss_weight": "loss",
    "accumulative_counts": "accumulation",
    "max_per_img": "maxDetections",
    "max_per_image": "maxDetections",
    "nms_pre": "maxDetections",
    "top_k": "maxDetections",
}
"""The property that overwrites a key, by any part of its path."""

ADAPTED = re.compile(
    r"param_scheduler\b|(train|val)_dataloader\.dataset\b|auto_scale_lr\b|model\.data_preprocessor\.batch_augments\b"
    r"|optim_wrapper\.(type|loss_scale|dtype|use_fsdp)$|custom_hooks\.\d+\.(switch_|num_last_epochs$|begin_epoch$)"
    r"|custom_hooks$|.*\.pretrained$"
)
"""Keys that act, in another form: scaled to stage, shape or batch, or kept where the device allows it."""


TEXT_OR_NUMBER = ("loss_scale", "padding")
"""Keys that take numbers and words."""

LISTS = ("custom_hooks", "param_scheduler", "train_dataloader.dataset.pipeline", "val_dataloader.dataset.pipeline")

LEAST = {"batch_size": 1, "num_workers": 0, "prefetch_factor": 1}
"""Counts of a dataloader, and what each is at least."""


def apply_options(config: Config, options: Mapping[str, Any]) -> None:
    """Set dotted keys in a config, as MMDetection's ``--cfg-options`` does.

    Raises:
        ConfigError: The path to a key does not exist in the config, or nothing would come of it.
    """
    for key in options:
        node: Any = config
        *parents, _ = key.split(".")
        for depth, part in enumerate(parents):
            known = [str(number) for number in range(len(node))] if isinstance(node, (list, tuple)) else list(node)
            if part not in known:
                where = ".".join(parents[:depth]) or "the config"
                raise ConfigError(f"configOptions: {key!r}: {where} has no {part!r}{nearest(part, known)}: correct it.")
            node = node[int(part)] if isinstance(node, (list, tuple)) else node[part]
            if not isinstance(node, (dict, list, tuple)):
                raise ConfigError(f"configOptions: {key!r}: {'.'.join(parents[: depth + 1])} holds a value, not keys.")
        if not parents and key not in (*config, *INSTEAD, *ACTING):
            raise ConfigError(f"configOptions: {key!r} is not in the config{nearest(key, list(config))}: correct it.")
    for path, value in leaves(options):
        _check_read(path)
        _check_kind(path, value_at(config, path), value)
        where, _, leaf = path.rpartition(".")
        if is_class_count(config.get("model"), where.partition(".")[2], leaf):
            raise ConfigError(f"configOptions: {path!r} would be overwritten: set classes, and leave it out.")
        _check_spelling(config, path)
    config.merge_from_dict(copy.deepcopy(dict(options)))


def leaves(options: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted path and value of each option, those inside mappings too."""
    for key, value in options.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        elif key != "_delete_":
            yield path, value


def loader_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the dataloaders, apart from those of their datasets, by dotted keys."""
    flat = {}
    for key, value in options.items():
        if key in ("train_dataloader", "val_dataloader") and isinstance(value, Mapping):
            flat.update({f"{key}.{inner}": one for inner, one in value.items()})
        elif key.startswith(("train_dataloader.", "val_dataloader.")):
            flat[key] = value
    return {key: value for key, value in flat.items() if key.split(".")[1] != "dataset"}


def _check_read(path: str) -> None:
    """Raise an error for a key that nothing reads."""
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        instead = INSTEAD.get(".".join(parts[:count]))
        if instead is not None:
            raise ConfigError(f"configOptions: {path!r} would do nothing: {instead}, and leave it out.")
    if parts[0] not in ACTING:
        raise ConfigError(
            f"configOptions: {path!r} would do nothing, since the config's file has read that variable already: set "
            "what is made from it."
        )
    if (
        re.match(r"(train|val)_dataloader\.dataset\b", path)
        and "pipeline" not in parts
        and parts[-1] != "oversample_thr"
    ):
        raise ConfigError(
            f"configOptions: {path!r} would do nothing: the items are those of dataset; of the config's own, pipeline "
            "and oversample_thr count: leave it out."
        )


def _check_kind(path: str, native: object, value: object) -> None:
    """Raise an error for a value of another kind than the config's own, and for NaN: parts fail on them in training."""
    loader, _, leaf = path.rpartition(".")
    is_number = isinstance(native, (int, float)) and leaf not in TEXT_OR_NUMBER
    least = LEAST.get(leaf) if loader in ("train_dataloader", "val_dataloader") else None
    expected = None
    if isinstance(native, bool) and isinstance(value, str):
        expected = "true or false"
    elif (is_number and isinstance(value, str)) or (isinstance(value, float) and math.isnan(value)):
        expected = "a number"
    elif path in LISTS and not isinstance(value, (list, tuple)):
        expected = "a list of mappings"
    elif least is not None and value is not None and (type(value) is not int or value < least):
        expected = f"a whole number from {least}"
    elif isinstance(native, (list, tuple)) and isinstance(value, str):
        expected = "a list"
    elif isinstance(native, dict) and isinstance(value, (str, int, float)):
        expected = "a mapping"
    if expected is not None:
        raise ConfigError(f"configOptions: {path!r} is {shortened(value)}, expected {expected}: correct it.")


def _check_spelling(config: Config, path: str) -> None:
    """Raise an error for a key of the model's ``train_cfg`` or ``test_cfg`` that none of its parts reads."""
    *parents, leaf = path.split(".")
    if parents[:1] != ["model"] or not {"train_cfg", "test_cfg"} & set(parents):
        return
    node = value_at(config, ".".join(parents))
    if not isinstance(node, dict) or leaf in node or "type" in node or parents[-1] == "nms":
        return  # what has a type is built, and refuses what it does not know
    if not any(re.search(rf"\b{re.escape(leaf)}\b", source) for source in _sources(config.model)):
        raise ConfigError(
            f"configOptions: {path!r}: no part of the model reads {leaf!r}{nearest(leaf, list(node))}: correct it."
        )


def _sources(model: Node) -> Iterator[str]:
    """Yield the source of each module that defines a part of a model, or what it is derived from."""
    seen = set()
    for _, node in walk(model):
        kind = node.get("type")
        made = MODELS.get(kind) if isinstance(kind, str) else kind
        for cls in inspect.getmro(made) if isinstance(made, type) else ():
            module = sys.modules.get(cls.__module__)
            if module is None or cls.__module__ in seen or cls.__module__.partition(".")[0] in ("torch", "builtins"):
                continue
            seen.add(cls.__module__)
            try:
                yield inspect.getsource(module)
            except (OSError, TypeError):  # a module without a file
                continue


def check_kept(config: Config, options: Mapping[str, Any]) -> None:
    """Raise an error for an option that another property has overwritten in the finished config.

    Raises:
        ConfigError: It names the property.
    """
    for path, value in leaves(options):
        if ADAPTED.match(path):
            continue
        found = value_at(config, path)
        if _same(found, value, path):
            continue
        rules = [rule for part, rule in OVERWRITTEN.items() if part in path.split(".")]
        by = f"by {rules[0]}" if rules else "by what the experiment sets itself"
        raise ConfigError(
            f"configOptions: {path!r} is {shortened(value)}, but it is overwritten {by} (it becomes "
            f"{shortened(found)}): leave it out, or change that."
        )


def _same(found: object, wanted: object, path: str) -> bool:
    if path.endswith(".type") and isinstance(wanted, str):
        name = str(getattr(found, "__name__", found)).removesuffix("OnCpu")
        return name == wanted or (name == "BN" and wanted in ("SyncBN", "MMSyncBN", "SyncBatchNorm"))
    if isinstance(wanted, (list, tuple)) and any(isinstance(entry, (Mapping, list, tuple)) for entry in wanted):
        return isinstance(found, (list, tuple)) and len(found) == len(wanted)  # classes are set inside
    if isinstance(wanted, (list, tuple)):
        return isinstance(found, (list, tuple)) and list(found) == list(wanted)
    return bool(found == wanted) or (wanted == {} and found is not None)
