"""What was decided about a stage's optimisation, as plain data that is kept beside its weights."""

from typing import Any

import torch
from mmengine.dist import get_world_size

from ..models.learning_parts import FROZEN_KEY
from ..models.memory_format import CHANNELS_LAST_KEY
from ..models.optimization import accumulation_of
from ..models.reduced_precision import WRAPPER
from ..models.weight_average import HOOK
from ..storage.digests import digest_of_file
from .job import TrainingJob

HEADER = "# How the weights of this stage were trained; written when it began, or was gone on with.\n"
PRECISIONS = {"AmpOptimWrapper": "fp16 with a scaled loss", WRAPPER: "bfloat16 in the networks"}


def decided_of(job: TrainingJob, device: str) -> dict[str, Any]:
    """Return what a stage is trained with: optimizer, schedule, batch, precision, memory, averages, start.

    Args:
        job: The stage.
        device: ``cpu`` or ``cuda:<n>``, of this process; the batch is that of all processes of its group.
    """
    config, processes = job.config, get_world_size()
    wrapper, loader = config.optim_wrapper, config.train_dataloader
    optimizer = dict(wrapper.optimizer)
    hooks = config.get("custom_hooks") or []
    averages = [{k: v for k, v in hook.items() if k != "priority"} for hook in hooks if _averages(hook)]
    return {
        "optimizer": _plain({key: value for key, value in optimizer.items() if key != "lr"}),
        "lr": _plain(optimizer.get("lr")),
        "paramwise": _plain(wrapper.get("paramwise_cfg")),
        "schedule": _plain(config.get("param_scheduler") or []),
        "lr set by": job.callbacks.owner.declared.name if job.callbacks.owner is not None else "the schedule",
        "epochs": config.train_cfg.max_epochs,
        "batch": loader.batch_size * processes,
        "images per device": loader.batch_size,
        "devices": {"kind": device.partition(":")[0], "count": processes},
        "data workers": loader.num_workers,
        "accumulation": accumulation_of(config),
        "clipping": _plain(wrapper.get("clip_grad")),
        "precision": PRECISIONS.get(str(wrapper.get("type")), "single"),
        "memory": "channels last" if config.get(CHANNELS_LAST_KEY) else "as it is",
        "ema": _plain(averages[0]) if averages else None,
        "frozen encoder": bool(config.get(FROZEN_KEY)),
        "start": _start(job),
        "seed": job.seed,
        "torch": str(torch.__version__),
    }


def _averages(hook: Any) -> bool:
    return str(hook.get("type")) in ("EMAHook", HOOK)


def _start(job: TrainingJob) -> "str | dict[str, str]":
    if job.start is None:
        return "what the config says"
    return {"file": str(job.start), "SHA-256": digest_of_file(job.start)}


def _plain(value: Any) -> Any:
    """Return a value as YAML's safe writer takes it; classes by their names."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(getattr(value, "__name__", value))
