"""What a training computes in: ``amp``, and what the device can do."""

from dataclasses import dataclass

import torch
from mmengine.config import Config

from ..errors import ConfigError
from .reduced_precision import WRAPPER

WRAPPERS = ("OptimWrapper", "AmpOptimWrapper", WRAPPER)
OF_AMP = ("loss_scale", "dtype", "use_fsdp")
"""Arguments that MMEngine's wrapper for mixed precision takes beside those of the plain one."""


@dataclass(frozen=True)
class Precision:
    """A decision: ``single``, ``fp16`` or ``bf16``, or ``None`` for what the native config says; and the line on it."""

    kind: "str | None"
    line: str = ""


def bf16_instructions(device: str) -> str:
    """Return the name of what a kind of device (``cpu``, ``cuda``) computes bfloat16 with; empty where it has none."""
    if device == "cuda":
        return "its tensor cores" if torch.cuda.is_bf16_supported(including_emulation=False) else ""
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():  # noqa: SLF001
        return ""
    known = getattr(torch.cpu, "get_capabilities", None)
    if known is None:  # before torch 2.10
        return "avx512_bf16" if torch.cpu._is_avx512_bf16_supported() else ""  # noqa: SLF001
    found = known()
    return next((name for name in ("amx_bf16", "avx512_bf16", "arm_bf16", "bf16") if found.get(name)), "")


def decide(amp: "bool | str", device: str) -> Precision:
    """Return what a training computes in on a kind of device; what it cannot do is single precision here.

    Args:
        amp: The property.
        device: ``cpu`` or ``cuda``.
    """
    if amp is False:
        return Precision(None)
    has_cuda = device == "cuda"
    instructions = bf16_instructions(device) if amp in ("bf16", "auto") else ""
    if amp in ("bf16", "auto") and instructions:
        return Precision("bf16", f"amp: bfloat16 in the networks, by {instructions}; losses in single precision")
    if has_cuda and amp in (True, "fp16", "auto"):
        return Precision("fp16", "amp: mixed precision, half (fp16) with a scaled loss")
    if amp == "auto":
        return Precision("single", "amp: single precision, the processor has no instructions for bfloat16")
    if amp is True:
        return Precision("single", "amp: not used, there is no CUDA device; bf16 or auto is for processors that can")
    return Precision("single", f"amp: {amp} is not used on this device")


def check_trainable(amp: "bool | str", device: str, config: Config) -> None:
    """See to it that a training can compute in what was asked for by name.

    Raises:
        ConfigError: The device cannot, or the native config's optimizer goes its own way.
    """
    where = "a CPU" if device == "cpu" else "this CUDA device"
    if amp == "fp16" and device == "cpu":
        raise ConfigError(
            "amp: fp16 needs a CUDA device, and there is none: give amp: bf16 for a processor that has it, amp: auto "
            "for what the device can do, or leave it out."
        )
    if amp == "bf16" and not bf16_instructions(device):
        raise ConfigError(
            f"amp: bf16 needs a device that computes in bfloat16, and {where} of this machine has no instructions for "
            "it: give amp: auto for what the device can do, or leave it out."
        )
    kind = config.optim_wrapper.get("type", "OptimWrapper")
    if amp is not False and kind not in WRAPPERS:
        raise ConfigError(f"amp sets the precision of OptimWrapper, but the config has {kind}: leave amp out.")


def set_precision(config: Config, amp: "bool | str", device: str, decisions: list[str]) -> None:
    """Make a config's optimizer compute in what was decided on.

    Args:
        config: The config.
        amp: The property.
        device: ``cpu`` or ``cuda``.
        decisions: The line on it is put here.
    """
    wrapper, decided = config.optim_wrapper, decide(amp, device)
    if wrapper.get("type", "OptimWrapper") not in WRAPPERS:
        return  # check_trainable says so, where it would do nothing
    if decided.line:
        decisions.append(decided.line)
    if decided.kind == "fp16":
        wrapper.type = "AmpOptimWrapper"
        wrapper.setdefault("loss_scale", "dynamic")
    elif decided.kind is not None or (device == "cpu" and wrapper.get("type") == "AmpOptimWrapper"):
        if decided.kind is None:
            decisions.append("the config's mixed precision: not used, there is no CUDA device")
        wrapper.type = WRAPPER if decided.kind == "bf16" else "OptimWrapper"
        for key in OF_AMP:
            wrapper.pop(key, None)
