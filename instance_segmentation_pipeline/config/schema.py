"""The dialect's table of properties: name, check, default and meaning of every key of the YAML file.

``check_properties`` turns the raw mapping into checked values, or raises one ``ConfigError`` before anything
heavy starts. ``reference.md`` documents the same table, and a test compares the two.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..detection.fusion import METHODS
from ..detection.tta import NAMES as FLIPS
from ..detection.tta import views_of
from ..errors import ConfigError, nearest, shortened
from .callbacks import callbacks_of_stage, check_declared, check_declared_extra
from .holdout_part import HOLDOUT, part_of, with_holdout
from .metric_lists import EPOCH_METRICS, FINAL_METRICS, epoch_metrics, final_metrics
from .optimization import AVERAGE, average, check_clipping, check_freezing, check_rates, check_starts
from .pruning import pruning_of
from .refusals import refusal
from .search_space import space_of
from .search_templates import with_first_values
from .step_chain import check_declarations, steps_of
from .tiles import CROPS, TILES, check_cells, check_tiles
from .trackers import TAGS, TRACKERS, check_tags, check_trackers
from .values import (
    CLIPS,
    COUNTS,
    INSIDE,
    ITERATIONS,
    RATES,
    SEEDS,
    SHARES,
    SIZES,
    VERBOSITY,
    Check,
    Integer,
    Number,
    boolean,
    mapping,
    names,
    one_of,
    precision,
    text,
)

Value = TypeVar("Value")


@dataclass(frozen=True)
class Property:
    """One key: ``check`` returns the value to use or raises ``ValueError``; ``allowed`` says what it accepts."""

    name: str
    allowed: str
    check: Check
    default: Any
    meaning: str
    required: bool = False


def _numeric(name: str, check: "Integer | Number", default: Any, meaning: str, required: bool = False) -> Property:
    return Property(name, str(check), check, default, meaning, required)


def _shape(value: object) -> list[Any]:
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple)):
        return [_one_shape(one, f"shape[{number}]") for number, one in enumerate(value)]
    return _one_shape(value, "shape")


def _one_shape(value: object, where: str) -> list[int]:
    if not isinstance(value, (list, tuple)) or len(value) not in (2, 3):
        raise ConfigError(f"{where} is {shortened(value)}, but it must be [height, width], each {SIZES}.")
    if len(value) == 3 and (value[2] != 3 or isinstance(value[2], bool)):
        raise ConfigError(f"{where} is {shortened(value)}, but images have 3 channels: leave the third number out.")
    try:
        return [SIZES(size) for size in value[:2]]
    except ValueError:
        raise ConfigError(f"{where} is {shortened(value)}, but it must be [height, width], each {SIZES}.") from None


def shapes_of(shape: Any) -> list[tuple[int, int]]:
    """Return ``(height, width)`` of each shape that the checked value of ``shape`` names; none for ``None``."""
    if shape is None:
        return []
    return [(height, width) for height, width in (shape if isinstance(shape[0], (list, tuple)) else [shape])]


def _dataset(value: Value) -> Value:
    if not isinstance(value, (str, dict, list)) or not value:
        raise ValueError
    return value


def _augmenters(value: Value) -> Value | None:
    if not isinstance(value, (str, dict, list)) or value == "":
        raise ValueError
    return value or None


def _chain(value: object) -> object:
    if not isinstance(value, (str, dict, list)) or not value:
        raise ValueError
    return value


def _optimizer(value: object) -> "str | dict[str, Any]":
    if isinstance(value, dict):
        if not isinstance(value.get("type"), str):
            raise ValueError
        if "params" in value:
            raise ConfigError(
                "optimizer.params would be overwritten by the net's own: give parts of the net rates of their own by "
                "configOptions: optim_wrapper.paramwise_cfg, and leave it out."
            )
        if value.get("lr") is not None:
            try:
                RATES(value["lr"])
            except ValueError:
                raise ConfigError(f"optimizer.lr is {shortened(value['lr'])}, but it must be {RATES}.") from None
            return {**value, "lr": RATES(value["lr"])}
        return value
    return text(value)


def _stages(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise ValueError
    stages = []
    for number, stage in enumerate(value):
        if not isinstance(stage, dict):
            raise ValueError
        stages.append(_check(stage, STAGE_PROPERTIES, f"stages[{number}]."))
        check_freezing(stages[-1], number)
    return stages


def _augmentation(value: Value) -> Value:
    if not isinstance(value, str) or value in FLIPS or not value.isidentifier():
        views_of(value)
    return value  # a function of the project's modules, which are looked at when the experiment is


AUGMENTERS = "a mapping of imgaug's augmenters to their arguments, or a list of such"


def _augmenter(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": text(value)}
    if not isinstance(mapping(value).get("name"), str):
        raise ValueError
    return mapping(value)


def _function(value: Any) -> Any:
    return value if callable(value) else text(value)


def _negatives(value: object) -> "str | float":
    return value if isinstance(value, str) and value in ("none", "real", "all") else PER_POSITIVE(value)


PER_POSITIVE = Number(0, 1_000_000)
NEGATIVES = f"none, real, all, or {PER_POSITIVE}"
TTA = "Horizontal, Vertical, Horizontal_and_vertical, All, a function's name, or a mapping with flips and scales"

CHAIN = "a step's name, a mapping of it to its arguments, or a list of these"
DATASET = "a provider's name, a mapping of it to its arguments, or a list of it and the steps behind it"


def _loss(value: object) -> dict[str, float]:
    weights = mapping(value)
    if not weights:
        raise ValueError
    for part, weight in weights.items():
        try:
            WEIGHTS(weight)
        except ValueError:
            raise ConfigError(f"loss.{part} is {shortened(weight)}, but a part's weight is {WEIGHTS}.") from None
    return {part: WEIGHTS(weight) for part, weight in weights.items()}


def _hyperparameters(value: dict[str, Any]) -> dict[str, Any]:
    space_of(value)
    return value


def _pruning(value: Value) -> Value:
    pruning_of(value)
    return value


CALLBACKS = "a callback's name, a mapping of callbacks to their arguments, or a list of these"
WEIGHTS = Number(0, 1_000_000)
LOSS = "a mapping of parts of the model's own loss to their weights, as {loss_mask: 2}"

START = "a path, a URL, or best-<fold>.<stage> of this or another experiment"

STAGE_PROPERTIES = (
    _numeric("epochs", Integer(1, 1_000_000), None, "how many epochs the stage trains", True),
    _numeric("lr", RATES, None, "learning rate of this stage"),
    Property("negatives", NEGATIVES, _negatives, None, "items without objects that an epoch trains on"),
    Property("validation_negatives", NEGATIVES, _negatives, None, "items without objects that are validated on"),
    Property("loss", LOSS, _loss, None, "weights of the parts of the loss"),
    Property("initial_weights", START, text, None, "weights that the stage starts from"),
    Property("freeze_encoder", "true or false", boolean, None, "the backbone keeps its weights from here on"),
    Property("unfreeze_encoder", "true or false", boolean, None, "the backbone is trained from here on"),
    Property("callbacks", CALLBACKS, check_declared, None, "callbacks in place of the experiment's"),
    Property("extra_callbacks", CALLBACKS, check_declared_extra, None, "callbacks beside the experiment's"),
    Property("logAll", "true or false", boolean, None, "a CSV has the losses of each batch"),
)

PROPERTIES = (
    Property("configPath", "a path, mmdet::… or musket::…", text, None, "the MMDetection config to train", True),
    Property("stages", "a list of mappings with epochs, and lr", _stages, None, "the stages of the training", True),
    _numeric("classes", Integer(1, 100_000), None, "how many object classes there are"),
    Property("shape", f"[height, width], each {SIZES}, or a list of such", _shape, None, "size that images fit into"),
    Property("multiscaleMode", "value or range", one_of("value", "range"), None, "how training draws from shapes"),
    Property("manualResize", "true or false", boolean, False, "images keep their size"),
    Property("weightsPath", "a path or a URL", text, None, "checkpoint to start from"),
    Property("resetHeads", "true or false", boolean, True, "start class-dependent layers anew"),
    Property("trustWeights", "true or false", boolean, False, "load checkpoints that run code"),
    Property("pretrained", "true or false", boolean, True, "use the config's own initial weights"),
    Property("nativePipeline", "true or false", boolean, True, "use the config's own augmentation"),
    Property("augmentation", AUGMENTERS, _augmenters, None, "what training items go through"),
    Property("transforms", AUGMENTERS, _augmenters, None, "what all images go through"),
    Property("configOptions", "a mapping of dotted keys", mapping, {}, "changes to the native config"),
    _numeric("imagesPerGpu", COUNTS, None, "batch size on each device"),
    _numeric("batch", COUNTS, None, "batch size of all devices that train a net"),
    _numeric("workersPerGpu", Integer(0, 1000), None, "processes that load data"),
    _numeric("crops", CROPS, None, "cells along each side that images are cut into"),
    Property("tiles", TILES, check_tiles, None, "cells that large images are cut into"),
    _numeric("inference_batch", COUNTS, None, "batch size of evaluation"),
    Property("amp", "true, false, fp16, bf16 or auto", precision, False, "precision that the nets are trained in"),
    Property("channelsLast", "true or false", boolean, None, "training keeps channels last in memory"),
    Property("ema", AVERAGE, average, None, "the weights that are kept are averages over steps"),
    Property("dataset", DATASET, _dataset, None, "the dataset"),
    Property("datasets", "a mapping of names to datasets", mapping, {}, "further datasets, by name"),
    Property("preprocessing", CHAIN, _chain, None, "steps that every item goes through"),
    Property("declarations", "a mapping of names to chains of steps", mapping, {}, "chains of steps by name"),
    Property("datasets_path", "a path", text, None, "folder that dataset providers run in"),
    Property("imports", "a module's name or a list of names", names, [], "Python modules to import"),
    Property("bboxOrder", "yxyx or xyxy", one_of("yxyx", "xyxy"), None, "coordinate order of the dataset's boxes"),
    Property("bboxSource", "dataset or masks", one_of("dataset", "masks"), None, "where boxes come from"),
    _numeric("folds_count", COUNTS, 1, "number of cross-validation folds"),
    _numeric("validationSplit", INSIDE, 0.2, "share"),
    _numeric("testSplit", Number(0, 1, below=True), 0.0, "share held out"),
    _numeric("testSplitSeed", SEEDS, 123, "seed of the holdout split"),
    _numeric("random_state", SEEDS, 33, "seed of folds and training"),
    _numeric("num_seeds", Integer(1, 1000), None, "how many times it is trained"),
    _numeric("seed", SEEDS, 0, "which of these times this is"),
    Property("stratified", "true or false", boolean, False, "keep class shares equal between folds"),
    Property(
        "groupFunc", "the name of a function", _function, None, "says what an item counts as in a stratified split"
    ),
    Property(
        "pretrain_transform", "a transformer's name, or a chain of them", _chain, None, "what training data is made of"
    ),
    Property(
        "extra_train_data", "a dataset's name, or a declaration like dataset's", _dataset, None, "more to train on"
    ),
    Property(
        "dataset_augmenter", "a function's name, or a mapping with name", _augmenter, None, "changes training parts"
    ),
    _numeric("maxEpochSize", ITERATIONS, None, "iterations of an epoch at most"),
    _numeric("steps_per_epoch", ITERATIONS, None, "another name of maxEpochSize"),
    _numeric("lr", RATES, None, "learning rate of every stage"),
    Property("optimizer", "an optimizer's name, or a mapping with type", _optimizer, None, "the optimizer"),
    Property("loss", LOSS, _loss, None, "weights of the parts of the loss"),
    Property("freeze_encoder", "true or false", boolean, False, "the backbone keeps its weights"),
    Property("callbacks", CALLBACKS, check_declared, [], "what is done and decided while it trains"),
    _numeric("clipnorm", CLIPS, None, "largest norm of all gradients together"),
    _numeric("clipvalue", CLIPS, None, "largest value of each gradient"),
    _numeric("accumulation", COUNTS, None, "batches that make one step of the optimizer"),
    Property("showDataExamples", "true or false", boolean, False, "a picture of what the net is shown is written"),
    _numeric("threshold", SHARES, 0.5, "lowest score that is drawn"),
    _numeric("maxDetections", COUNTS, None, "objects that are found in an image at most"),
    _numeric("storage_threshold", SHARES, 0.05, "lowest score that is predicted"),
    Property("primary_metric", "a metric's name", text, None, "what the best weights are chosen by"),
    Property("primary_metric_mode", "auto, max or min", one_of("auto", "max", "min"), "auto", "which is better"),
    Property("metrics", EPOCH_METRICS, epoch_metrics, [], "further metrics of each epoch"),
    Property("final_metrics", FINAL_METRICS, final_metrics, None, "metrics of the summary"),
    Property("fusion", "weighted, wbf, nms or soft_nms", one_of(*METHODS), "weighted", "how predictions blend"),
    _numeric("fusionIou", INSIDE, 0.55, "IoU"),
    Property("testTimeAugmentation", TTA, _augmentation, None, "views of an image that are predicted and fused"),
    Property("trackers", TRACKERS, check_trackers, [], "who is told of the training"),
    Property("description", "text", text, None, "what the experiment is about"),
    Property("tags", TAGS, check_tags, [], "words to find the experiment by"),
    Property("dumpPredictionsToCSV", "true or false", boolean, False, "tables of what is found are written"),
    _numeric("verbose", VERBOSITY, 1, "what the terminal shows of a training"),
    Property("logAll", "true or false", boolean, False, "a CSV has the losses of each batch"),
    Property("experiment_result", "a metric's name", text, None, "what stands for the whole experiment"),
    Property(
        "hyperparameters", "a mapping of parameters to their values", _hyperparameters, None, "what a search tries"
    ),
    _numeric("max_evals", Integer(1, 100_000), None, "how many trials a search makes"),
    Property("pruning", "median, or a mapping with type, epochs and trials", _pruning, None, "when a trial ends early"),
)


def check_properties(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Check the mapping read from the YAML file; return a value for every property.

    Raises:
        ConfigError: An unknown key (with the nearest known name), a missing one, or a wrong type or value.
    """
    raw = with_first_values(with_holdout(raw))
    checked = _check(raw, PROPERTIES, "")
    if checked["groupFunc"] is not None and not checked["stratified"]:
        raise ConfigError(
            "groupFunc does nothing unless stratified is true: set stratified: true, or remove groupFunc."
        )
    if raw.get("num_seeds") is not None and raw.get("seed") is not None:
        raise ConfigError("num_seeds trains with seeds of its own, so that seed does nothing beside it: remove one.")
    if raw.get("maxEpochSize") is not None and raw.get("steps_per_epoch") is not None:
        raise ConfigError("steps_per_epoch is another name of maxEpochSize: give one of the two.")
    idle = [key for key in ("max_evals", "pruning") if checked[key] is not None]
    if idle and checked["hyperparameters"] is None:
        raise ConfigError(f"{idle[0]} does nothing without hyperparameters: give them, or remove {idle[0]}.")
    check_clipping(checked["clipnorm"], checked["clipvalue"])
    check_rates(checked["lr"], checked["optimizer"])
    check_starts(checked["weightsPath"], checked["stages"])
    check_cells(checked["crops"], checked["tiles"])
    _check_shapes(checked)
    _check_chains(checked)
    for number, stage in enumerate(checked["stages"]):
        callbacks_of_stage(checked["callbacks"], stage["callbacks"], stage["extra_callbacks"], number)
    return checked


def _check_shapes(checked: Mapping[str, Any]) -> None:
    shapes, mode = shapes_of(checked["shape"]), checked["multiscaleMode"]
    if mode is not None and len(shapes) < 2:
        raise ConfigError(
            f"multiscaleMode is {mode}, but there is no list of shapes to draw from: give shape two or more, as "
            "[[640, 640], [800, 800]], or remove multiscaleMode."
        )
    if checked["manualResize"] and len(shapes) > 1:
        raise ConfigError("manualResize: true keeps images at their size, so that no shape is drawn: remove one.")


def check_property(name: str, value: Any) -> Any:
    """Return the value that one property is to have; ``None`` stands for its default.

    Raises:
        ConfigError: It cannot be that.
    """
    entry = next(one for one in PROPERTIES if one.name == name)
    return _check({} if value is None else {name: value}, (entry,), "")[name]


def check_given(raw: Mapping[str, Any]) -> None:
    """Check the keys that a part of an experiment's properties has, such as ``common.yaml``; others may be missing.

    Raises:
        ConfigError: An unknown key, or a wrong type or value.
    """
    raw = {key: value for key, value in raw.items() if key != HOLDOUT or part_of(value, {}) is None}
    _check_chains(_check(raw, tuple(replace(entry, required=False) for entry in PROPERTIES), ""))


def _check_chains(checked: Mapping[str, Any]) -> None:
    """See to it that chains of steps are such, as far as the YAML alone tells."""
    declared = checked["declarations"]
    check_declarations(declared)
    chains = {key: checked[key] for key in ("preprocessing", "dataset", "extra_train_data", "pretrain_transform")}
    chains.update({f"datasets.{name}": one for name, one in checked["datasets"].items()})
    for where, chain in chains.items():
        if isinstance(chain, list) or (where in ("preprocessing", "pretrain_transform") and chain is not None):
            steps_of(chain, declared, where)


def _check(raw: Mapping[str, Any], table: tuple[Property, ...], prefix: str) -> dict[str, Any]:
    known = {entry.name: entry for entry in table}
    for key in raw:
        if key not in known:
            raise ConfigError(_unknown(str(key), known, prefix))
    values = {}
    for entry in table:
        value = raw.get(entry.name)
        if value is None:
            if entry.required:
                raise ConfigError(f"{prefix}{entry.name} is missing: give {entry.allowed} ({entry.meaning}).")
            values[entry.name] = _fresh(entry.default)
            continue
        try:
            values[entry.name] = entry.check(value)
        except ConfigError as error:
            raise ConfigError(f"{prefix}{error}") from None
        except (ValueError, TypeError, OverflowError):
            message = f"{prefix}{entry.name} is {shortened(value)}, but it must be {entry.allowed}."
            raise ConfigError(message) from None
    return values


def _unknown(key: str, known: Mapping[str, Property], prefix: str) -> str:
    refused = refusal(key, prefix)
    if refused is not None:
        return refused
    return f"{prefix}{key} is not a property of the MMDetection dialect{nearest(key, known)}: correct or remove it."


def _fresh(default: Value) -> Value:
    return copy.copy(default) if isinstance(default, (dict, list)) else default
