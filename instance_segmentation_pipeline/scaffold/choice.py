"""What suits a machine and some data: model, shape, batch, split, epochs. Each number has its reason beside it."""

import math
from dataclasses import dataclass

import numpy as np

from ..models.config_file import ZOO_SCOPE
from ..zoo.catalogue import entry_of
from .machine import Machine
from .survey import Survey

CPU_MODEL = "musket::rtmdet-ins_nano_fine-masks"
SMALL_MODEL = "musket::rtmdet-ins_tiny_small-images"
LARGE_MODEL = "mmdet::rtmdet/rtmdet-ins_s_8xb32-300e_coco.py"
TINY_WEIGHTS = "mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py"
SMALL_SIDE = 400
"""Pixels of the longer side of images up to which the small model is enough, also on a GPU."""
FINEST = 12.0
"""Pixels that the smaller objects should have for the net: its finest cells are 8 wide."""
CPU_SIDES, GPU_SIDES = (128, 512), (256, 1024)
"""Least and largest side of ``shape``, in steps of 32, the coarsest cells of most nets."""
CPU_MINUTES = 8.0
CPU_IMAGES = 9.0
"""Images of 160 x 160 that one core trains in a second, by the model for CPUs, without bfloat16."""
SLOWER = {CPU_MODEL: 1.0, SMALL_MODEL: 1.4}
"""How many times the time of the model for CPUs this package's models take, about, on a CPU."""
MUCH_SLOWER = 12.0
"""Likewise, of any other."""
FEW_STEPS, MANY_EPOCHS = 300, 100
"""Steps that a net of random weights needs to find anything, and epochs that are enough for few images."""
VALIDATED = 200
"""Images that validate at most on a CPU, of a part that is drawn."""
RATES = {2: 0.002, 4: 0.003, 8: 0.004, 16: 0.004}
"""Learning rates of this package's models from random weights, by batch."""


@dataclass(frozen=True)
class Plan:
    """What an experiment is made with.

    Attributes:
        model: ``configPath``.
        weights: ``weightsPath``, where there is one.
        side: Both sides of ``shape``.
        batch: ``imagesPerGpu``.
        folds: ``folds_count``; ``None`` where the data bring their validation part.
        validation: ``validationSplit``; ``None`` where nothing is drawn.
        epochs: Of the one stage.
        lr: Its learning rate; ``None`` for the config's own.
        most_steps: ``maxEpochSize``, where an epoch is to be shorter than all images.
        detections: Objects an image that are found at least; ``None`` where the model's own number is enough.
        on_gpu: Whether a GPU trains.
        minutes: About how long a net trains on a CPU.
    """

    model: str
    weights: "str | None"
    side: int
    batch: int
    folds: "int | None"
    validation: "float | None"
    epochs: int
    lr: "float | None"
    most_steps: "int | None"
    detections: "int | None"
    on_gpu: bool
    minutes: float


def plan(found: Survey, machine: Machine, model: "str | None" = None, folds: "int | None" = None) -> Plan:
    """Choose.

    Args:
        found: What the data are.
        machine: What trains.
        model: The ``configPath`` that was asked for.
        folds: How many folds were asked for.
    """
    on_gpu = machine.gpus > 0
    small = float(np.median(np.maximum(found.widths, found.heights))) <= SMALL_SIDE
    chosen = model or (CPU_MODEL if not on_gpu else SMALL_MODEL if small else LARGE_MODEL)
    name = chosen.removesuffix(".py")
    own = name in SLOWER
    side = _side(found, CPU_SIDES if not on_gpu else GPU_SIDES)
    parted = "validation" in found.images
    validation = None if parted or (folds or 1) > 1 else _validation(found.total, on_gpu)
    train = _train_images(found, folds, validation)
    batch = _batch(side, train, machine) if own or on_gpu else 2
    rate = CPU_IMAGES * machine.cores * (160 / side) ** 2 / SLOWER.get(name, MUCH_SLOWER)  # images a second
    epochs, most = _epochs(train, batch, rate, on_gpu)
    steps = epochs * min(math.ceil(train / batch), most or 10**9)
    return Plan(
        chosen,
        _weights(chosen),
        side,
        batch,
        None if parted else folds or 1,
        validation,
        epochs,
        RATES[batch] if own else None,
        most,
        found.most if found.most > 100 else None,
        on_gpu,
        steps * batch / rate / 60,
    )


def _weights(model: str) -> "str | None":
    """Return ``weightsPath``: a model of the zoo itself, where weights of it were published."""
    name = model.removeprefix(ZOO_SCOPE)
    entry = entry_of(name if name.endswith(".py") else f"{name}.py") if model.startswith(ZOO_SCOPE) else None
    return model if entry is not None and entry.weights else None


def _side(found: Survey, limits: tuple[int, int]) -> int:
    """Return a side that leaves the smaller objects large enough, of the images' own size or twice it at most."""
    longest = float(np.median(np.maximum(found.widths, found.heights)))
    small = max(1.0, float(np.percentile(found.sizes, 25)))
    wanted = max(longest if longest <= 320 else 320.0, longest * FINEST / small)
    bounded = min(wanted, 2 * longest if longest <= 256 else longest, limits[1])
    return max(limits[0], 32 * math.ceil(bounded / 32))


def _validation(total: int, on_gpu: bool) -> float:
    """Return the share of images that validates: a fifth, on a CPU not more than take a moment."""
    if on_gpu or total * 0.2 <= VALIDATED:
        return 0.2
    return max(0.01, round(VALIDATED / total, 2))


def _train_images(found: Survey, folds: "int | None", validation: "float | None") -> int:
    if "train" in found.images:
        return found.images["train"]
    if validation is None:
        folds = max(2, folds or 2)
        return max(1, found.total * (folds - 1) // folds)
    return max(1, round(found.total * (1 - validation)))


def _batch(side: int, train: int, machine: Machine) -> int:
    """Return a batch that memory holds and that leaves several steps an epoch; BatchNorm needs two images."""
    if machine.gpus:
        largest = 16 if side <= 320 and machine.gpu_gigabytes >= 10 else 8 if machine.gpu_gigabytes >= 10 else 2
    else:
        largest = 8 if side <= 320 else 4
    while largest > 2 and largest * 2 > train:
        largest //= 2
    return largest


def _epochs(train: int, batch: int, rate: float, on_gpu: bool) -> "tuple[int, int | None]":
    """Return epochs, and steps of an epoch at most: on a CPU so many that a first result is there in minutes."""
    steps = math.ceil(train / batch)
    if on_gpu:
        return max(12, min(MANY_EPOCHS, math.ceil(3000 / steps))), None
    afforded = max(60, round(CPU_MINUTES * 60 * rate / batch))  # steps
    epochs = min(MANY_EPOCHS, math.ceil(FEW_STEPS / steps), afforded // steps)
    if epochs >= 10:
        return epochs, None
    if afforded // steps >= 10:
        return 10, None
    return 10, max(1, afforded // 10)
