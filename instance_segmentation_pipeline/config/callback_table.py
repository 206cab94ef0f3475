"""The callbacks that the dialect has, with each of their arguments; and those of Keras and MMEngine that it has not.

``reference.md`` documents the same table, and a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .values import RATES, Check, Integer, Number, boolean, one_of, text


@dataclass(frozen=True)
class Argument:
    """One argument: ``check`` returns the value to use or raises ``ValueError``; ``allowed`` says what it accepts."""

    allowed: str
    check: Check
    default: Any = None


def _numeric(check: "Integer | Number", default: Any = None) -> Argument:
    return Argument(str(check), check, default)


def _style(value: object) -> "str | float":
    return str(value) if value in STYLES else POWERS(value)


def _frequency(value: object) -> "str | int":
    return str(value) if value in ("epoch", "batch") else LENGTHS(value)


def _false(value: object) -> bool:
    if value is not False and value != 0:
        raise ValueError
    return False


def _anything(value: Any) -> Any:
    return value


STYLES = ("linear", "const", "sin", "sin+", "sin-", "cos", "cos+", "cos-")
"""Curves of LRVariator that have a name."""

POWERS = Number(0, 1000, above=True)
LENGTHS = Integer(1, 1_000_000_000)
_EPOCHS = Integer(0, 1_000_000)
_ANY_NUMBER = Number(-1_000_000_000, 1_000_000_000)
_DELTAS = Number(0, 1_000_000_000)
_RATES_AND_ZERO = Number(0, 1000)
_SPANS = Number(0, 1_000_000, above=True)

MONITORED = {
    "monitor": Argument("the name of a column of the metrics CSV", text, "val_loss"),
    "mode": Argument("auto, min or max", one_of("auto", "min", "max"), "auto"),
    "verbose": _numeric(Integer(0, 1), 1),
}

MOMENTS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
)
"""When functions of the project are called; the last two are other names of those before them."""

EARLY_STOPPING, PLATEAU, CYCLIC, VARIATOR = "EarlyStopping", "ReduceLROnPlateau", "CyclicLR", "LRVariator"
TENSORBOARD, LAMBDA = "TensorBoard", "LambdaCallback"

BUILT_IN: Mapping[str, Mapping[str, Argument]] = {
    EARLY_STOPPING: {
        **MONITORED,
        "patience": _numeric(_EPOCHS, 0),
        "min_delta": _numeric(_DELTAS, 0.0),
        "baseline": _numeric(_ANY_NUMBER),
        "start_from_epoch": _numeric(_EPOCHS, 0),
        "restore_best_weights": Argument("true or false", boolean, False),
        "restore_best": Argument("true or false", boolean, False),
    },
    PLATEAU: {
        **MONITORED,
        "factor": _numeric(Number(0, 1, above=True, below=True), 0.1),
        "patience": _numeric(_EPOCHS, 10),
        "cooldown": _numeric(_EPOCHS, 0),
        "min_lr": _numeric(_RATES_AND_ZERO, 0.0),
        "min_delta": _numeric(_DELTAS, 0.0001),
    },
    CYCLIC: {
        "base_lr": _numeric(RATES, 0.001),
        "max_lr": _numeric(RATES, 0.006),
        "step_size": _numeric(LENGTHS, 2000),
        "mode": Argument(
            "triangular, triangular2 or exp_range", one_of("triangular", "triangular2", "exp_range"), "triangular"
        ),
        "gamma": _numeric(Number(0, 1, above=True)),
    },
    VARIATOR: {
        "fromVal": _numeric(_RATES_AND_ZERO),
        "toVal": _numeric(_RATES_AND_ZERO),
        "style": Argument(f"{', '.join(STYLES)}, or {POWERS}", _style, "linear"),
        "absSize": _numeric(LENGTHS),
        "relSize": _numeric(_SPANS),
        "periodEpochs": _numeric(_SPANS),
        "periodSteps": _numeric(LENGTHS),
        "then": Argument("a mapping of one callback that sets the learning rate to its arguments", _anything),
    },
    TENSORBOARD: {
        "log_dir": Argument("a path", text),
        "update_freq": Argument(f"epoch, batch, or {LENGTHS}", _frequency, "epoch"),
        "histogram_freq": _numeric(_EPOCHS, 0),
        "write_graph": Argument("false", _false, False),
        "write_grads": Argument("false", _false, False),
        "write_images": Argument("false", _false, False),
    },
    LAMBDA: {moment: Argument("the name of a function of the project's modules", text) for moment in MOMENTS},
}
"""Arguments of each callback, by name."""

SETS_RATE = (VARIATOR, CYCLIC, PLATEAU)
"""Callbacks that set the learning rate."""

_KEPT = "the best weights, by primary_metric, and the last ones of each stage are always kept"
_ROWS = "metrics/ has a CSV of each stage's epochs"
_RESUME = "musket fit --allow_resume true goes on after the last whole epoch"
_BAR = "one line shows the progress"
_ALWAYS = "it is always there, and cannot be given a second time"
_PICTURES = "examples/ has pictures of each epoch"
_NO_GRAPH = "write_graph, write_images and what embeds layers belong to Keras's own nets: leave it out"

REFUSED = {
    "AllLogger": "update_freq: batch of TensorBoard keeps the losses of iterations",
    "BackupAndRestore": _RESUME,
    "BaseLogger": _ROWS,
    "CSVLogger": _ROWS,
    "Callback": "it is the base of callbacks and does nothing: name a class of the project's modules",
    "CallbackList": "give a list of callbacks",
    "CallbackModule": "it is the base of LRVariator and does nothing: name that",
    "CheckpointHook": _KEPT,
    "DetVisualizationHook": _PICTURES,
    "DistSamplerSeedHook": _ALWAYS,
    "EMAHook": "give ema",
    "EarlyStoppingHook": "give EarlyStopping, whose state is kept where a run is resumed",
    "History": _ROWS,
    "IterTimerHook": _ALWAYS,
    "LearningRateScheduler": "LRVariator has curves, and a class of the project's modules can set the rate itself",
    "LoggerHook": _ROWS,
    "ModelCheckpoint": _KEPT,
    "MonitorCallback": "it is the base of callbacks and does nothing: name EarlyStopping or ReduceLROnPlateau",
    "OrbaxCheckpoint": _KEPT,
    "ParamSchedulerHook": _ALWAYS,
    "ProgbarLogger": _BAR,
    "RemoteMonitor": "name a function of the project's modules in LambdaCallback, which sends what is to be sent",
    "RuntimeInfoHook": _ALWAYS,
    "SwapEMAWeights": "give ema",
    "TerminateOnNaN": "a loss that is not finite always ends the training, and the message names the iteration",
}
"""Callbacks of Keras, musket_core and MMEngine, with what does their job here."""

REFUSED_ARGUMENTS = {
    PLATEAU: {"epsilon": "give min_delta"},
    CYCLIC: {
        "scale_fn": "mode has three scales, and LRVariator curves",
        "scale_mode": "triangular and triangular2 scale by cycle, exp_range by iteration",
    },
    VARIATOR: {"verbose": "the metrics CSV has the rate that each epoch begins with"},
    TENSORBOARD: {
        "batch_size": "it was for histograms of outputs, of which there are none",
        "write_steps_per_second": "the progress line tells how long an epoch takes",
        "profile_batch": "give ProfilerHook of MMEngine",
        **dict.fromkeys(
            (
                "embeddings_freq",
                "embeddings_layer_names",
                "embeddings_metadata",
                "embeddings_data",
            ),
            _NO_GRAPH,
        ),
    },
}
"""Arguments of Keras and musket_core, with what does their job here."""
