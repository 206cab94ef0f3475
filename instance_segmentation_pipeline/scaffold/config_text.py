"""The YAML of a first experiment, with what each key means beside it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..config.loader import HEADER
from ..errors import ConfigError
from .choice import SMALL_MODEL, TINY_WEIGHTS, Plan
from .survey import Survey

WIDE = 44
"""Column that comments begin in, where the key leaves room."""
READ_FOR_CLASSES = 2000
"""Images up to which the split goes by classes, for which each is read once."""


def config_text(plan: Plan, found: Survey, declaration: Mapping[str, Any], data: Path, most: "int | None") -> str:
    """Return the text of ``config.yaml``.

    Args:
        plan: What was chosen.
        found: What the data are.
        declaration: ``dataset``.
        data: ``datasets_path``.
        most: ``maxDetections``, where it is needed.

    Raises:
        ConfigError: A path or name has characters that YAML cannot hold.
    """
    text = "\n".join([HEADER, *_model(plan, most), "", *_data(plan, found, declaration, data), "", *_training(plan)])
    try:
        text.encode("utf-8")
        yaml.safe_load(text)
    except (UnicodeEncodeError, yaml.YAMLError):
        raise ConfigError("paths or names of the data have characters that YAML cannot hold: rename them.") from None
    return f"{text}\n"


def _model(plan: Plan, most: "int | None") -> Iterator[str]:
    yield _line("configPath", plan.model, "the model: musket models lists others")
    if plan.weights is not None:
        yield _line("weightsPath", plan.weights, "its published weights, to start from: fetched once")
    elif plan.lr is not None:
        yield _line("pretrained", False, "weights start at random: nothing is downloaded")
        yield f"# configPath: {SMALL_MODEL}"
        yield f"# weightsPath: {TINY_WEIGHTS}"
        yield "#   in place of both lines above: weights trained on COCO (a download of some 60 MB), which learn faster"
    yield _line("shape", [plan.side, plan.side], "height and width that images are fitted into")
    yield _line("imagesPerGpu", plan.batch, "images of one step; less if the memory is not enough")
    if not plan.on_gpu:
        yield _line("amp", "auto", "bfloat16 where this processor computes with it: faster, nearly the same results")
    if most is not None:
        yield _line("maxDetections", most, f"objects found in an image at most: up to {plan.detections} are there")


def _data(plan: Plan, found: Survey, declaration: Mapping[str, Any], data: Path) -> Iterator[str]:
    yield _line("datasets_path", str(data), "where the data lie; paths below are relative to it")
    yield "dataset:                                    # what reads them: see Annotation files in reference.md"
    yield from (f"  {line}" for line in _dumped(dict(declaration)).split("\n"))
    yield _line("classes", len(found.class_names), _one_line(", ".join(found.class_names)))
    if plan.folds is None:
        yield "# the data bring their own validation part: no folds are drawn"
    else:
        yield _line("folds_count", plan.folds, "1: one net; 5: five nets, each validated on another fifth")
        if plan.validation is not None:
            yield _line("validationSplit", plan.validation, "share of the images that is measured on, not trained on")
    if len(found.class_names) > 1 and plan.folds is not None and found.total <= READ_FOR_CLASSES:
        yield _line("stratified", True, "classes are shared out evenly between training and validation")


def _training(plan: Plan) -> Iterator[str]:
    if plan.most_steps is not None:
        yield _line("maxEpochSize", plan.most_steps, "steps of an epoch at most: for a first result soon")
    yield "stages:                                     # a further one goes on from the best weights"
    yield _line("  - epochs", plan.epochs, "how often all images are shown" if plan.most_steps is None else "rounds")
    if plan.lr is not None:
        yield _line("    lr", plan.lr, "learning rate: musket lr_find looks for one")


def _line(key: str, value: Any, comment: str) -> str:
    written = f"{key}: {_flow(value)}"
    return f"{written:<{WIDE - 1}} # {comment}"


def _flow(value: Any) -> str:
    """Return a value on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _dumped(value: "dict[str, Any]") -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110).rstrip("\n")


def _one_line(text: str, most: int = 70) -> str:
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
