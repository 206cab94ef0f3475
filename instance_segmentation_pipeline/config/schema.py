"""The dialect's table of properties: name, check, default and meaning of every key of the YAML file.

``check_properties`` turns the raw mapping into checked values, or raises one ``ConfigError`` before anything
heavy starts. ``reference.md`` documents the same table, and a test compares the two.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..detection.fusion import METHODS
from ..detection.tta import views_of
from ..errors import ConfigError, nearest, shortened

Check = Callable[[Any], Any]


@dataclass(frozen=True)
class Property:
    """One key: ``check`` returns the value to use or raises ``ValueError``; ``allowed`` says what it accepts."""

    name: str
    allowed: str
    check: Check
    default: Any
    meaning: str
    required: bool = False


def _integer(low: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError
        return value

    return check


def _number(low: float, high: float = float("inf"), *, open_low: bool = False, open_high: bool = False) -> Check:
    """Accept numbers in a range, also as text: YAML 1.1 reads ``1e-3`` as a string."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError
        number = float(value)
        inside = (low < number if open_low else low <= number) and (number < high if open_high else number <= high)
        if not inside:
            raise ValueError
        return number

    return check


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _one_of(*names: str) -> Check:
    def check(value: Any) -> str:
        if value not in names:
            raise ValueError
        return str(value)

    return check


def _mapping(value: Any) -> dict:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError
    return value


def _shape(value: Any) -> list:
    if not isinstance(value, (list, tuple)) or len(value) not in (2, 3):
        raise ValueError
    sizes = [_integer(1)(size) for size in value]
    if len(sizes) == 3 and sizes[2] != 3:
        raise ValueError
    return sizes[:2]


def _names(value: Any) -> list:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise ValueError
    return [_text(name) for name in value]


def _dataset(value: Any) -> Any:
    if not isinstance(value, (str, dict, list)) or not value:
        raise ValueError
    return value


def _optimizer(value: Any) -> Any:
    if isinstance(value, dict):
        if not isinstance(value.get("type"), str):
            raise ValueError
        return value
    return _text(value)


def _stages(value: Any) -> list:
    if not isinstance(value, list) or not value:
        raise ValueError
    stages = []
    for number, stage in enumerate(value):
        if not isinstance(stage, dict):
            raise ValueError
        stages.append(_check(stage, STAGE_PROPERTIES, f"stages[{number}]."))
    return stages


def _augmentation(value: Any) -> Any:
    views_of(value)
    return value


TTA = "Horizontal, Vertical, Horizontal_and_vertical, All, or a mapping with flips and scales"

STAGE_PROPERTIES = (
    Property("epochs", "a whole number of 1 or more", _integer(1), None, "how many epochs the stage trains", True),
    Property("lr", "a number above 0", _number(0, open_low=True), None, "learning rate of this stage"),
)

PROPERTIES = (
    Property("configPath", "a path or mmdet::<config>", _text, None, "the MMDetection config to train", True),
    Property("stages", "a list of mappings with epochs, and lr", _stages, None, "the stages of the training", True),
    Property("classes", "a whole number of 1 or more", _integer(1), None, "how many object classes there are"),
    Property("shape", "[height, width], whole numbers of 1 or more", _shape, None, "size that images are fitted into"),
    Property("weightsPath", "a path or a URL", _text, None, "checkpoint to start from"),
    Property("resetHeads", "true or false", _boolean, True, "start class-dependent layers anew"),
    Property("trustWeights", "true or false", _boolean, False, "load checkpoints that run code"),
    Property("pretrained", "true or false", _boolean, True, "use the config's own initial weights"),
    Property("nativePipeline", "true or false", _boolean, True, "use the config's own augmentation"),
    Property("configOptions", "a mapping of dotted keys", _mapping, {}, "changes to the native config"),
    Property("imagesPerGpu", "a whole number of 1 or more", _integer(1), 1, "batch size on each device"),
    Property("workersPerGpu", "a whole number of 0 or more", _integer(0), None, "processes that load data"),
    Property("inference_batch", "a whole number of 1 or more", _integer(1), None, "batch size of evaluation"),
    Property("amp", "true or false", _boolean, False, "mixed precision on CUDA devices"),
    Property("dataset", "a provider's name, or a mapping of it to its arguments", _dataset, None, "the dataset"),
    Property("datasets", "a mapping of names to datasets", _mapping, {}, "further datasets, by name"),
    Property("datasets_path", "a path", _text, None, "folder that dataset providers run in"),
    Property("imports", "a module's name or a list of names", _names, [], "Python modules to import"),
    Property("bboxOrder", "yxyx or xyxy", _one_of("yxyx", "xyxy"), None, "coordinate order of the dataset's boxes"),
    Property("bboxSource", "dataset or masks", _one_of("dataset", "masks"), None, "where boxes come from"),
    Property("folds_count", "a whole number of 1 or more", _integer(1), 1, "number of cross-validation folds"),
    Property("validationSplit", "a number between 0 and 1", _number(0, 1, open_low=True, open_high=True), 0.2, "share"),
    Property("testSplit", "a number from 0 to below 1", _number(0, 1, open_high=True), 0.0, "share held out"),
    Property("testSplitSeed", "a whole number of 0 or more", _integer(0), 123, "seed of the holdout split"),
    Property("random_state", "a whole number of 0 or more", _integer(0), 33, "seed of folds and training"),
    Property("num_seeds", "a whole number of 1 or more", _integer(1), None, "how many times it is trained"),
    Property("seed", "a whole number of 0 or more", _integer(0), 0, "which of these times this is"),
    Property("stratified", "true or false", _boolean, False, "keep class shares equal between folds"),
    Property("lr", "a number above 0", _number(0, open_low=True), None, "learning rate of every stage"),
    Property("optimizer", "an optimizer's name, or a mapping with type", _optimizer, None, "the optimizer"),
    Property("threshold", "a number from 0 to 1", _number(0, 1), 0.5, "lowest score that is drawn"),
    Property("storage_threshold", "a number from 0 to 1", _number(0, 1), 0.05, "lowest score that is predicted"),
    Property("primary_metric", "a metric's name", _text, None, "what the best weights are chosen by"),
    Property("primary_metric_mode", "auto, max or min", _one_of("auto", "max", "min"), "auto", "which is better"),
    Property("final_metrics", "a metric's name or a list of names", _names, None, "metrics of the summary"),
    Property("fusion", "weighted, wbf, nms or soft_nms", _one_of(*METHODS), "weighted", "how predictions blend"),
    Property("fusionIou", "a number between 0 and 1", _number(0, 1, open_low=True, open_high=True), 0.55, "IoU"),
    Property("testTimeAugmentation", TTA, _augmentation, None, "views of an image that are predicted and fused"),
    Property("experiment_result", "a metric's name", _text, None, "what stands for the whole experiment"),
)

FROM_MUSKET = frozenset(
    {
        "activation",
        "architecture",
        "augmentation",
        "batch",
        "callbacks",
        "clipnorm",
        "clipvalue",
        "copyWeights",
        "crops",
        "dataset_augmenter",
        "declarations",
        "dropout",
        "dumpPredictionsToCSV",
        "encoder_weights",
        "extra_train_data",
        "freeze_encoder",
        "gpus",
        "groupFunc",
        "hyperparameters",
        "import_tasks",
        "loss",
        "manualResize",
        "maxEpochSize",
        "metrics",
        "negatives",
        "preprocessing",
        "pretrain_transform",
        "run_tasks",
        "transforms",
        "verbose",
    }
)
"""Keys of other Musket dialects: they get a message of their own, since they look right to a Musket user."""


def check_properties(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Check the mapping read from the YAML file; return a value for every property.

    Raises:
        ConfigError: An unknown key (with the nearest known name), a missing one, or a wrong type or value.
    """
    return _check(raw, PROPERTIES, "")


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
        except ConfigError:
            raise
        except (ValueError, TypeError):
            message = f"{prefix}{entry.name} is {shortened(value)}, but it must be {entry.allowed}."
            raise ConfigError(message) from None
    return values


def _unknown(key: str, known: Mapping[str, Property], prefix: str) -> str:
    if not prefix and key in FROM_MUSKET:
        return f"{key} is a Musket property that the MMDetection dialect does not have: remove it."
    return f"{prefix}{key} is not a property of the MMDetection dialect{nearest(key, known)}: correct or remove it."


def _fresh(default: Any) -> Any:
    return default.copy() if isinstance(default, (dict, list)) else default
