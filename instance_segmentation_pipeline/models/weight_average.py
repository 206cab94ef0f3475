"""``ema``: the weights that are validated and kept are averages over the steps of the optimizer."""

from collections.abc import Mapping

from mmengine.config import Config, ConfigDict

from .optimization import accumulation_of

HOOK = "WeightAverage"
PRIORITY = 49
"""Before what saves checkpoints, which find the averaged weights in their place."""

SHARE = 0.1
"""An average reaches back over this share of a stage's steps, where nothing is said."""

WARM_UP = 10
LEAST, MOST = 0.0002, 0.1


def set_average(
    config: Config, ema: "bool | Mapping[str, float] | None", iterations: int, decisions: list[str]
) -> None:
    """Make a stage's config average its weights, or not.

    Args:
        config: The config, with the stage's schedule.
        ema: The property; ``None`` leaves what the config has.
        iterations: Of the whole stage.
        decisions: The line on it is put here.
    """
    if ema is None:
        return
    hooks = list(config.get("custom_hooks") or [])
    others = [hook for hook in hooks if str(hook.get("type")) not in ("EMAHook", HOOK)]
    replaced = ", in place of the config's EMAHook" if len(others) < len(hooks) else ""
    if ema is False:
        config.custom_hooks = others
        decisions.append(f"ema: none{replaced}")
        return
    asked = {} if ema is True else dict(ema)
    steps = max(1, -(-iterations // accumulation_of(config)))
    momentum = asked.get("momentum", min(MOST, max(LEAST, 1 / (SHARE * steps))))
    warm_up = int(asked.get("warmup", WARM_UP))
    config.custom_hooks = [
        *others,
        ConfigDict(type=HOOK, momentum=momentum, warmup=warm_up, priority=PRIORITY),
    ]
    decisions.append(
        f"ema: the averaged weights are kept; each step has a share of {momentum:.3g}"
        f"{f', more in the first steps (warmup {warm_up})' if warm_up else ''}{replaced}"
    )
