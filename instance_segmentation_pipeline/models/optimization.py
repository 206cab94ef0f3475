"""The optimizer of a native config made the experiment's own: its type, clipping, accumulation and learning rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.optim import OPTIMIZERS

from ..config.optimization import check_clipping, check_rates
from ..errors import ConfigError, nearest
from .config_tree import Node
from .schedule import set_lr

DEFAULT_LR = 0.001
"""Musket's learning rate, for an optimizer that the native config does not know."""

KERAS_NAMES = {"nadam": "NAdam", "sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}
"""Optimizers as Keras and Musket spell them, in lower case, and torch's names of them."""


@dataclass(frozen=True)
class OptimizerRequest:
    """What the YAML asks of the optimizer; the fields have the meaning of the properties of the same name.

    ``accumulation`` is ``None`` for what the native config does.
    """

    lr: "float | None" = None
    optimizer: "str | Node | None" = None
    clipnorm: "float | None" = None
    clipvalue: "float | None" = None
    accumulation: "int | None" = None


def set_optimizer(config: Config, request: OptimizerRequest, world_size: int, decisions: list[str]) -> None:
    """Set optimizer, clipping, accumulation and learning rate of a config whose dataloaders are set.

    Args:
        config: The config.
        request: What is asked for.
        world_size: Devices that train one net.
        decisions: Lines on what was decided are put here.

    Raises:
        ConfigError: There is no such optimizer, or two ways to clip, or two rates, are asked for.
    """
    check_rates(request.lr, request.optimizer)
    wrapper = config.optim_wrapper
    if request.accumulation is not None:
        wrapper.accumulative_counts = request.accumulation
    _set_clipping(config, request, decisions)
    native = wrapper.optimizer
    named = {"type": request.optimizer} if isinstance(request.optimizer, str) else request.optimizer
    wanted: dict[str, Any] = dict(named or {})
    own_rate = wanted.pop("lr", None)
    rate = own_rate if request.lr is None else request.lr
    if wanted:
        wanted["type"] = _torch_name(wanted["type"], list(OPTIMIZERS.module_dict))
    if wanted and wanted["type"] != native["type"]:
        rate = DEFAULT_LR if rate is None else rate
        wrapper.optimizer = ConfigDict({**({"lr": native.lr} if "lr" in native else {}), **wanted})
        if wrapper.get("paramwise_cfg"):
            wrapper.optimizer.setdefault(
                "weight_decay", 0.0
            )  # what it is multiplied by for single layers must be there
    else:
        if rate is None:
            _scale_lr(config, world_size, decisions)
        native.update(wanted)
    decisions.append(f"optimizer: {wrapper.optimizer['type']}")
    set_lr(config, rate)  # with the schedulers' lowest rates, which are shares of the native one


def accumulation_of(config: Config) -> int:
    """Return of how many batches the gradients make one step."""
    return int(config.optim_wrapper.get("accumulative_counts") or 1)


def _torch_name(name: str, known: Sequence[str]) -> str:
    if name in known:
        return name
    alias = KERAS_NAMES.get(name.lower())
    if alias is None:
        raise ConfigError(f"optimizer {name!r} is not known{nearest(name, known)}: correct it.")
    return alias


def _set_clipping(config: Config, request: OptimizerRequest, decisions: list[str]) -> None:
    check_clipping(request.clipnorm, request.clipvalue)
    if request.clipnorm is None and request.clipvalue is None:
        return
    native = ", ".join(f"{key} {value}" for key, value in (config.optim_wrapper.pop("clip_grad", None) or {}).items())
    if request.clipnorm is not None:
        clip: Node = {"max_norm": request.clipnorm, "norm_type": 2}
        line = f"clipnorm: gradients to {request.clipnorm:g}"
    else:
        clip, line = {"type": "value", "clip_value": request.clipvalue}, f"clipvalue: each to {request.clipvalue:g}"
    config.optim_wrapper.clip_grad = ConfigDict(clip)
    decisions.append(line + (f", in place of the config's {native}" if native else ""))


def _scale_lr(config: Config, world_size: int, decisions: list[str]) -> None:
    base = (config.get("auto_scale_lr") or {}).get("base_batch_size")
    batch = config.train_dataloader.batch_size * world_size * accumulation_of(config)
    if not base or base == batch:
        return
    native = config.optim_wrapper.optimizer.lr
    set_lr(config, native * batch / base)
    decisions.append(f"learning rate scale: {native:g} for a batch of {base} is {native * batch / base:g} for {batch}")
